#!/usr/bin/env python3
"""Checks the example files that come with the program, with numpy alone: what their metadata and the guide say of them holds.

    test_examples.py EXAMPLES_FOLDER
"""

from __future__ import annotations

import importlib.util
import json
import sys
import tempfile
import unittest
from pathlib import Path

import numpy as np

from activations import causal_probabilities, layer_setting, read_safetensors, relative_error
from structured_fit import fit_rest, fitted_output

TOOLS = Path(__file__).resolve().parents[2] / "tools"
folder = Path()


class StructuredFit(unittest.TestCase):
    """The reference itself, on inputs of exactly its form."""

    def test_its_own_form_is_recovered(self) -> None:
        random = np.random.default_rng(1)
        for n, k in ((1, 1), (2, 1), (31, 1), (64, 3)):
            below = np.tri(n, dtype=bool)
            lag = np.maximum(np.arange(n)[:, None] - np.arange(n), 0)
            segments = np.arange(n) * k // n
            a, b, g = random.random(n) + 0.1, random.random(n) + 0.1, random.random((k, n)) + 0.1
            rest = np.where(below, a[:, None] * b * g[segments[None, :], lag], 0.0)
            for planted, found in ((rest, segments), (np.where(below, np.outer(a, b), 0.0), None)):
                error = relative_error(fit_rest(planted, below, found, rounds=2000), planted)
                self.assertTrue(error <= 1e-6, f"n {n}, k {k}: {error}")

    def test_everything_exact_is_exact(self) -> None:
        weights = causal_probabilities(*np.random.default_rng(2).standard_normal((2, 20, 4)), 0.5)
        value = np.random.default_rng(3).standard_normal((20, 4))
        for band, columns in ((20, 0), (0, 20)):
            self.assertTrue(relative_error(fitted_output(weights, value, 1, band, columns), weights @ value) <= 1e-12)


class Alibi(unittest.TestCase):
    def setUp(self) -> None:
        self.tensors, self.metadata = read_safetensors(folder / "alibi-bytes-4x4.safetensors")

    def test_file(self) -> None:
        self.assertEqual(self.metadata["position"], "alibi")
        self.assertEqual("".join(json.loads(self.metadata["tokens"])), (folder / "alibi_text.py").read_text(encoding="utf-8")[:1024])
        for layer in range(4):
            for letter in "qkv":
                self.assertEqual(self.tensors[f"layers.{layer}.{letter}"].shape, (4, 1024, 32))
            expected = -(4.0 ** -np.arange(1, 5))[:, None] * np.arange(1024)
            self.assertEqual(self.tensors[f"layers.{layer}.bias"].tolist(), expected.tolist())

    def test_a_steep_head_is_conv_like_and_a_shallow_one_is_not(self) -> None:
        scale = layer_setting(self.metadata, "scale", 0)
        errors = {}
        for head in (0, 3):
            query, key, value, bias = (self.tensors[f"layers.0.{name}"][head] for name in ("q", "k", "v", "bias"))
            weights = causal_probabilities(query, key, scale, bias)
            errors[head] = [relative_error(fitted_output(weights, value, k), weights @ value) for k in (0, 1)]
        print(f"  layer 0, output error of rank one and of one lag vector: steepest head {errors[0]}, shallowest {errors[3]}")
        self.assertTrue(errors[0][1] <= 0.3 <= 0.6 <= errors[0][0], errors)
        self.assertTrue(errors[3][1] >= 0.3, errors)


class Planted(unittest.TestCase):
    def setUp(self) -> None:
        self.tensors, self.metadata = read_safetensors(folder / "planted-noise.safetensors")
        self.heads = json.loads(self.metadata["planted"])

    def test_scores_are_the_described_basis_and_no_noise_is_larger_than_said(self) -> None:
        scale = float(self.metadata["scale"])
        self.assertEqual([(head["k"], head["noise"]) for head in self.heads], [(1, 0), (4, 0), (16, 0), (4, 0.05), (4, 0.5)])
        for head in self.heads:
            query, key = (self.tensors[f"layers.0.{name}"][head["head"]] for name in "qk")
            scores, largest = scale * query @ key.T, 0.0
            for start, end in zip(head["starts"], head["starts"][1:] + [len(scores)]):
                for column in range(start, end):  # the segment's lag vector is its first column, in which there is noise too
                    below = scores[column:, column] - scores[start : start + len(scores) - column, start]
                    largest = max(largest, float(np.abs(below).max()))
            # float32 numbers of up to 6, 64 products of them: some 1e-6 of scores of up to 30.
            self.assertTrue(largest <= 2 * head["noise"] + 1e-4, f"{head}: {largest}")
            self.assertTrue(largest >= head["noise"], f"{head}: {largest}")
            self.assertTrue(all(end - start >= head["T"] for start, end in zip(head["starts"], head["starts"][1:] + [len(scores)])))

    def test_the_script_makes_the_same_file(self) -> None:
        sys.path.insert(0, str(TOOLS))
        spec = importlib.util.spec_from_file_location("make_planted_example", TOOLS / "make_planted_example.py")
        assert spec is not None and spec.loader is not None
        script = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(script)
        with tempfile.TemporaryDirectory() as made:
            self.assertEqual(script.main(["--out", str(Path(made) / "made")]), 0)
            tensors, metadata = read_safetensors(Path(made) / "made")
        self.assertEqual(metadata, self.metadata)
        for name, tensor in self.tensors.items():
            self.assertTrue(np.abs(tensors[name] - tensor).max() <= 1e-5, name)


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    unittest.main(argv=sys.argv[:1] + sys.argv[2:])
