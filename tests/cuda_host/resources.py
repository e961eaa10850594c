#!/usr/bin/env python3
"""What each kernel takes of a multiprocessor, by the compiler's own report, and how many warps fit at once.

Compiles the files with kernels for each architecture with `nvcc -Xptxas -v`, reads registers, spills and static shared memory of
every kernel, and works out the theoretical occupancy. No GPU is needed. Fails if a kernel spills registers, has more than 48 KiB of
static shared memory, does not fit at all, or is missing from THREADS.

Usage: resources.py [--check | --write | --arch 75,80,...]; prints a Markdown table. --write puts it into docs/gpu.md; --check fails
if the one there differs. Registers depend on the compiler's version, which is why the table names it.
"""
import argparse
import concurrent.futures
import pathlib
import re
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs/gpu.md"
BEGIN, END = "<!-- resources: written by tests/cuda_host/resources.py -->", "<!-- end of resources -->"
SOURCES = ["exact.cu", "exact_gradients.cu", "host_rows.cu", "conv_plan.cu"]

# Limits of a multiprocessor: resident warps, resident blocks, KiB of shared memory for all blocks, KiB that each block loses to the
# system. From the table of technical specifications per compute capability in NVIDIA's CUDA C++ Programming Guide. All have 65536
# registers, given to warps in lots of 256, to four partitions of equal size.
LIMITS = {75: (32, 16, 64, 0), 80: (64, 32, 164, 1), 86: (48, 16, 100, 1), 89: (48, 24, 100, 1), 90: (64, 32, 228, 1),
          100: (64, 32, 228, 1), 120: (48, 24, 100, 1)}
REGISTERS, REGISTER_LOT, PARTITIONS, WARP = 65536, 256, 4, 32
MOST_STATIC_SHARED = 48 << 10

# Threads a block, as the launch_...() function of each kernel has them; none is given dynamic shared memory.
THREADS = {"exact_attention": 256, "half_attention": 256, "output_products": 256, "query_gradient": 256, "key_gradient": 256, "score_columns": 256,
           "direct_product": 256, "direct_transpose": 256, "add_parts": 256, "twist_lags": 256, "twist_columns": 256, "untwist_columns": 256,
           "accumulate_products": 128, "widen": 256}


def compile_report(arch, source):
    """What ptxas says about the kernels of one file, and is not sorted."""
    with tempfile.TemporaryDirectory() as folder:
        command = ["nvcc", "-std=c++20", "-O3", "-cubin", f"-arch=sm_{arch}", "-Xptxas", "-v", f"-I{ROOT / 'engine'}",
                   str(ROOT / "engine/cuda" / source), "-o", f"{folder}/{source}.cubin"]
        try:
            done = subprocess.run(command, capture_output=True, text=True)
        except FileNotFoundError:
            sys.exit("resources.py: there is no nvcc on the PATH; it comes with the CUDA toolkit (./dev setup --cuda)")
    if done.returncode != 0:
        sys.exit(done.stderr)
    return done.stderr


def short_name(mangled):
    """exact_attention<4> of a kernel's mangled name: namespaces, _kernel and parameters dropped."""
    name = subprocess.run(["c++filt", mangled], capture_output=True, text=True, check=True).stdout.strip()
    found = re.search(r"(\w+)_kernel(<.*?>)?\(", name)
    if not found:
        sys.exit(f"resources.py: '{name}' is not named like a kernel of ours")
    return found.group(1) + (found.group(2) or "").replace("(int)", "").replace("(bool)1", "true").replace("(bool)0", "false")


def kernels_of(report):
    """{kernel: (registers, spilled bytes, static shared bytes)}"""
    found = {}
    for part in report.split("Compiling entry function '")[1:]:
        spills = sum(map(int, re.findall(r"(\d+) bytes spill", part)))
        registers = int(re.search(r"Used (\d+) registers", part).group(1))
        shared = re.search(r"(\d+) bytes smem", part)
        found[short_name(part.split("'")[0])] = (registers, spills, int(shared.group(1)) if shared else 0)
    return found


def resident_blocks(arch, threads, registers, shared):
    """Blocks that a multiprocessor holds at once."""
    most_warps, most_blocks, shared_kib, reserved_kib = LIMITS[arch]
    warps = -(-threads // WARP)
    of_a_warp = -(-registers * WARP // REGISTER_LOT) * REGISTER_LOT
    warps_by_registers = REGISTERS // PARTITIONS // of_a_warp * PARTITIONS
    lot = 256 if arch < 80 else 128
    of_a_block = -(-(shared + (reserved_kib << 10)) // lot) * lot
    by_shared = (shared_kib << 10) // of_a_block if of_a_block else most_blocks
    return min(most_blocks, most_warps // warps, warps_by_registers // warps, by_shared)


def occupancy(arch, name, registers, shared):
    threads = THREADS[name.split("<")[0]]
    return resident_blocks(arch, threads, registers, shared) * (threads // WARP) / LIMITS[arch][0]


def table(archs, found):
    """Rows by kernel; a cell per architecture: registers a thread, and the share of the warps that fit."""
    lines = ["| kernel | threads | static shared | " + " | ".join(f"sm_{arch}" for arch in archs) + " |", "|---" * (3 + len(archs)) + "|"]
    order = list(THREADS)
    for name in sorted(found[archs[0]], key=lambda one: (order.index(one.split("<")[0]), len(one), one)):
        shared = found[archs[0]][name][2]
        cells = []
        for arch in archs:
            registers, _, own_shared = found[arch][name]
            cells.append(f"{registers}, {100 * occupancy(arch, name, registers, own_shared):.0f} %")
        lines.append(f"| `{name}` | {THREADS[name.split('<')[0]]} | {shared} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def complaints(archs, found):
    for arch in archs:
        for name, (registers, spills, shared) in found[arch].items():
            where = f"{name} for sm_{arch}"
            if name.split("<")[0] not in THREADS:
                yield f"{where}: THREADS does not know it; give it the threads a block of its launch"
                continue
            if spills:
                yield f"{where} spills {spills} bytes of registers; it must not"
            if shared > MOST_STATIC_SHARED:
                yield f"{where} has {shared} bytes of static shared memory; {MOST_STATIC_SHARED} are the most"
            if resident_blocks(arch, THREADS[name.split("<")[0]], registers, shared) == 0:
                yield f"{where} fits no multiprocessor"


def compiler():
    said = subprocess.run(["nvcc", "--version"], capture_output=True, text=True).stdout
    return re.search(r"release \S+, V(\S+)", said).group(1)


def page_parts():
    text = PAGE.read_text()
    before, rest = text.split(BEGIN)
    kept, after = rest.split(END)
    return before, kept.strip(), after


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--arch", default=",".join(map(str, LIMITS)))
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    if (options.check or options.write) and options.arch != parser.get_default("arch"):
        parser.error("the table in docs/gpu.md is of all architectures; --check and --write go without --arch")
    archs = [int(arch) for arch in options.arch.split(",")]
    work = [(arch, source) for arch in archs for source in SOURCES]
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        reports = list(pool.map(lambda one: compile_report(*one), work))
    found = {arch: {} for arch in archs}
    for (arch, _), report in zip(work, reports):
        found[arch] |= kernels_of(report)
    wrong = list(complaints(archs, found))
    for line in wrong:
        print(f"resources.py: {line}", file=sys.stderr)
    if wrong:
        return 1
    text = f"By nvcc {compiler()}. A cell: registers a thread, share of the multiprocessor's warps that are resident. No kernel spills.\n\n{table(archs, found)}"
    print(text)
    if options.write:
        before, _, after = page_parts()
        PAGE.write_text(f"{before}{BEGIN}\n{text}\n{END}{after}")
    elif options.check and page_parts()[1] != text:
        print("resources.py: the table in docs/gpu.md is not this one; write it anew with --write, and look at what changed", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
