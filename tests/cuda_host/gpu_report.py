#!/usr/bin/env python3
"""Everything there is to find out about the GPU module on a machine with a GPU, as a report in Markdown.

Every verb against the references, the same under the tools of compute-sanitizer, and the times of the verbs beside the CPU's. What fails
does not keep the rest from running. Exit status: 0 if all is well, else 1.

Usage: gpu_report.py CONVSCOPE_GPU_CHECK MODULE REPORT [N...]; N are the sizes that are timed.
"""
import datetime
import pathlib
import platform
import shutil
import subprocess
import sys

# What shared memory and barriers do in cuFFT's kernels is not ours; what they read and write in device memory is seen, or ours would seem to
# read numbers that nobody wrote.
OURS = ["--kernel-name", "kernel_substring=convbasis"]
TOOLS = {"memcheck": ["--leak-check", "full"], "racecheck": ["--racecheck-report", "all", *OURS], "initcheck": [], "synccheck": OURS}
FOUND = 99  # compute-sanitizer's exit status when it found something
PATIENCE = 3600  # seconds for any one step
LAST_LINES = 20


def run(command):
    """(exit status, standard output, standard error); what cannot run or does not end has status None."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE)
        return done.returncode, done.stdout, done.stderr
    except OSError as error:
        return None, "", str(error)
    except subprocess.TimeoutExpired:
        return None, "", f"did not end within {PATIENCE} s"


def sanitizer():
    """compute-sanitizer from the PATH or beside nvcc; None if there is none."""
    nvcc = shutil.which("nvcc")
    beside = [pathlib.Path(nvcc).resolve().parent] if nvcc else []
    beside += [folder.parent / "compute-sanitizer" for folder in beside]
    places = [shutil.which("compute-sanitizer"), *(shutil.which("compute-sanitizer", path=str(folder)) for folder in beside)]
    return next((place for place in places if place), None)


def machine():
    status, text, _ = run(["nvidia-smi", "--query-gpu=name,driver_version,memory.total,compute_cap", "--format=csv,noheader"])
    devices = text.strip().splitlines() if status == 0 else ["unknown: nvidia-smi does not say"]
    yield from (f"- GPU {number}: {device}" for number, device in enumerate(devices))
    model = [line.split(":", 1)[1].strip() for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    yield f"- CPU: {model[0] if model else platform.machine()}, {len(model)} threads"
    _, text, _ = run(["nvcc", "--version"])
    yield f"- compiler: {text.strip().splitlines()[-1] if text.strip() else 'unknown: nvcc is not on the PATH'}"


def section(title, command):
    """(lines of the report, whether all was well)"""
    status, output, errors = run(command)
    lines = [f"\n## {title}\n", output.strip()]
    if status != 0:
        lines += ["\n**Failed**" + (f" (exit status {status})" if status is not None else "") + ":", "", "```",
                  *errors.strip().splitlines()[-LAST_LINES:], "```"]
    return lines, status == 0


def sanitized(tool, options, program, module):
    """(one row of the table, whether the tool found nothing)"""
    checker = sanitizer()
    if checker is None:
        return f"| {tool} | not run: there is no compute-sanitizer |", True
    status, output, errors = run([checker, "--tool", tool, "--error-exitcode", str(FOUND), *options, program, module, "compare"])
    said = [line for line in (output + errors).splitlines() if "SUMMARY" in line] or (output + errors).strip().splitlines()[-1:]
    return f"| {tool} | {'**found something**' if status == FOUND else 'nothing found' if status == 0 else '**failed**'}: {' '.join(said)} |", status == 0


def main(program, module, report, sizes):
    lines = ["# The GPU module on this machine\n", f"{datetime.date.today().isoformat()}, written by `./dev gpu-check`.\n", *machine()]
    more, right = section("Against the references", [program, module, "compare"])
    lines += [*more, "\n## compute-sanitizer\n", "| tool | |", "|---|---|"]
    for tool, options in TOOLS.items():
        row, clean = sanitized(tool, options, program, module)
        lines.append(row)
        right = right and clean
    more, timed = section("Times", [program, module, "time", *sizes])
    lines += more
    pathlib.Path(report).parent.mkdir(parents=True, exist_ok=True)
    pathlib.Path(report).write_text("\n".join(lines) + "\n")
    print("\n".join(lines))
    return 0 if right and timed else 1


if __name__ == "__main__":
    if len(sys.argv) < 4:
        sys.exit(__doc__)
    sys.exit(main(sys.argv[1], sys.argv[2], sys.argv[3], sys.argv[4:]))
