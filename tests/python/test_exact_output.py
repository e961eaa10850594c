#!/usr/bin/env python3
"""Compares `convscope analyze` with attention computed here, in float64, from the example's file and numpy alone.

    test_exact_output.py CONVSCOPE EXAMPLE

Checks, for several heads and both precisions: the exact output, the approximate output (rebuilt from the reported starts), the
errors the JSON reports, and that the JSON holds every key the product page names.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path
from typing import Any

import numpy as np

from activations import causal_probabilities, head_output, read_safetensors, relative_error

HEADS = [(0, 0, 16), (17, 8, 16), (29, 4, 3)]  # layer, head, k; three key/value heads, early, middle and late
KEYS = {"file", "layer", "head", "kv_head", "n", "d", "scale", "method", "k_requested", "k_found", "T", "delta", "eps", "monotone",
        "starts", "relative_error", "max_abs_error", "bound", "mean_total_variation", "heldout_error", "ladder", "rescued_rows",
        "seconds", "path"}
# What the program promises; the stored float16 numbers convert exactly, so nothing but its own rounding enters.
OUTPUT_TOLERANCE = {"f32": 1e-5, "f64": 1e-11}
# The approximate output starts from scores rounded to the working precision, up to 50 in size, and exp turns their absolute
# error (50 x 6e-8 in f32, 50 x 1e-16 in f64) into a relative one; FFT rounding beyond 1e-5 and 1e-13 of a typical row is rescued.
APPROXIMATE_TOLERANCE = {"f32": 1e-5, "f64": 1e-11}
# The program sums its errors from the same outputs that it writes, so only the order of the sums differs.
REPORT_TOLERANCE = {"f32": 1e-6, "f64": 1e-12}

program, example = Path(), Path()


def analyze(*options: str) -> dict[str, Any]:
    """The JSON object that `convscope analyze EXAMPLE options --json` prints; nothing else may be printed."""
    command = [str(program), "analyze", str(example), *options, "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    if done.returncode != 0 or done.stderr:
        raise AssertionError(f"{' '.join(command)}: exit code {done.returncode}, standard error: {done.stderr}")
    return json.loads(done.stdout)


def conv_probabilities(scores: np.ndarray, starts: list[int]) -> np.ndarray:
    """Softmax of the scores that a conv basis with these starts stands for: every column of a segment is the segment's first
    one, moved down; columns before the first start have score 0. n x n, in float64."""
    n = len(scores)
    approximate = np.full((n, n), -np.inf)
    for column in range(n):
        start = max((s for s in starts if s <= column), default=None)
        approximate[column:, column] = 0.0 if start is None else scores[start : start + n - column, start]
    weights = np.exp(approximate - approximate.max(axis=1, keepdims=True))
    return weights / weights.sum(axis=1, keepdims=True)


class Analyze(unittest.TestCase):
    def check_close(self, got: float, expected: float, tolerance: float, what: str) -> None:
        # Written so that NaN fails.
        self.assertTrue(abs(got - expected) <= tolerance * abs(expected), f"{what}: {got}, expected {expected}")

    def check_head(self, layer: int, head: int, k: int, precision: str) -> None:
        with tempfile.TemporaryDirectory() as folder:
            exact_file, output_file = Path(folder) / "exact.npy", Path(folder) / "output.npy"
            report = analyze("--layer", str(layer), "--head", str(head), "--k", str(k), "--precision", precision,
                             "--exact-output", str(exact_file), "--output", str(output_file))
            exact, output = np.load(exact_file), np.load(output_file)
        self.assertEqual(exact.dtype, np.dtype({"f32": "<f4", "f64": "<f8"}[precision]))
        self.assertEqual(output.dtype, exact.dtype)
        exact, output = exact.astype(np.float64), output.astype(np.float64)

        query, key, value = (TENSORS[f"layers.{layer}.{letter}"] for letter in "qkv")
        kv_head = head * len(key) // len(query)
        self.assertEqual(KEYS - report.keys(), set())
        self.assertEqual(report["seconds"].keys(), {"load", "exact", "recover", "apply"})
        self.assertEqual([report[name] for name in ("layer", "head", "kv_head", "n", "d", "scale", "k_requested")],
                         [layer, head, kv_head, query.shape[1], query.shape[2], SCALE, k])
        self.assertEqual(report["k_found"], len(report["starts"]))
        self.assertTrue(1 <= report["k_found"] <= k, report["k_found"])

        self.check_output(exact, head_output(TENSORS, layer, head, SCALE), OUTPUT_TOLERANCE[precision], "exact output")
        scores = SCALE * query[head] @ key[kv_head].T
        approximate = conv_probabilities(scores, report["starts"])
        self.check_output(output, approximate @ value[kv_head], APPROXIMATE_TOLERANCE[precision], "approximate output")

        tolerance = REPORT_TOLERANCE[precision]
        self.check_close(report["relative_error"], relative_error(output, exact), tolerance, "relative_error")
        self.check_close(report["max_abs_error"], float(np.abs(output - exact).max()), tolerance, "max_abs_error")
        total_variation = np.abs(approximate - causal_probabilities(query[head], key[kv_head], SCALE)).sum(axis=1) / 2
        self.check_close(report["mean_total_variation"], float(total_variation.mean()), OUTPUT_TOLERANCE[precision],
                         "mean_total_variation")

    def check_output(self, got: np.ndarray, expected: np.ndarray, tolerance: float, what: str) -> None:
        self.assertEqual(got.shape, expected.shape)
        error = relative_error(got, expected)
        print(f"  {what}: relative error {error:.1e}")
        self.assertTrue(error <= tolerance, f"{what}: relative error {error}, at most {tolerance} is allowed")

    def test_heads(self) -> None:
        for precision in ("f32", "f64"):
            for layer, head, k in HEADS:
                print(f"layer {layer}, head {head}, k {k}, {precision}")
                with self.subTest(layer=layer, head=head, k=k, precision=precision):
                    self.check_head(layer, head, k, precision)

    def test_fewer_tokens_are_a_prefix(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            short = Path(folder) / "short.npy"
            report = analyze("--layer", "0", "--head", "0", "--n", "100", "--k", "4", "--precision", "f64", "--exact-output", str(short))
            self.check_output(np.load(short), head_output(TENSORS, 0, 0, SCALE)[:100], OUTPUT_TOLERANCE["f64"], "first 100 rows")
        self.assertEqual(report["n"], 100)


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    program, example = Path(sys.argv[1]), Path(sys.argv[2])
    TENSORS, METADATA = read_safetensors(example)
    SCALE = float(METADATA["scale"])
    unittest.main(argv=sys.argv[:1] + sys.argv[3:])
