#!/usr/bin/env python3
"""Times the engine's exact causal attention against PyTorch's scaled_dot_product_attention on the CPU, in turns, on the same tensors;
with --backward the gradients of both, from a forward pass that is not timed.

    compare_pytorch.py CONVSCOPE_BENCH_EXACT [--backward] [--precision f32,f64] [--n 1024,2048,...] [--heads 2] [--d 64] [--threads 2]
                       [--pairs 11]

The tensors go through a raw file; the outputs of both are compared before anything is timed. The benchmark program is started once
for every table row and runs when it is told to, so the two alternate and a drift of the machine hits both alike; which of them goes
first changes from pair to pair. A turn repeats the call until PyTorch is busy for about 30 ms, both sides as often. Needs torch.
"""

from __future__ import annotations

import argparse
import math
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Callable

import torch

TYPES = {"f32": torch.float32, "f64": torch.float64}
# What the outputs may differ by, relative to the largest value: each side rounds scores and sums of n terms.
TOLERANCE = {"f32": 2e-6, "f64": 4e-15}
BACKWARD_TOLERANCE = {"f32": 2e-5, "f64": 4e-14}  # of the largest gradient
TURN_SECONDS = 0.03


@dataclass(frozen=True)
class Case:
    precision: str
    heads: int
    n: int
    d: int
    threads: int
    backward: bool


class Engine:
    """The benchmark program as a child that answers commands, a line each."""

    def __init__(self, program: Path, case: Case, tensors: Path) -> None:
        command = [str(program), "--input", str(tensors), "--precision", case.precision]
        for name in ("heads", "n", "d", "threads"):
            command += [f"--{name}", str(getattr(case, name))]
        if case.backward:
            command.append("--backward")
        self.child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def __enter__(self) -> Engine:
        return self

    def __exit__(self, *_: object) -> None:
        assert self.child.stdin is not None
        self.child.stdin.close()  # the end of its input ends it
        self.child.wait(timeout=60)

    def ask(self, command: str) -> str:
        assert self.child.stdin is not None and self.child.stdout is not None
        self.child.stdin.write(command + "\n")
        self.child.stdin.flush()
        answer = self.child.stdout.readline()
        if not answer:
            raise RuntimeError(f"the benchmark program ended with exit code {self.child.wait()}")
        return answer

    def seconds(self, calls: int) -> float:
        return float(self.ask(f"run {calls}"))


class Torch:
    """PyTorch's attention on tensors of shape (1, heads, n, d)."""

    def __init__(self, case: Case) -> None:
        torch.set_num_threads(case.threads)
        generator = torch.Generator().manual_seed(1)
        count = 4 if case.backward else 3
        self.tensors = torch.randn(count, 1, case.heads, case.n, case.d, generator=generator, dtype=TYPES[case.precision])
        self.inputs = [tensor.clone().requires_grad_(case.backward) for tensor in self.tensors[:3]]
        self.attended = self.forward() if case.backward else None

    def forward(self) -> torch.Tensor:
        return torch.nn.functional.scaled_dot_product_attention(*self.inputs, is_causal=True)

    def output(self) -> torch.Tensor:
        if self.attended is not None:
            return torch.stack(torch.autograd.grad(self.attended, self.inputs, self.tensors[3], retain_graph=True))
        with torch.inference_mode():
            return self.forward()

    def seconds(self, calls: int) -> float:
        start = time.perf_counter()
        for _ in range(calls):
            self.output()
        return time.perf_counter() - start


def require_agreement(engine: Engine, peer: Torch, case: Case, folder: Path) -> None:
    """Stops the script when the two outputs differ by more than rounding."""
    engine.seconds(1)
    path = folder / "output"
    engine.ask(f"write {path}")
    theirs = peer.output()
    ours = torch.from_file(str(path), size=theirs.numel(), dtype=theirs.dtype).reshape(theirs.shape)
    largest = theirs.abs().max() if case.backward else peer.tensors[2].abs().max()
    difference = float((ours - theirs).abs().max() / largest)
    tolerance = (BACKWARD_TOLERANCE if case.backward else TOLERANCE)[case.precision]
    if not difference <= tolerance:
        raise SystemExit(f"{case}: the results differ by {difference:.2g} of the largest value; {tolerance:.2g} is rounding")


def measure_pairs(engine: Engine, peer: Torch, pairs: int) -> list[tuple[float, float]]:
    """(our seconds, their seconds) of one call, for each of `pairs` turns."""

    def rested(run: Callable[[int], float], calls: int) -> float:
        time.sleep(0.02)  # idle workers of the turn before may still be spinning on the cores
        return run(calls) / calls

    calls = max(1, math.ceil(TURN_SECONDS / min(peer.seconds(1) for _ in range(3))))
    measured = []
    for turn in range(pairs + 1):  # the first warms up
        if turn % 2:
            mine = rested(engine.seconds, calls)
            theirs = rested(peer.seconds, calls)
        else:
            theirs = rested(peer.seconds, calls)
            mine = rested(engine.seconds, calls)
        measured.append((mine, theirs))
    return measured[1:]


def table_row(program: Path, case: Case, pairs: int) -> str:
    peer = Torch(case)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        tensors = folder / "tensors"
        tensors.write_bytes(peer.tensors.numpy().tobytes())
        with Engine(program, case, tensors) as engine:
            require_agreement(engine, peer, case, folder)
            measured = measure_pairs(engine, peer, pairs)
    mine, theirs = (statistics.median(column) for column in zip(*measured))
    ratios = [their_time / my_time for my_time, their_time in measured]
    gigaflops = (5 if case.backward else 2) * case.heads * case.n**2 * case.d / 1e9
    return (f"| {case.precision} | {case.n} | {1e3 * mine:.2f} | {1e3 * theirs:.2f} | {gigaflops / mine:.0f} | {gigaflops / theirs:.0f} "
            f"| {statistics.median(ratios):.2f} | {min(ratios):.2f} | {max(ratios):.2f} |")


def listed(text: str) -> list[str]:
    return [part for part in text.split(",") if part]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("program", type=Path, metavar="CONVSCOPE_BENCH_EXACT", help="built from tests/bench/bench_exact.cpp")
    parser.add_argument("--backward", action="store_true", help="gradients by query, key and value, from a given output gradient")
    parser.add_argument("--precision", type=listed, default="f32,f64", help="f32, f64 or both (default: %(default)s)")
    parser.add_argument("--n", type=listed, default="1024,2048,4096,8192,16384", help="token counts (default: %(default)s)")
    parser.add_argument("--heads", type=int, default=2, help="heads of one call (default: %(default)s)")
    parser.add_argument("--d", type=int, default=64, help="head width (default: %(default)s)")
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="threads of both (default: %(default)s)")
    parser.add_argument("--pairs", type=int, default=11, help="turns measured (default: %(default)s)")
    options = parser.parse_args()
    for precision in options.precision:
        if precision not in TYPES:
            parser.error(f"there is no precision '{precision}'; the precisions are {', '.join(TYPES)}")

    print(f"PyTorch {torch.__version__}, causal, {options.heads} heads, d = {options.d}, {options.threads} threads of {os.cpu_count()}, "
          f"{options.pairs} pairs, CPU code {torch.backends.cpu.get_cpu_capability()}.")
    products = "5 n^2 d operations a head: the causal half of the five products" if options.backward else (
        "2 n^2 d operations a head: the causal half of both products")
    print(f"{'Gradients. ' if options.backward else ''}GF/s counts {products}.")
    print("Ratio: PyTorch's time / ours, of each pair; above 1 we are faster.")
    print("| | n | ours, ms | PyTorch, ms | ours, GF/s | PyTorch, GF/s | median ratio | lowest | highest |")
    print("|---|---|---|---|---|---|---|---|---|")
    for precision in options.precision:
        for n in options.n:
            case = Case(precision, options.heads, int(n), options.d, options.threads, options.backward)
            print(table_row(options.program, case, options.pairs), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
