#!/usr/bin/env python3
"""Runs the exporter on small random models of many families and compares what it stores with the models' own plain attention.

Exit code 77, which ctest takes for "skipped", when torch, transformers or safetensors is not installed.
"""

from __future__ import annotations

import contextlib
import gc
import io
import itertools
import json
import os
import sys
import tempfile
import unittest
from pathlib import Path
from typing import Any

from torch_python import use_torch_python

use_torch_python("numpy", "torch", "transformers", "safetensors")
os.environ["TQDM_DISABLE"] = "1"
os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # tests run side by side, and threads that spin would stop each other
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tools"))
try:
    import safetensors
    import torch
    import transformers

    import attention_capture
    import export_activations as export
    from activation_file import ActivationFile
    from activations import head_output, layer_setting, read_safetensors, relative_error
except ImportError as error:
    print(f"skipped: {error}; the exporter's test needs numpy, torch, transformers and safetensors")
    sys.exit(77)

transformers.logging.set_verbosity_error()
LAYERS, HEADS, KV_HEADS, WIDTH, TOKENS, VOCABULARY, WINDOW = 3, 4, 2, 8, 40, 60, 5
HIDDEN = HEADS * WIDTH
# The model runs in float32 and the file holds float32: what is left is the rounding of two float32 computations of one
# attention, about 1e-6 for scores of a few tens.
TOLERANCE = 1e-5


def family(name: str, heads: str = "num_attention_heads", layers: str = "num_hidden_layers", hidden: str = "hidden_size",
           deviation: str = "initializer_range", **more: Any) -> Any:
    """A small configuration of one family, in that family's own words."""
    common = {heads: HEADS, layers: LAYERS, hidden: HIDDEN, deviation: 0.5, "vocab_size": VOCABULARY, "pad_token_id": 0}
    return getattr(transformers, name + "Config")(**{**common, **more})


def grouped(name: str, **more: Any) -> Any:
    return family(name, intermediate_size=64, num_key_value_heads=KV_HEADS, head_dim=WIDTH, **more)


def falcon(**more: Any) -> Any:
    return family("Falcon", **{"new_decoder_architecture": False, "multi_query": False, "alibi": False, "ffn_hidden_size": 64, **more})


GPT = {"heads": "n_head", "layers": "n_layer", "hidden": "n_embd"}
# name -> (config, the name of the attention's output projection, key/value heads, position, the layers with a window)
FAMILIES: dict[str, tuple[Any, str, int, str, list[int]]] = {
    "llama": (grouped("Llama"), "o_proj", KV_HEADS, "rotary", []),
    "qwen2": (grouped("Qwen2"), "o_proj", KV_HEADS, "rotary", []),
    "qwen3": (grouped("Qwen3"), "o_proj", KV_HEADS, "rotary", []),
    "mistral": (grouped("Mistral", sliding_window=WINDOW), "o_proj", KV_HEADS, "rotary", [0, 1, 2]),
    "gemma3": (grouped("Gemma3Text", sliding_window=WINDOW, layer_types=["sliding_attention", "full_attention", "sliding_attention"]),
               "o_proj", KV_HEADS, "rotary", [0, 2]),
    "gemma2 without soft cap": (grouped("Gemma2", sliding_window=WINDOW, attn_logit_softcapping=None, query_pre_attn_scalar=16),
                                "o_proj", KV_HEADS, "rotary", [0, 2]),
    "phi": (grouped("Phi", partial_rotary_factor=0.5), "dense", KV_HEADS, "rotary", []),
    "gpt-neox": (family("GPTNeoX", intermediate_size=64), "dense", HEADS, "rotary", []),
    "gpt2": (family("GPT2", **GPT), "c_proj", HEADS, "learned", []),
    "gpt2, another scale in each layer": (family("GPT2", **GPT, scale_attn_by_inverse_layer_idx=True), "c_proj", HEADS, "learned", []),
    "opt": (family("OPT", deviation="init_std", ffn_dim=64, word_embed_proj_dim=HIDDEN), "out_proj", HEADS, "learned", []),
    # These do not go through the registry.
    "bloom": (family("Bloom", heads="n_head", layers="n_layer"), "dense", HEADS, "alibi", []),
    "mpt": (family("Mpt", heads="n_heads", layers="n_layers", hidden="d_model", expansion_ratio=2), "out_proj", HEADS, "alibi", []),
    "falcon, alibi": (falcon(alibi=True), "dense", HEADS, "alibi", []),
    "falcon, one key/value head": (falcon(multi_query=True), "dense", 1, "rotary", []),
    "falcon, groups": (falcon(new_decoder_architecture=True, num_kv_heads=KV_HEADS), "dense", KV_HEADS, "rotary", []),
    "gpt-j": (family("GPTJ", **GPT, rotary_dim=4), "out_proj", HEADS, "rotary", []),
    "gpt-neo": (family("GPTNeo", heads="num_heads", layers="num_layers", max_position_embeddings=64, window_size=WINDOW,
                       attention_types=[[["global", "local", "global"], 1]]), "out_proj", HEADS, "learned", [1]),
    "codegen": (family("CodeGen", **GPT, rotary_dim=4), "out_proj", HEADS, "rotary", []),
    "xglm": (family("XGLM", heads="attention_heads", layers="num_layers", hidden="d_model", deviation="init_std", ffn_dim=64),
             "out_proj", HEADS, "sinusoidal", []),
}


def make_model(config: Any) -> Any:
    torch.manual_seed(1)
    return transformers.AutoModelForCausalLM.from_config(config, attn_implementation="eager").eval()


def some_ids(count: int = TOKENS) -> list[int]:
    return torch.randint(1, VOCABULARY, (count,), generator=torch.Generator().manual_seed(2)).tolist()


def own_outputs(model: Any, ids: list[int], projection: str) -> list[Any]:
    """For each layer what the model's own attention gives, (n, heads * d): the input of its output projection."""
    outputs: list[Any] = []
    hooks = [module.register_forward_pre_hook(lambda _, inputs: outputs.append(inputs[0][0].double().numpy()))
             for name, module in model.named_modules()
             if name.endswith(projection) and "att" in name]
    with torch.no_grad():
        model(input_ids=torch.tensor([ids]), use_cache=False)
    for hook in hooks:
        hook.remove()
    return outputs


def export_to(folder: str, model: Any, ids: list[int], dtype: str = "f32", heads: list[int] | None = None) -> tuple[Any, Any, Any]:
    """(the writer, the file's tensors, its metadata)."""
    sequence = export.Sequence(ids, [str(i) for i in ids], "ids", 0, Path(folder) / "out.safetensors")
    writer = export.export(model, "tiny", sequence, dtype, None, heads)
    return writer, *read_safetensors(sequence.out)


class Families(unittest.TestCase):
    def test_stored_tensors_give_the_models_own_attention(self) -> None:
        ids = some_ids()
        for name, (config, projection, kv_heads, position, windowed) in FAMILIES.items():
            with self.subTest(model=name), tempfile.TemporaryDirectory() as folder:
                model = make_model(config)
                own = own_outputs(model, ids, projection)
                self.assertEqual(len(own), LAYERS)
                writer, tensors, metadata = export_to(folder, model, ids)
                self.assertEqual(metadata["position"], position)
                self.assertEqual(json.loads(metadata.get("sliding_window", "{}")), {str(layer): WINDOW for layer in windowed})
                self.assertNotIn("missing", metadata)
                self.assertTrue(writer.rounding <= TOLERANCE, writer.rounding)
                self.assertEqual(len(tensors), (4 if position == "alibi" else 3) * LAYERS)
                for layer in range(LAYERS):
                    self.assertEqual(tensors[f"layers.{layer}.q"].shape, (HEADS, TOKENS, WIDTH))
                    for letter in "kv":
                        self.assertEqual(tensors[f"layers.{layer}.{letter}"].shape, (kv_heads, TOKENS, WIDTH))
                    scale, window = (layer_setting(metadata, key, layer) for key in ("scale", "sliding_window"))
                    for head in range(HEADS):
                        error = relative_error(head_output(tensors, layer, head, scale, window), own[layer][:, head * WIDTH : (head + 1) * WIDTH])
                        self.assertTrue(error <= TOLERANCE, f"layer {layer}, head {head}: {error}")

    def test_alibi_has_the_published_slopes(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            _, tensors, metadata = export_to(folder, make_model(FAMILIES["bloom"][0]), some_ids())
        for head, slope in enumerate((1 / 4, 1 / 16, 1 / 64, 1 / 256)):
            for lag in range(TOKENS):  # scores of some tens in float32, from which it was read, are known to 1e-6 or so
                self.assertAlmostEqual(tensors["layers.1.bias"][head, lag], -slope * lag, delta=1e-5)
        self.assertAlmostEqual(float(metadata["scale"]), WIDTH**-0.5, places=12)

    def test_a_soft_cap_and_sinks_are_named(self) -> None:
        cases = {"a soft cap": grouped("Gemma2", sliding_window=WINDOW, attn_logit_softcapping=1.0, query_pre_attn_scalar=16),
                 "attention sinks": grouped("GptOss", sliding_window=WINDOW, num_local_experts=2, num_experts_per_tok=1)}
        for words, config in cases.items():
            with self.subTest(words), tempfile.TemporaryDirectory() as folder:
                model, caught = make_model(config), []
                own = own_outputs(model, some_ids(), "o_proj")
                attention_capture.capture(model, some_ids(), lambda _, inputs: caught.append(inputs))
                for inputs, expected in zip(caught, own, strict=True):  # the model did use it while it was caught
                    self.assertTrue(relative_error(inputs.output.transpose(0, 1).flatten(1).numpy(), expected) <= TOLERANCE)
                _, _, metadata = export_to(folder, model, some_ids())
                missing = json.loads(metadata["missing"])
                self.assertEqual(list(missing), ["0", "1", "2"])
                self.assertTrue(all(text.startswith(words) and "differs by" in text for text in missing.values()), missing)

    def test_an_ingredient_nobody_named_is_noticed(self) -> None:
        inputs = attention_capture.LayerInputs(*torch.randn(3, HEADS, TOKENS, WIDTH, generator=torch.Generator().manual_seed(3)), 0.3)
        inputs.output = torch.nn.functional.scaled_dot_product_attention(*(x[None] for x in (inputs.query, inputs.key, inputs.value)),
                                                                         is_causal=True, scale=0.3)[0]
        self.assertTrue(inputs.gap(inputs.query, inputs.key, inputs.value) <= TOLERANCE)
        inputs.output[2, TOKENS - 1] *= 1.1
        self.assertFalse(inputs.gap(inputs.query, inputs.key, inputs.value) <= attention_capture.OUTPUT_TOLERANCE)


class WhatIsAdded(unittest.TestCase):
    """Bias and window, read off what is added to the scores, or off the scores."""

    def setUp(self) -> None:
        chance = torch.Generator().manual_seed(4)
        self.lag = (torch.arange(TOKENS)[:, None] - torch.arange(TOKENS)).clamp(min=0)
        self.bias = torch.randn(HEADS, TOKENS, generator=chance)
        self.bias[:, 0] = 0
        self.query, self.key = torch.randn(2, HEADS, TOKENS, WIDTH, generator=chance)
        self.rows = torch.randn(HEADS, TOKENS, 1, generator=chance)  # a softmax does not see them
        self.above = torch.ones(TOKENS, TOKENS, dtype=torch.bool).triu(1)

    def test_any_function_of_the_lag_is_found(self) -> None:
        for window, scale in itertools.product((None, 1, 2, 7, TOKENS - 1), (1.0, WIDTH**-0.5, 0.123)):
            with self.subTest(window=window, scale=scale):
                hidden = self.above | (self.lag >= (window or TOKENS))
                added = (self.rows + self.bias[:, self.lag]).masked_fill(hidden, -torch.inf)
                bias, found = attention_capture.split_added(added, 4.0)
                self.assertEqual(found, window)
                if window == 1:
                    self.assertIsNone(bias)
                    continue
                self.assertTrue(float((bias - self.bias)[:, :window].abs().max()) <= 1e-5)
                if window == 2:  # too narrow for the differences that the scale is read off
                    continue
                scores = (scale * self.query @ self.key.transpose(1, 2) + added).masked_fill(hidden, torch.finfo(torch.float32).min)
                read, bias, found = attention_capture.read_scores(scores, self.query, self.key)
                self.assertTrue(abs(read / scale - 1) <= 1e-6, read)
                self.assertEqual(found, window)
                self.assertTrue(float((bias - self.bias)[:, :window].abs().max()) <= 1e-5)

    def test_other_biases_and_masks_are_refused(self) -> None:
        by_key = self.rows.transpose(1, 2).expand(-1, TOKENS, -1).masked_fill(self.above, -torch.inf)
        with self.assertRaisesRegex(attention_capture.CaptureError, "no function of the lag"):
            attention_capture.split_added(by_key, 4.0)
        with self.assertRaisesRegex(attention_capture.CaptureError, "no function of the lag"):
            attention_capture.read_scores(self.query @ self.key.transpose(1, 2) + by_key, self.query, self.key)
        for mask in (torch.zeros(TOKENS, TOKENS), torch.zeros(TOKENS, TOKENS).masked_fill(self.above | (self.lag == 3), -torch.inf)):
            with self.assertRaisesRegex(attention_capture.CaptureError, "neither causal nor a sliding window"):
                attention_capture.split_added(mask[None], 4.0)

    def test_mask_and_bias_of_the_registry(self) -> None:
        hidden = self.above | (self.lag >= 7)
        given = self.bias[None][:, :, self.lag] + self.rows
        for mask, window in ((None, None), (~hidden[None, None], 7), (torch.zeros(1, 1, TOKENS, TOKENS).masked_fill(hidden, -torch.inf), 7)):
            self.assertEqual(attention_capture.added_by(mask, None, self.query[None]), (None, window))
            bias, found = attention_capture.added_by(mask, given, self.query[None])
            self.assertEqual(found, window)
            self.assertTrue(float((bias - self.bias)[:, :window].abs().max()) <= 1e-5)

    def test_falcon_rounds_its_bias_beyond_256_tokens_and_is_refused(self) -> None:
        with tempfile.TemporaryDirectory() as folder, self.assertRaisesRegex(export.ExportError, "no function of the lag"):
            export_to(folder, make_model(FAMILIES["falcon, alibi"][0]), some_ids(400))


class Writing(unittest.TestCase):
    def test_any_choice_of_heads_keeps_their_own_keys_and_values(self) -> None:
        model, ids = make_model(grouped("Llama")), some_ids()
        bloom = make_model(FAMILIES["bloom"][0])
        with tempfile.TemporaryDirectory() as folder:
            _, whole, metadata = export_to(folder, model, ids)
            _, whole_bloom, _ = export_to(folder, bloom, ids)
            scale = float(metadata["scale"])
            for count in range(1, HEADS + 1):
                for heads in itertools.combinations(range(HEADS), count):
                    _, part, metadata = export_to(folder, model, ids, heads=list(heads))
                    self.assertEqual(json.loads(metadata["heads"]), list(heads))
                    self.assertEqual(part["layers.1.q"].shape[0], count)
                    self.assertEqual(count % len(part["layers.1.k"]), 0)
                    for number, head in enumerate(heads):
                        self.assertEqual(head_output(part, 1, number, scale).tolist(), head_output(whole, 1, head, scale).tolist())
            _, part, _ = export_to(folder, model, ids, heads=[2, 3])
            self.assertEqual(len(part["layers.0.k"]), 1)  # one group needs one key/value head
            _, part, _ = export_to(folder, bloom, ids, heads=[1, 3])
            self.assertEqual(part["layers.0.bias"].tolist(), whole_bloom["layers.0.bias"][[1, 3]].tolist())

    def test_one_layer_at_a_time_is_in_memory(self) -> None:
        alive: list[int] = []

        class Counting(export.LayerWriter):
            def keep(self, layer: int, inputs: Any) -> None:
                super().keep(layer, inputs)
                alive.append(sum(type(thing) is attention_capture.LayerInputs for thing in gc.get_objects()))

        gc.collect()
        for name in ("llama", "bloom"):
            with tempfile.TemporaryDirectory() as folder, ActivationFile(Path(folder) / "out") as file:
                attention_capture.capture(make_model(FAMILIES[name][0]), some_ids(), Counting(file, "f16", None, None))
        self.assertEqual(alive, [1] * (2 * LAYERS))

    def test_the_pass_ends_after_the_last_wanted_layer(self) -> None:
        model = make_model(grouped("Llama"))
        with tempfile.TemporaryDirectory() as folder, ActivationFile(Path(folder) / "out") as file:
            writer = export.LayerWriter(file, "f16", {1}, None)
            attention_capture.capture(model, some_ids(), writer)
        self.assertEqual((writer.kept, writer.seen), ({1}, {0, 1}))

    def test_values_too_large_for_f16_are_refused(self) -> None:
        inputs = attention_capture.LayerInputs(*(torch.full((1, 2, 2), 1e6) for _ in range(3)), 1.0)
        with tempfile.TemporaryDirectory() as folder, ActivationFile(Path(folder) / "out") as file:
            with self.assertRaisesRegex(export.ExportError, "bf16 or f32"):
                export.LayerWriter(file, "f16", None, None)(0, inputs)
            export.LayerWriter(file, "bf16", None, None)(0, inputs)

    def test_a_bias_that_is_no_straight_line_is_not_called_alibi(self) -> None:
        line = -torch.arange(TOKENS).float()[None] / 8
        for bias, name in ((line, "alibi"), (line.square(), "bias")):
            with tempfile.TemporaryDirectory() as folder, ActivationFile(Path(folder) / "out") as file:
                writer = export.LayerWriter(file, "f16", None, None)
                writer(3, attention_capture.LayerInputs(*torch.zeros(3, 1, TOKENS, WIDTH), 0.5, bias))
                self.assertEqual(writer.metadata(None, "m", export.Sequence([1], ["a"], "t", 0))["position"], name)
                with self.assertRaisesRegex(export.ExportError, "layer 3 attends more than once"):
                    writer(3, attention_capture.LayerInputs(*torch.zeros(3, 1, TOKENS, WIDTH), 0.5, bias))

    def test_a_model_without_softmax_is_refused(self) -> None:
        config = transformers.MambaConfig(hidden_size=HIDDEN, num_hidden_layers=1, vocab_size=VOCABULARY, state_size=4)
        with tempfile.TemporaryDirectory() as folder:
            with self.assertRaisesRegex(export.ExportError, "no softmax of a product"):
                export_to(folder, make_model(config), some_ids())
            self.assertEqual(os.listdir(folder), [])

    def test_file_is_as_the_safetensors_library_wants_it(self) -> None:
        chance = torch.Generator().manual_seed(5)
        tensors = {f"{kind}-{n}".replace("torch.", ""): torch.randn(2, n, 3, generator=chance).to(kind)
                   for kind in (torch.float16, torch.bfloat16, torch.float32) for n in (1, 2, 5)}
        codes = {torch.float16: "F16", torch.bfloat16: "BF16", torch.float32: "F32"}
        with tempfile.TemporaryDirectory() as folder:
            out = Path(folder) / "out.safetensors"
            with ActivationFile(out) as file:
                for name, tensor in tensors.items():
                    file.add(name, codes[tensor.dtype], tuple(tensor.shape), tensor.view(torch.uint8).numpy())
                with self.assertRaisesRegex(ValueError, "given twice"):
                    file.add("float16-1", "F16", (1,), b"ab")
                with self.assertRaisesRegex(ValueError, "6 bytes given"):
                    file.add("more", "F32", (1, 2), b"abcdef")
                file.finish({"text": "µ"})
            with safetensors.safe_open(out, "pt") as opened:
                self.assertEqual(opened.metadata(), {"text": "µ"})
                self.assertEqual(set(opened.keys()), set(tensors))
                for name, tensor in tensors.items():
                    self.assertTrue(torch.equal(opened.get_tensor(name), tensor), name)
            with contextlib.suppress(KeyboardInterrupt), ActivationFile(Path(folder) / "other") as file:
                file.add("q", "F16", (1,), b"ab")
                raise KeyboardInterrupt
            self.assertEqual(os.listdir(folder), ["out.safetensors"])


class CommandLine(unittest.TestCase):
    """The whole program on a model folder with a tokenizer of its own."""

    def setUp(self) -> None:
        holder = tempfile.TemporaryDirectory()
        self.addCleanup(holder.cleanup)
        self.folder = Path(holder.name)
        self.model, self.text, self.out = self.folder / "tiny", self.folder / "text.txt", self.folder / "out.safetensors"
        self.ids = self.folder / "ids.json"
        from tokenizers import Tokenizer, models, pre_tokenizers

        words = {word: number for number, word in enumerate(["?", "the", "query", "meets", "key", "again"])}
        tokenizer = Tokenizer(models.WordLevel(words, unk_token="?"))
        tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
        transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="?").save_pretrained(self.model)
        make_model(grouped("Llama")).save_pretrained(self.model)
        self.text.write_text("the query meets the key again\n", encoding="utf-8")
        self.ids.write_text("[[1, 2, 3], [4, 5]]", encoding="utf-8")

    def run_exporter(self, *options: str, model: str | None = None) -> tuple[int, str]:
        """(exit code, what it said)."""
        said = io.StringIO()
        what = [] if "--ids" in options or "--text" in options else ["--text", str(self.text)]
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
            try:
                code = export.main([model or str(self.model), *what, "--out", str(self.out), *options])
            except SystemExit as stop:  # argparse ends the program itself
                code = int(stop.code or 0)
        return code, said.getvalue()

    def test_writes_the_file(self) -> None:
        self.out.write_text("an older file")
        code, said = self.run_exporter("--tokens", "5", "--layers", "0,2", "--heads", "0-1", "--dtype", "bf16")
        self.assertEqual((code, said.count("\n")), (0, 1), said)
        tensors, metadata = read_safetensors(self.out)
        self.assertEqual(sorted(tensors), [f"layers.{layer}.{letter}" for layer in (0, 2) for letter in "kqv"])
        self.assertEqual(tensors["layers.2.q"].shape, (2, 5, WIDTH))
        self.assertEqual(json.loads(metadata["tokens"]), ["the", "query", "meets", "the", "key"])
        self.assertEqual(sorted(os.listdir(self.folder)), ["ids.json", "out.safetensors", "text.txt", "tiny"])
        self.assertEqual((metadata["model"], metadata["text"], metadata["first_token"], metadata["heads"]), ("tiny", "text.txt", "0", "[0, 1]"))

    def test_windows_and_texts_become_files_of_their_own(self) -> None:
        code, said = self.run_exporter("--text", str(self.text), str(self.text), "--tokens", "3", "--windows", "2")
        self.assertEqual((code, said.count("\n")), (0, 4), said)
        for number, (words, first) in enumerate([(["the", "query", "meets"], "0"), (["the", "key", "again"], "3")] * 2, 1):
            _, metadata = read_safetensors(self.folder / f"out-{number}.safetensors")
            self.assertEqual((json.loads(metadata["tokens"]), metadata["first_token"]), (words, first))
        self.assertFalse(self.out.exists())

    def test_token_numbers_need_no_tokenizer(self) -> None:
        for path in self.model.glob("*token*"):
            path.unlink()
        code, said = self.run_exporter("--ids", str(self.ids))
        self.assertEqual(code, 0, said)
        tensors, metadata = read_safetensors(self.folder / "out-2.safetensors")
        self.assertEqual((tensors["layers.0.q"].shape[1], json.loads(metadata["tokens"])), (2, ["4", "5"]))

    def test_bad_input_is_one_line_and_nothing_is_written(self) -> None:
        def ids(text: str) -> list[str]:
            path = self.folder / f"ids{len(os.listdir(self.folder))}.json"
            path.write_text(text, encoding="utf-8")
            return ["--ids", str(path)]

        cases = [
            (3, "6 tokens, 7 are needed", ["--tokens", "7"], None),
            (3, "6 tokens, 8 are needed", ["--tokens", "4", "--windows", "2"], None),
            (2, "no attention layer 3; it has 0-2", ["--layers", "1-3"], None),
            (2, "no query head 4; it has 0-3", ["--heads", "1,4"], None),
            (3, "no such file", ["--text", str(self.folder / "absent")], None),
            (3, "not a folder", [], str(self.folder / "absent")),
            (3, "has no file x.gguf", ["--gguf-file", "x.gguf"], None),
            (3, "cannot be loaded", [], str(self.folder)),
            (1, "cannot be written", ["--out", str(self.model)], None),
            (1, "its folder does not exist", ["--out", str(self.folder / "absent" / "out")], None),
            (3, "not JSON", ids("[1, 2"), None),
            (3, "no list of token numbers", ids("[]"), None),
            (3, "no list of token numbers", ids('["a"]'), None),
            (3, "no list of token numbers", ids("[[1], []]"), None),
            (3, "no list of token numbers", ids("[1, -2]"), None),
            (3, "no list of token numbers", ids("[true]"), None),
            (3, "token number 60 is too large; the model has 60", ids("[1, 60]"), None),
        ]
        before = sorted(os.listdir(self.folder))
        for code, message, options, model in cases:
            with self.subTest(message=message, options=options):
                got, said = self.run_exporter(*options, model=model)
                self.assertEqual((got, said.count("\n")), (code, 1), said)
                self.assertIn(message, said)
                self.assertEqual(sorted(os.listdir(self.folder)), before)

    def test_more_tokens_than_learned_positions_are_refused(self) -> None:
        make_model(FAMILIES["gpt-neo"][0]).save_pretrained(self.folder / "neo")
        self.ids.write_text(json.dumps([1] * 65), encoding="utf-8")
        code, said = self.run_exporter("--ids", str(self.ids), model=str(self.folder / "neo"))
        self.assertEqual((code, said.count("\n")), (3, 1), said)
        self.assertIn("65 tokens are more than the 64 positions", said)

    def test_bad_usage_names_the_option(self) -> None:
        for options in (["--layers", "3-1"], ["--layers", "a"], ["--layers", "0-99999999999"], ["--heads", ""], ["--tokens", "0"],
                        ["--windows", "0"], ["--windows", "2"], ["--dtype", "f8"], ["--text", "a", "--ids", "b"]):
            with self.subTest(options=options):
                code, said = self.run_exporter(*options)
                self.assertEqual(code, 2)
                self.assertIn(options[0], said)


if __name__ == "__main__":
    unittest.main()
