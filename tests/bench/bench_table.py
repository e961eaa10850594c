#!/usr/bin/env python3
"""Writes the table of runtimes: exact attention against the conv ways, over n and k, with memory and shares of the machine's peaks.

    bench_table.py BUILD_DIRECTORY OUT.md [--n 1024,...] [--k 1,16,64] [--long 65536,...,1048576] [--threads 0]

BUILD_DIRECTORY holds a release build (app/cli/convscope and tests/bench). Times come from `convscope curve`, whose methods take
turns, so ratios are of one run; memory from one way through in a process of its own; peaks and the operations of apply from
convscope_bench. Absolute times depend on the machine and on what else it does.
"""

from __future__ import annotations

import argparse
import json
import math
import subprocess
from pathlib import Path

METHODS = {"conv_full": "full-length FFT", "conv_partitioned": "partitioned", "planned": "planned", "rank": "low rank"}


def output_of(command: list[str]) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def measure_curve(build: Path, sizes: str, ks: str, threads: int) -> dict:
    return json.loads(output_of([str(build / "app/cli/convscope"), "curve", "--n", sizes, "--k", ks, "--threads", str(threads), "--json"]))


def measure_memory(build: Path, n: int, k: int, threads: int) -> int:
    """Peak bytes of one conv way through, tensors included."""
    text = output_of([str(build / "tests/bench/convscope_bench_once"), "conv", str(n), str(k), "--threads", str(threads)])
    return int(dict(line.split() for line in text.splitlines())["peak_bytes"])


def measure_kernels(build: Path) -> list[dict]:
    text = output_of([str(build / "tests/bench/convscope_bench"), "--benchmark_filter=peak|apply|exact|recover|plan",
                      "--benchmark_format=json", "--benchmark_min_time=0.3"])
    return json.loads(text)["benchmarks"]


def seconds_text(seconds: float) -> str:
    return f"{seconds:.3g} s" if seconds >= 1 else f"{1e3 * seconds:.3g} ms"


def curve_table(build: Path, curve: dict, threads: int) -> list[str]:
    points = curve["points"]
    exact = {p["n"]: p for p in points if p["method"] == "exact"}
    present = [m for m in METHODS if any(p["method"] == m for p in points)]
    lines = ["| n | k | exact | " + " | ".join(f"{METHODS[m]} | x exact" for m in present) + " | memory of conv |",
             "|---" * (4 + 2 * len(present)) + "|"]
    for n, k in sorted({(p["n"], p["k"]) for p in points if p["k"]}):
        base = exact.get(n)
        cells = [str(n), str(k)]
        cells.append("-" if base is None else seconds_text(base["seconds"]) + (" (extrapolated)" if base["extrapolated"] else ""))
        for method in present:
            found = [p for p in points if (p["method"], p["n"], p["k"]) == (method, n, k)]
            cells += ["-", "-"] if not found else [
                seconds_text(found[0]["seconds"]), "-" if base is None else f"{base['seconds'] / found[0]['seconds']:.3g}"]
        cells.append(f"{measure_memory(build, n, k, threads) / 2**20:.0f} MiB")
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def slopes(points: list[dict]) -> list[str]:
    """Least-squares slope of log time against log n of the partitioned conv, for each k."""
    lines = []
    for k in sorted({p["k"] for p in points if p["k"]}):
        line = [(math.log(p["n"]), math.log(p["seconds"])) for p in points if p["method"] == "conv_partitioned" and p["k"] == k]
        if len(line) < 3:
            continue
        mean_x, mean_y = (sum(column) / len(line) for column in zip(*line))
        slope = sum((x - mean_x) * (y - mean_y) for x, y in line) / sum((x - mean_x) ** 2 for x, _ in line)
        lines.append(f"Slope of log time against log n, k = {k}, n = {round(math.exp(line[0][0]))} to {round(math.exp(line[-1][0]))}: {slope:.3f}.")
    return lines


def kernel_tables(benchmarks: list[dict]) -> list[str]:
    """Exact attention against the multiply-add peak; apply against its transforms at the in-cache FFT rate and its products at the
    multiply-add peak."""
    by_name = {b["name"].removesuffix("/real_time"): b for b in benchmarks}
    peaks = {p: by_name[f"fma_peak<{p}>"]["GF/s"] for p in ("float", "double")}
    fft = {int(name.split("/")[1]): b["GF/s"] for name, b in by_name.items() if name.startswith("fft_peak")}
    lines = [f"Multiply-add peak: {peaks['float']:.0f} GF/s in f32, {peaks['double']:.0f} in f64. FFT in cache (f32, 5 B log2 B): "
             + ", ".join(f"B = {b}: {rate:.0f} GF/s" for b, rate in sorted(fft.items())) + ".", "",
             "| step | time | GF/s | share of the peak |", "|---|---|---|---|"]
    for name, b in by_name.items():
        if name.startswith("exact<"):
            peak = peaks[name[len("exact<"):name.index(">")]]
            lines.append(f"| {name} | {seconds_text(b['real_time'] / 1e3)} | {b['GF/s']:.0f} | {100 * b['GF/s'] / peak:.0f} % |")
    lines += ["", "| apply, n / k | block | time | least time of its FFTs | of its products | share of both | rescued rows |", "|---" * 7 + "|"]
    for name, b in by_name.items():
        if not name.startswith("apply/") or b["block"] == 0:
            continue
        rate = fft[min(fft, key=lambda block: abs(math.log(block / b["block"])))]
        transforms, products = b["fft_gflop"] / rate, b["product_gflop"] / peaks["float"]
        seconds = b["real_time"] / 1e3
        lines.append(f"| {name.removeprefix('apply/')} | {b['block']:.0f} | {seconds_text(seconds)} | {seconds_text(transforms)} | "
                     f"{seconds_text(products)} | {100 * (transforms + products) / seconds:.0f} % | {b['rescued']:.0f} |")
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("build", type=Path, metavar="BUILD_DIRECTORY")
    parser.add_argument("out", type=Path, metavar="OUT.md")
    parser.add_argument("--n", default="256,512,1024,2048,4096,8192,16384,32768", help="measured with exact attention (default: %(default)s)")
    parser.add_argument("--k", default="1,16,64", help="segments (default: %(default)s)")
    parser.add_argument("--long", default="32768,65536,131072,262144,524288,1048576", help="long runs; empty: none (default: %(default)s)")
    parser.add_argument("--threads", type=int, default=0, help="0: all (default: %(default)s)")
    options = parser.parse_args()

    curve = measure_curve(options.build, options.n, options.k, options.threads)
    machine = curve["machine"]
    lines = ["# Benchmark table", "", f"{machine['cpu']}, {machine['threads']} threads, {machine['instruction_set']}; planted inputs, d = 64, f32.", ""]
    lines += curve_table(options.build, curve, options.threads)
    if options.long:
        curve = measure_curve(options.build, options.long, options.k, options.threads)
        lines += [""] + curve_table(options.build, curve, options.threads) + [""] + slopes(curve["points"])
    lines += [""] + kernel_tables(measure_kernels(options.build))
    text = "\n".join(lines) + "\n"
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(text)
    print(text, end="")


if __name__ == "__main__":
    main()
