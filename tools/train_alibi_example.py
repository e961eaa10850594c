#!/usr/bin/env python3
"""Trains the small ALiBi model behind the second built-in example, and writes what its attention heads receive.

    train_alibi_example.py [--out FILE] [--text FILE] [--tokens N] [--steps N] [--seed N] [--threads N] [--weights FILE]

A decoder over bytes, 4 layers of 4 heads of width 32, whose only knowledge of position is ALiBi (Press, Smith and Lewis, 2022): score
S_ij = q_i . k_j / sqrt(32) - slope_h (i - j) with slopes 1/4, 1/16, 1/64, 1/256. It learns from the sources of the Python standard
library of the interpreter that runs this script; every 20th file is kept back, and the loss on those is printed in bits a byte.

The file holds, for every layer L, `layers.{L}.q`, `.k`, `.v` = (4, n, 32) in float16 and `layers.{L}.bias` = (4, n) in float32, by lag
i - j. Needs torch. The defaults take 10 minutes or so on two cores. The same seed, torch version and machine give the same file.
Exit codes: 0 done, 1 the work failed, 2 bad usage, 3 bad input file.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
import sysconfig
import time
from pathlib import Path

# Threads that spin while they wait take the cores from whatever else runs, and lose them at the next meeting point: ten times slower.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import torch
from torch import Tensor, nn
from torch.nn import functional

from activation_file import ActivationFile

EXAMPLES = Path(__file__).resolve().parents[1] / "assets" / "examples"
LAYERS, HEADS, HEAD_WIDTH = 4, 4, 32
WIDTH = HEADS * HEAD_WIDTH
WINDOW, BATCH = 512, 8  # bytes in a training window, windows in a step
HELD_OUT = 20  # every 20th file
EVALUATED = 64  # windows of the files kept back on which the loss is measured
SEPARATOR = b"\0"
# Tests hold odd bytes, other packages are not the standard library, and build records name the machine that Python was built on.
LEFT_OUT = ("test", "tests", "idle_test", "site-packages", "dist-packages", "_sysconfigdata")


def corpus() -> tuple[Tensor, Tensor]:
    """(bytes to learn from, bytes kept back): the standard library's sources in the order of their names."""
    root = Path(sysconfig.get_paths()["stdlib"])
    files = [path for path in sorted(root.rglob("*.py"), key=lambda path: path.relative_to(root).as_posix())
             if not any(part.startswith(LEFT_OUT) for part in path.relative_to(root).parts)]
    texts = [path.read_bytes() for path in files]
    kept_back = SEPARATOR.join(texts[HELD_OUT - 1 :: HELD_OUT])
    learn = SEPARATOR.join(text for number, text in enumerate(texts) if number % HELD_OUT != HELD_OUT - 1)
    return tuple(torch.frombuffer(bytearray(part), dtype=torch.uint8) for part in (learn, kept_back))


def slopes() -> Tensor:
    """The published ones for 4 heads: 2^-2, 2^-4, 2^-6, 2^-8."""
    return 2.0 ** (-8.0 * torch.arange(1, HEADS + 1) / HEADS)


def bias_by_lag(n: int) -> Tensor:
    """(heads, n): what is added to a score at lag 0 to n - 1."""
    return -slopes()[:, None] * torch.arange(n)


def score_bias(n: int) -> Tensor:
    """(1, heads, n, n): the same for every pair of positions, minus infinity above the diagonal."""
    lag = torch.arange(n)[:, None] - torch.arange(n)
    return torch.where(lag >= 0, bias_by_lag(n)[:, lag.clamp(min=0)], -math.inf)[None]


class Layer(nn.Module):
    """Attention and a two-layer network, each after a normalisation and added to what came in."""

    def __init__(self) -> None:
        super().__init__()
        self.attention_norm, self.network_norm = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.qkv, self.out = nn.Linear(WIDTH, 3 * WIDTH, bias=False), nn.Linear(WIDTH, WIDTH, bias=False)
        self.network = nn.Sequential(nn.Linear(WIDTH, 4 * WIDTH), nn.GELU(), nn.Linear(4 * WIDTH, WIDTH))

    def heads(self, x: Tensor) -> list[Tensor]:
        """q, k and v, each (batch, heads, n, width of a head)."""
        batch, n, _ = x.shape
        return list(self.qkv(self.attention_norm(x)).view(batch, n, 3, HEADS, HEAD_WIDTH).permute(2, 0, 3, 1, 4))

    def forward(self, x: Tensor, bias: Tensor) -> Tensor:
        seen = functional.scaled_dot_product_attention(*self.heads(x), attn_mask=bias)
        x = x + self.out(seen.transpose(1, 2).flatten(2))
        return x + self.network(self.network_norm(x))


class Model(nn.Module):
    """Bytes to the logarithms (up to a constant) of the next byte's probabilities."""

    def __init__(self) -> None:
        super().__init__()
        self.bytes = nn.Embedding(256, WIDTH)
        self.layers = nn.ModuleList(Layer() for _ in range(LAYERS))
        self.norm, self.out = nn.LayerNorm(WIDTH), nn.Linear(WIDTH, 256, bias=False)
        for name, parameter in self.named_parameters():
            if parameter.dim() == 2:  # outputs that are added up start smaller, so that the sum over layers does not grow
                nn.init.normal_(parameter, std=0.02 / (math.sqrt(2 * LAYERS) if ".out." in name or "network.2" in name else 1))

    def forward(self, tokens: Tensor, bias: Tensor) -> Tensor:
        x = self.bytes(tokens)
        for layer in self.layers:
            x = layer(x, bias)
        return self.out(self.norm(x))


def loss_of(model: Model, windows: Tensor, bias: Tensor) -> Tensor:
    """Mean cross entropy, in nats a byte, of predicting each byte of the windows (batch, n + 1) from those before it."""
    guess = model(windows[:, :-1], bias)
    return functional.cross_entropy(guess.flatten(0, 1), windows[:, 1:].flatten())


def train(model: Model, text: Tensor, steps: int, seed: int) -> None:
    """AdamW with a short warm-up and a cosine descent of the step size."""
    chance = torch.Generator().manual_seed(seed)
    matrices = [parameter for parameter in model.parameters() if parameter.dim() == 2]
    others = [parameter for parameter in model.parameters() if parameter.dim() != 2]
    optimizer = torch.optim.AdamW([{"params": matrices, "weight_decay": 0.1}, {"params": others, "weight_decay": 0.0}], lr=3e-3, betas=(0.9, 0.95))
    warm_up = max(1, min(100, steps // 10))
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min((step + 1) / warm_up, 0.05 + 0.95 * (1 + math.cos(math.pi * min(step / steps, 1.0))) / 2))
    bias = score_bias(WINDOW)
    began = time.monotonic()
    for step in range(1, steps + 1):
        starts = torch.randint(len(text) - WINDOW, (BATCH, 1), generator=chance)
        loss = loss_of(model, text[starts + torch.arange(WINDOW + 1)].long(), bias)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        if step % 100 == 0 or step == steps:
            print(f"step {step}/{steps}: {loss.item() / math.log(2):.3f} bits a byte, {time.monotonic() - began:.0f} s", file=sys.stderr)


def evaluate(model: Model, text: Tensor) -> float:
    """Bits a byte over windows spread evenly over the text."""
    starts = torch.linspace(0, len(text) - WINDOW - 1, EVALUATED).long()
    batches = text[starts[:, None] + torch.arange(WINDOW + 1)].long().split(BATCH)
    with torch.no_grad():
        losses = [loss_of(model, batch, score_bias(WINDOW)).item() for batch in batches]
    return sum(losses) / len(losses) / math.log(2)


def export(model: Model, text: bytes, out: Path) -> None:
    """Runs the model over the text and writes every head's q, k, v and position bias."""
    n = len(text)
    bias = score_bias(n)
    with torch.no_grad(), ActivationFile(out) as file:
        x = model.bytes(torch.tensor([list(text)]))
        for number, layer in enumerate(model.layers):
            for letter, tensor in zip("qkv", layer.heads(x)):
                file.add(f"layers.{number}.{letter}", "F16", (HEADS, n, HEAD_WIDTH), tensor[0].half().contiguous().numpy())
            file.add(f"layers.{number}.bias", "F32", (HEADS, n), bias_by_lag(n).float().contiguous().numpy())
            x = layer(x, bias)
        file.finish({"scale": repr(HEAD_WIDTH**-0.5), "model": "alibi-bytes-4x4", "position": "alibi",
                     "tokens": json.dumps([chr(byte) for byte in text])})


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit code."""
    parser = argparse.ArgumentParser(description="Train a small byte-level ALiBi model and export its heads.", allow_abbrev=False)
    parser.add_argument("--out", type=Path, default=EXAMPLES / "alibi-bytes-4x4.safetensors", metavar="FILE", help="file to write")
    parser.add_argument("--text", type=Path, default=EXAMPLES / "alibi_text.py", metavar="FILE", help="what the trained model reads")
    parser.add_argument("--tokens", type=int, default=1024, metavar="N", help="bytes of it (default: 1024)")
    parser.add_argument("--steps", type=int, default=2000, metavar="N", help="training steps (default: 2000)")
    parser.add_argument("--seed", type=int, default=1, metavar="N")
    parser.add_argument("--threads", type=int, default=2, metavar="N", help="default: 2")
    parser.add_argument("--weights", type=Path, metavar="FILE", help="keep the trained weights here; if it is there, do not train")
    options = parser.parse_args(arguments)
    for name in ("tokens", "steps", "threads"):
        if getattr(options, name) < 1:
            parser.error(f"--{name} {getattr(options, name)}: at least 1 is needed")
    try:
        text = options.text.read_bytes()[: options.tokens]
    except OSError as error:
        print(f"train_alibi_example: {options.text}: {error.strerror}", file=sys.stderr)
        return 3
    if len(text) < options.tokens:
        print(f"train_alibi_example: {options.text}: has {len(text)} bytes, --tokens wants {options.tokens}", file=sys.stderr)
        return 3
    torch.manual_seed(options.seed)
    torch.set_num_threads(options.threads)
    model = Model()
    try:
        learn, kept_back = corpus()
        if options.weights is not None and options.weights.exists():
            model.load_state_dict(torch.load(options.weights, weights_only=True))
        else:
            train(model, learn, options.steps, options.seed)
            if options.weights is not None:
                torch.save(model.state_dict(), options.weights)
        model.eval()
        print(f"{len(learn)} bytes to learn from; {evaluate(model, kept_back):.3f} bits a byte on the {len(kept_back)} kept back")
        export(model, text, options.out)
    except OSError as error:
        print(f"train_alibi_example: {error}", file=sys.stderr)
        return 1
    print(f"{options.out}: {len(text)} bytes read, {options.out.stat().st_size / 1e6:.3g} MB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
