#!/usr/bin/env python3
"""Times the engine's exact causal attention against PyTorch's scaled_dot_product_attention on the CPU, in turns.

    compare_pytorch.py CONVSCOPE_BENCH_EXACT [--n 1024,2048,...] [--d 64] [--threads 2] [--pairs 7]

Both are float32, causal, one head. The benchmark program is started once for every n and runs when it is told to, so the two
alternate run by run and a drift of the machine hits both alike; which of them goes first changes from pair to pair. Needs torch.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Callable


class EngineRunner:
    """The benchmark program as a child that answers every line `run` with the seconds that one run took."""

    def __init__(self, program: Path, n: int, d: int, threads: int) -> None:
        command = [str(program), "--n", str(n), "--d", str(d), "--precision", "f32", "--threads", str(threads)]
        self.child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def __enter__(self) -> EngineRunner:
        return self

    def __exit__(self, *_: object) -> None:
        assert self.child.stdin is not None
        self.child.stdin.close()  # the end of its input ends it
        self.child.wait(timeout=60)

    def __call__(self) -> float:
        assert self.child.stdin is not None and self.child.stdout is not None
        self.child.stdin.write("run\n")
        self.child.stdin.flush()
        answer = self.child.stdout.readline()
        if not answer:
            raise RuntimeError(f"the benchmark program ended with exit code {self.child.wait()}")
        return float(answer)


def make_torch_runner(n: int, d: int, threads: int) -> Callable[[], float]:
    """One run of PyTorch's attention on random tensors of shape (1, 1, n, d); returns its seconds."""
    import torch

    torch.set_num_threads(threads)
    query, key, value = torch.randn(3, 1, 1, n, d, generator=torch.Generator().manual_seed(1))

    def run() -> float:
        start = time.perf_counter()
        with torch.inference_mode():
            torch.nn.functional.scaled_dot_product_attention(query, key, value, is_causal=True)
        return time.perf_counter() - start

    return run


def measure_pairs(ours: Callable[[], float], theirs: Callable[[], float], pairs: int) -> list[tuple[float, float]]:
    """(our seconds, their seconds) of `pairs` turns, after one turn to warm up."""

    def rested(run: Callable[[], float]) -> float:
        time.sleep(0.02)  # idle workers of the run before may still be spinning on the cores
        return run()

    measured = []
    for turn in range(pairs + 1):
        if turn % 2:
            pair = rested(ours), rested(theirs)
        else:
            reply = rested(theirs)
            pair = rested(ours), reply
        measured.append(pair)
    return measured[1:]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("program", type=Path, metavar="CONVSCOPE_BENCH_EXACT", help="built from tests/bench/bench_exact.cpp")
    parser.add_argument("--n", default="1024,2048,4096,8192,16384", help="token counts (default: %(default)s)")
    parser.add_argument("--d", type=int, default=64, help="head width (default: %(default)s)")
    parser.add_argument("--threads", type=int, default=2, help="threads of both (default: %(default)s)")
    parser.add_argument("--pairs", type=int, default=7, help="turns measured (default: %(default)s)")
    options = parser.parse_args()

    import torch

    print(f"PyTorch {torch.__version__}, float32, causal, one head, d = {options.d}, {options.threads} threads of {os.cpu_count()}, "
          f"{options.pairs} pairs")
    print("GF/s counts 2 n^2 d operations: the causal half of both products.")
    print("Ratio: PyTorch's time / ours, of each pair; above 1 we are faster.")
    print(f"{'n':>7} {'ours s':>10} {'PyTorch s':>10} {'ours GF/s':>10} {'PyTorch GF/s':>13} {'ratio':>7} {'lowest':>7} {'highest':>8}")
    for n in (int(part) for part in options.n.split(",")):
        with EngineRunner(options.program, n, options.d, options.threads) as ours:
            pairs = measure_pairs(ours, make_torch_runner(n, options.d, options.threads), options.pairs)
        our_seconds, their_seconds = (statistics.median(column) for column in zip(*pairs))
        ratios = [theirs / mine for mine, theirs in pairs]
        gigaflops = 2 * n * n * options.d / 1e9
        print(f"{n:>7} {our_seconds:>10.4g} {their_seconds:>10.4g} {gigaflops / our_seconds:>10.1f} {gigaflops / their_seconds:>13.1f} "
              f"{statistics.median(ratios):>7.2f} {min(ratios):>7.2f} {max(ratios):>8.2f}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
