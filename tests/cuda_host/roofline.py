#!/usr/bin/env python3
"""What each verb of the GPU module moves and computes, counted from the kernels' text, and the least time that this takes on two GPUs.

A prediction: no GPU takes part. One head, d = d_v = 64, k = 16 segments of equal length. A count is of what the kernels do, padding to whole
tiles included; each array is counted once for every step that reads or writes it in device memory.

Usage: roofline.py [--write]; prints two Markdown tables, and --write puts them into docs/gpu.md.
"""
import math
import pathlib
import sys

PAGE = pathlib.Path(__file__).resolve().parents[2] / "docs/gpu.md"
BEGIN, END = "<!-- roofline: written by tests/cuda_host/roofline.py -->", "<!-- end of roofline -->"

# Peak of float32 without tensor cores and of halves on them with sums in float32, flop/s; device memory, bytes/s; PCIe, bytes/s in one
# direction. NVIDIA's data sheets and architecture papers of both, without sparsity; PCIe 4.0 and 5.0 with 16 lanes after line coding.
GPUS = {"RTX 4090": (82.6e12, 165.2e12, 1.008e12, 31.5e9), "H100 SXM": (66.9e12, 989.4e12, 3.35e12, 63.0e9)}
SIZES = (32768, 131072)
D, K, TILE, FLOAT, HALF, COMPLEX, DOUBLE = 64, 16, 64, 4, 2, 8, 8
ROWS = 16384  # of a block of queries, and of keys, that a launch takes (row_blocks.cu)
# For 16 multiply-adds a thread loads 4 neighbouring floats and 4 single ones from shared memory: five instructions, as the machine code
# has them. A multiprocessor does the multiply-adds of four warps in the time of one warp's load, so the loads take 5 / 4 of the time
# of the arithmetic, and more if the wide one takes longer.
SHARED_LOADS = 1.25
# The kernel of halves, by its machine code for sm_90, d = 64: for a tile a warp has 28 loads of four 8 x 8 matrices (four passes each),
# 32 loads and 32 half-wide stores of single numbers, 16 stores of pairs (two passes) and 6 of eight halves (four passes). That is 232
# passes of each of 8 warps; the multiply-adds of the float32 kernel, of which a multiprocessor does 128 at a time, take 4096.
HALF_SHARED = 8 * (28 * 4 + 32 + 32 + 16 * 2 + 6 * 4) / 4096
BLOCK = {32768: 2048, 131072: 4096}  # FFT block that the cost model's built-in constants choose


def tiles(n):
    return (n // TILE) * (n // TILE + 1) // 2


def launches(n):
    return (n // ROWS) * (n // ROWS + 1) // 2


def exact_attention(n, number=FLOAT):
    """Each launch reads Q, K and V of its blocks, and what the one before left of the rows, which it writes again."""
    moved = launches(n) * ROWS * (3 * D * number + 2 * (D * FLOAT + 2 * FLOAT)) + n * DOUBLE
    flop = tiles(n) * TILE * TILE * 2 * 2 * D
    return {"flop": flop, "arithmetic": ("plain", flop), "shared": SHARED_LOADS * flop, "memory": moved, "in": 3 * n * D * number,
            "out": n * D * FLOAT + n * DOUBLE}


def half_attention(n):
    """The second product twice: a weight is the sum of two halves."""
    count = exact_attention(n, HALF)
    return count | {"arithmetic": ("tensor", 1.5 * count["flop"]), "shared": HALF_SHARED * count["flop"], "flop": 1.5 * count["flop"]}


def exact_backward(n):
    gradients = 3 * n * D * FLOAT
    rows = 5 * n * D * FLOAT + n * DOUBLE  # Q, K, V, Y, G; log-sum-exps
    # G . Y first; then a launch makes part of dQ from Q, K, V and G, and one each part of dK from the same and of dV from Q, K and G, with
    # the log-sum-exps. Each reads and writes its sums.
    of_a_row = (4 + 4 + 3 + 2 * 3) * D * FLOAT + 3 * (DOUBLE + FLOAT)
    flop = tiles(n) * TILE * TILE * 8 * 2 * D
    return {"flop": flop, "arithmetic": ("plain", flop), "shared": SHARED_LOADS * flop,
            "memory": 2 * n * D * FLOAT + launches(n) * ROWS * of_a_row, "in": rows, "out": gradients}


def lag_numbers(n):
    return n * (K + 1) // 2  # of K segments of equal length


def score_columns(n):
    scores = K * n * FLOAT  # above the diagonal, too
    rows = (n + K) * D * FLOAT
    flop = n * -(-K // TILE) * TILE * 2 * D
    return {"flop": flop, "arithmetic": ("plain", flop), "shared": SHARED_LOADS * flop, "memory": rows + scores, "in": rows, "out": scores}


def transform(block):
    return 5 * block * math.log2(block)


def lag_blocks(n):
    return sum(n // BLOCK[n] - r * (n // K) // BLOCK[n] for r in range(K))


def plan(n):
    spectra = lag_blocks(n) * BLOCK[n]
    lags = lag_numbers(n) * FLOAT
    flop = lag_blocks(n) * transform(BLOCK[n]) + 6 * spectra
    return {"flop": flop, "arithmetic": ("plain", flop), "memory": 2 * lags + 3 * spectra * COMPLEX, "in": lags + n * FLOAT, "out": 0}


def apply(n):
    block, blocks = BLOCK[n], n // BLOCK[n]
    pieces = max(blocks, K)
    pairs = sum(blocks - q * blocks // pieces for q in range(pieces))
    spectra = (pieces + blocks) * D
    flop = spectra * (transform(block) + 6 * block) + pairs * D * block * 8
    # rows in and out; spectra written by the twist or the sums, there and back by the FFT, read by the sums or the untwist
    memory = 2 * n * D * FLOAT + 4 * spectra * block * COMPLEX + lag_blocks(n) * block * COMPLEX
    return {"flop": flop, "arithmetic": ("plain", flop), "memory": memory, "in": n * D * FLOAT, "out": n * D * FLOAT}


VERBS = {"exact attention": exact_attention, "... of halves": half_attention, "exact backward": exact_backward, "score columns": score_columns, "plan": plan, "apply": apply}


def seconds(value):
    return f"{1e3 * value:.3g} ms"


def predict(verb, gpu):
    plain, tensor, bandwidth, link = GPUS[gpu]
    unit, flop = verb["arithmetic"]
    times = {"arithmetic": flop / {"plain": plain, "tensor": tensor}[unit], "memory": verb["memory"] / bandwidth}
    if "shared" in verb:
        times["shared memory"] = verb["shared"] / plain
    bound = max(times, key=times.get)
    copies = (verb["in"] + verb["out"]) / link
    total = times[bound] + copies
    return times, "copies" if copies > times[bound] else bound, copies, total


def main():
    lines = ["| n | verb | Gflop | MB of device memory | MB in | MB out | flop / byte |", "|---|---|---|---|---|---|---|"]
    for n in SIZES:
        for name, count in VERBS.items():
            verb = count(n)
            lines.append(f"| {n} | {name} | {verb['flop'] / 1e9:.3g} | {verb['memory'] / 1e6:.3g} | {verb['in'] / 1e6:.3g} | {verb['out'] / 1e6:.3g} "
                         f"| {verb['flop'] / verb['memory']:.3g} |")
    lines += ["", "| GPU | n | verb | arithmetic | memory | shared memory | copies | **predicted, at least** | bound by |", "|---|---|---|---|---|---|---|---|---|"]
    for gpu in GPUS:
        for n in SIZES:
            for name, count in VERBS.items():
                times, bound, copies, total = predict(count(n), gpu)
                shared = seconds(times["shared memory"]) if "shared memory" in times else ""
                lines.append(f"| {gpu} | {n} | {name} | {seconds(times['arithmetic'])} | {seconds(times['memory'])} | {shared} | {seconds(copies)} "
                             f"| **{seconds(total)}** | {bound} |")
    text = "\n".join(lines)
    print(text)
    if "--write" in sys.argv[1:]:
        before, rest = PAGE.read_text().split(BEGIN)
        PAGE.write_text(f"{before}{BEGIN}\n{text}\n{END}{rest.split(END)[1]}")


if __name__ == "__main__":
    main()
