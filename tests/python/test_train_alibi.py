#!/usr/bin/env python3
"""Trains the ALiBi example's model for a few steps and checks the file it writes against the model's own attention.

Exit code 77, which ctest takes for "skipped", when torch is not installed.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import sys
import tempfile
import unittest
from pathlib import Path
from unittest import mock

from torch_python import use_torch_python

use_torch_python("torch", "numpy")
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tools"))
try:
    import torch
    import train_alibi_example as example

    from activations import head_output, read_safetensors, relative_error
except ImportError as error:
    print(f"skipped: {error}; this test needs numpy and torch")
    sys.exit(77)

# The file holds float16, of which q, k and v of about 1 keep 11 bits; what remains of that in an output is some 1e-3.
TOLERANCE = 5e-3
TEXT = b"def stored(tensors):\n    return softmax(tensors) @ value\n"


class Training(unittest.TestCase):
    def setUp(self) -> None:
        holder = tempfile.TemporaryDirectory()
        self.addCleanup(holder.cleanup)
        self.folder = Path(holder.name)
        self.out, self.text, self.weights = (self.folder / name for name in ("out.safetensors", "text.py", "weights.pt"))
        self.text.write_bytes(TEXT * 2)

    def run_script(self, *options: str) -> tuple[int, str]:
        """(exit code, what it said)."""
        said = io.StringIO()
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
            try:
                code = example.main(["--out", str(self.out), "--text", str(self.text), *options])
            except SystemExit as stop:
                code = int(stop.code or 0)
        return code, said.getvalue()

    def test_file_gives_the_models_own_attention(self) -> None:
        n = len(TEXT)
        some = torch.randint(256, (2000,), dtype=torch.uint8)
        with mock.patch.multiple(example, corpus=lambda: (some, some), EVALUATED=2, BATCH=1):
            code, said = self.run_script("--tokens", str(n), "--steps", "1", "--threads", "1", "--weights", str(self.weights))
        self.assertEqual(code, 0, said)
        self.assertIn("bits a byte on the", said)
        tensors, metadata = read_safetensors(self.out)
        self.assertEqual("".join(json.loads(metadata["tokens"])).encode(), TEXT)
        model = example.Model()
        model.load_state_dict(torch.load(self.weights, weights_only=True))
        own = []
        for layer in model.layers:
            layer.out.register_forward_pre_hook(lambda _, inputs: own.append(inputs[0][0].double().numpy()))
        with torch.no_grad():
            model(torch.tensor([list(TEXT)]), example.score_bias(n))
        for layer in range(example.LAYERS):
            for head in range(example.HEADS):
                self.assertEqual(tensors[f"layers.{layer}.bias"][head, 3], -3 * 4.0 ** -(head + 1))
                expected = own[layer][:, head * example.HEAD_WIDTH : (head + 1) * example.HEAD_WIDTH]
                error = relative_error(head_output(tensors, layer, head, float(metadata["scale"])), expected)
                self.assertTrue(error <= TOLERANCE, f"layer {layer}, head {head}: {error}")

    def test_the_corpus_names_no_machine(self) -> None:
        learn, kept_back = (part.numpy().tobytes() for part in example.corpus())
        self.assertGreater(len(learn), 10 * len(kept_back))
        self.assertEqual((learn + kept_back).count(b"'ABIFLAGS': '"), 0)  # the record of how this Python was built

    def test_no_byte_is_guessed_from_itself(self) -> None:
        """A change of one byte changes guesses from that place on only."""
        torch.manual_seed(1)
        model, bias = example.Model(), example.score_bias(16)
        first = torch.randint(256, (1, 16))
        second = first.clone()
        second[0, 7] = (first[0, 7] + 1) % 256
        with torch.no_grad():
            apart = (model(first, bias) - model(second, bias)).abs().amax(dim=(0, 2))
        self.assertEqual(apart[:7].tolist(), [0.0] * 7)
        self.assertGreater(float(apart[7:].min()), 0.0)

    def test_bad_input(self) -> None:
        for code, message, options in ((2, "--steps 0", ["--steps", "0"]), (3, "--tokens wants 5000", ["--tokens", "5000"]),
                                       (3, "No such file", ["--text", str(self.folder / "absent")])):
            got, said = self.run_script(*options)
            self.assertEqual(got, code, said)
            self.assertIn(message, said)
        self.assertEqual(os.listdir(self.folder), ["text.py"])


if __name__ == "__main__":
    unittest.main()
