#!/usr/bin/env python3
"""Runs the exporter on small random models and compares what it stores with the models' own plain attention.

Exit code 77, which ctest takes for "skipped", when torch, transformers or safetensors is not installed.
"""

from __future__ import annotations

import contextlib
import importlib.util
import io
import json
import os
import sys
import tempfile
import unittest
from pathlib import Path
from typing import Any

os.environ["TQDM_DISABLE"] = "1"
try:
    import safetensors  # noqa: F401  (the exporter's)
    import torch
    import transformers

    from activations import head_output, read_safetensors, relative_error
except ImportError as error:
    print(f"skipped: {error}; the exporter's test needs numpy, torch, transformers and safetensors")
    sys.exit(77)

EXPORTER = Path(__file__).resolve().parents[2] / "tools" / "export_activations.py"
spec = importlib.util.spec_from_file_location("export_activations", EXPORTER)
assert spec is not None and spec.loader is not None
export = importlib.util.module_from_spec(spec)
sys.modules[spec.name] = export  # dataclasses look their module up there
spec.loader.exec_module(export)

LAYERS, HEADS, KV_HEADS, WIDTH, TOKENS = 3, 4, 2, 8, 24
COMMON = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": LAYERS, "num_attention_heads": HEADS,
          "num_key_value_heads": KV_HEADS, "head_dim": WIDTH, "vocab_size": 60, "pad_token_id": 0, "initializer_range": 0.5}
# The model runs in float32 and the file holds float32: what is left is the rounding of two float32 computations of one
# attention, about 1e-6 for scores of a few tens.
TOLERANCE = 1e-5


def tiny_models() -> dict[str, tuple[Any, str]]:
    """Models that differ in how they make q and k: name -> (config, the name of the attention's output projection)."""
    gpt2 = transformers.GPT2Config(n_embd=HEADS * WIDTH, n_layer=LAYERS, n_head=HEADS, vocab_size=60, initializer_range=0.5)
    return {
        "llama": (transformers.LlamaConfig(**COMMON), "o_proj"),                        # rotary, grouped heads
        "qwen3": (transformers.Qwen3Config(**COMMON), "o_proj"),                        # q and k normalised
        "phi": (transformers.PhiConfig(**COMMON, partial_rotary_factor=0.5), "dense"),  # rotary on half the width
        "gpt2": (gpt2, "c_proj"),                                                       # no rotary, no groups
    }


def make_model(config: Any) -> Any:
    torch.manual_seed(1)
    return transformers.AutoModelForCausalLM.from_config(config, attn_implementation="eager").eval()


def own_outputs(model: Any, ids: list[int], projection: str) -> list[Any]:
    """For each layer what the model's own attention gives, (n, heads * d): the input of its output projection."""
    outputs: list[Any] = []
    hooks = [module.register_forward_pre_hook(lambda _, inputs: outputs.append(inputs[0][0].double().numpy()))
             for name, module in model.named_modules()
             if name.endswith(projection) and "attn" in name]
    with torch.no_grad():
        model(input_ids=torch.tensor([ids]), use_cache=False)
    for hook in hooks:
        hook.remove()
    return outputs


class Capture(unittest.TestCase):
    def test_stored_tensors_give_the_models_own_attention(self) -> None:
        ids = torch.randint(1, 60, (TOKENS,), generator=torch.Generator().manual_seed(2)).tolist()
        for name, (config, projection) in tiny_models().items():
            with self.subTest(model=name), tempfile.TemporaryDirectory() as folder:
                model = make_model(config)
                own = own_outputs(model, ids, projection)
                self.assertEqual(len(own), LAYERS)
                out = Path(folder) / "out.safetensors"
                export.write(out, export.capture(model, ids, None), "f32", name, [str(i) for i in ids])
                tensors, metadata = read_safetensors(out)
                self.assertEqual(len(tensors), 3 * LAYERS)
                self.assertAlmostEqual(float(metadata["scale"]), WIDTH**-0.5, places=12)
                kv_heads = HEADS if name == "gpt2" else KV_HEADS
                for layer in range(LAYERS):
                    self.assertEqual(tensors[f"layers.{layer}.q"].shape, (HEADS, TOKENS, WIDTH))
                    for letter in "kv":
                        self.assertEqual(tensors[f"layers.{layer}.{letter}"].shape, (kv_heads, TOKENS, WIDTH))
                    for head in range(HEADS):
                        stored = head_output(tensors, layer, head, float(metadata["scale"]))
                        error = relative_error(stored, own[layer][:, head * WIDTH : (head + 1) * WIDTH])
                        self.assertLessEqual(error, TOLERANCE, f"layer {layer}, head {head}")

    def test_only_the_wanted_layers_are_kept(self) -> None:
        caught = export.capture(make_model(tiny_models()["llama"][0]), [1, 2, 3], {0, 2})
        self.assertEqual({name.split(".")[1] for name in caught.tensors}, {"0", "2"})

    def test_softcap_is_computed_and_reported(self) -> None:
        config = transformers.Gemma2Config(**COMMON, attn_logit_softcapping=1.0, sliding_window=4, query_pre_attn_scalar=16)
        model, ids = make_model(config), list(range(1, TOKENS + 1))
        with torch.no_grad():
            own = model(input_ids=torch.tensor([ids]), use_cache=False).logits
        seen: list[Any] = []
        hook = model.register_forward_hook(lambda *arguments: seen.append(arguments[2].logits))
        caught = export.capture(model, ids, None)
        hook.remove()
        self.assertLessEqual(float((seen[0] - own).abs().max()), TOLERANCE * float(own.abs().max()))
        self.assertEqual(caught.beyond_qkv, {"softcap", "a sliding window of 4"})
        self.assertEqual(caught.scales, {0.25})  # from query_pre_attn_scalar, not from the width

    def test_values_too_large_for_f16_are_refused(self) -> None:
        caught = export.Capture(wanted=None)
        caught.keep(0, *(torch.full((1, 1, 2, 2), 1e6) for _ in range(3)), 1.0)
        with tempfile.TemporaryDirectory() as folder:
            with self.assertRaisesRegex(export.ExportError, "bf16 or f32"):
                export.write(Path(folder) / "out", caught, "f16", "m", ["a", "b"])
            self.assertEqual(os.listdir(folder), [])


class CommandLine(unittest.TestCase):
    """The whole program on a model folder with a tokenizer of its own."""

    def setUp(self) -> None:
        holder = tempfile.TemporaryDirectory()
        self.addCleanup(holder.cleanup)
        self.folder = Path(holder.name)
        self.model, self.text, self.out = self.folder / "tiny", self.folder / "text.txt", self.folder / "out.safetensors"
        from tokenizers import Tokenizer, models, pre_tokenizers

        words = {word: number for number, word in enumerate(["?", "the", "query", "meets", "key", "again"])}
        tokenizer = Tokenizer(models.WordLevel(words, unk_token="?"))
        tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
        transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="?").save_pretrained(self.model)
        make_model(tiny_models()["llama"][0]).save_pretrained(self.model)
        self.text.write_text("the query meets the key again\n", encoding="utf-8")

    def run_exporter(self, *options: str, model: str | None = None) -> tuple[int, str]:
        """(exit code, what it said)."""
        said = io.StringIO()
        arguments = [model or str(self.model), "--text", str(self.text), "--out", str(self.out), *options]
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
            try:
                code = export.main(arguments)
            except SystemExit as stop:  # argparse ends the program itself
                code = int(stop.code or 0)
        return code, said.getvalue()

    def test_writes_the_file(self) -> None:
        self.out.write_text("an older file")
        code, said = self.run_exporter("--tokens", "5", "--layers", "0,2", "--dtype", "bf16")
        self.assertEqual((code, said.count("\n")), (0, 1), said)
        tensors, metadata = read_safetensors(self.out)
        self.assertEqual(sorted(tensors), [f"layers.{layer}.{letter}" for layer in (0, 2) for letter in "kqv"])
        self.assertEqual(tensors["layers.2.q"].shape, (HEADS, 5, WIDTH))
        self.assertEqual(json.loads(metadata["tokens"]), ["the", "query", "meets", "the", "key"])
        self.assertEqual(sorted(os.listdir(self.folder)), ["out.safetensors", "text.txt", "tiny"])
        self.assertEqual(metadata["model"], "tiny")

    def test_bad_input_is_one_line_and_nothing_is_written(self) -> None:
        cases = [
            (3, "6 tokens, 7 are needed", ["--tokens", "7"], None),
            (2, "no attention layer 3; it has 0-2", ["--layers", "1-3"], None),
            (3, "no such text file", ["--text", str(self.folder / "absent")], None),
            (3, "not a folder", [], str(self.folder / "absent")),
            (3, "has no file x.gguf", ["--gguf-file", "x.gguf"], None),
            (3, "cannot be loaded", [], str(self.folder)),
            (1, "cannot be written", ["--out", str(self.model)], None),
            (1, "its folder does not exist", ["--out", str(self.folder / "absent" / "out")], None),
        ]
        before = sorted(os.listdir(self.folder))
        for code, message, options, model in cases:
            with self.subTest(message=message):
                got, said = self.run_exporter(*options, model=model)
                self.assertEqual((got, said.count("\n")), (code, 1), said)
                self.assertIn(message, said)
                self.assertEqual(sorted(os.listdir(self.folder)), before)

    def test_bad_usage_names_the_option(self) -> None:
        for options in (["--layers", "3-1"], ["--layers", "a"], ["--tokens", "0"], ["--dtype", "f8"]):
            with self.subTest(options=options):
                code, said = self.run_exporter(*options)
                self.assertEqual(code, 2)
                self.assertIn(options[0], said)


if __name__ == "__main__":
    transformers.logging.set_verbosity_error()
    unittest.main()
