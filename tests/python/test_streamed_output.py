#!/usr/bin/env python3
"""Checks the file that `convscope analyze --streamed --output` writes, with numpy: it loads as an n x d array, and its first row,
where a token sees itself only, is the first row of V, made here from the published formula in whole numbers of any length.

    test_streamed_output.py CONVSCOPE
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

import numpy as np

MASK = 2**64 - 1
GOLDEN = 0x9E3779B97F4A7C15
# Rescue leaves at most 1e-5 (f32) or 1e-13 (f64) of a typical row, and the first row is no smaller than that.
TOLERANCE = {"f32": 1e-5, "f64": 1e-12}

program = Path()


def mix(x: int) -> int:
    x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & MASK
    return x ^ (x >> 31)


def value(seed: int, i: int, j: int) -> float:
    """V_ij: the 53 highest bits, signed, over 2^52, times sqrt(3)."""
    bits = mix((mix((seed + GOLDEN) & MASK) + GOLDEN * ((i << 32) + j + 1)) & MASK) >> 11
    return (bits - (1 << 53 if bits >> 52 else 0)) * 2.0**-52 * 3.0**0.5


class Streamed(unittest.TestCase):
    def test_file(self) -> None:
        for precision, dtype in (("f32", np.float32), ("f64", np.float64)):
            with self.subTest(precision), tempfile.TemporaryDirectory() as folder:
                command = [str(program), "analyze", "--planted", "k=3,n=500,d=100,seed=9", "--streamed", "--precision", precision,
                           "--output", "y.npy", "--json"]
                done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120, check=True)
                output = np.load(Path(folder) / "y.npy")
                self.assertEqual(output.shape, (500, 100))
                self.assertEqual(output.dtype, dtype)
                first = np.array([value(9, 0, j) for j in range(100)])
                self.assertLessEqual(np.linalg.norm(output[0] - first) / np.linalg.norm(first), TOLERANCE[precision])
                self.assertLessEqual(json.loads(done.stdout)["streamed"]["relative_error_sampled"], TOLERANCE[precision])
                # A mean of values in [-sqrt(3), sqrt(3)] lies between them.
                self.assertLessEqual(np.abs(output).max(), 3.0**0.5 * (1.0 + 1e-4))


if __name__ == "__main__":
    program = Path(sys.argv[1]).resolve()
    unittest.main(argv=sys.argv[:1])
