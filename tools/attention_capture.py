"""Catches what the attention layers of a Hugging Face decoder receive, while it reads some tokens. Needs torch and transformers.

Two ways in, tried in this order; neither needs code for a particular model:

- transformers' attention registry, through which most decoders call their attention with q, k, v, scale and mask as arguments;
- where a model computes attention on its own (BLOOM, MPT, Falcon, GPT-J, GPT-Neo, ...), the operations that PyTorch carries out are
  watched: a product whose result is n x n per head, a softmax, and the product with V. The scale and what is added to the scores are then
  read off the scores themselves.

Either way some rows of attention are computed anew from what was caught and compared with the model's own, so that an ingredient
nobody thought of is found as well.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

REGISTRY_NAME = "convscope_capture"
# Models mark what may not be seen with the lowest number of the type, perhaps scaled, or with -inf; no score comes near this.
MASKED_BELOW = -1e30
# What the registry's attention may be called with that q, k, v, scale, bias and window do not hold.
BEYOND = {"softcap": "a soft cap", "s_aux": "attention sinks outside the text"}
# Two float32 computations of one score differ by some 1e-6 of the largest; what differs more was not computed from the same terms.
SCORE_TOLERANCE = 2e-5
# Rows of attention that are computed anew, and how far from the model's own they may be before something is taken to be missing.
CHECKED_ROWS = 16
OUTPUT_TOLERANCE = 1e-3


class CaptureError(Exception):
    """The model's attention cannot be written down as q, k, v, a scale, a bias by lag and a window."""


@dataclass
class LayerInputs:
    """What one attention layer received: S_ij = scale q_i.k_j + bias[i - j] for 0 <= i - j < window, and softmax(S) V is its output."""

    query: Tensor
    """(query heads, n, d)"""
    key: Tensor
    """(key/value heads, n, d)"""
    value: Tensor
    """(key/value heads, n, d_v)"""
    scale: float
    bias: Tensor | None = None
    """(query heads, n) by lag, float32, 0 at lag 0; None: the model adds nothing."""
    window: int | None = None
    """A token sees itself and the window - 1 tokens before it; None: all before it."""
    missing: list[str] = field(default_factory=list)
    """What the model's attention uses and the above does not hold, in words."""
    output: Tensor | None = None
    """(query heads, n, d_v), the model's own."""

    def gap(self, query: Tensor, key: Tensor, value: Tensor) -> float:
        """How far attention from these tensors is from the model's own output: relative Frobenius error over some rows. O(n d)."""
        assert self.output is not None
        heads, n, _ = query.shape
        rows = torch.linspace(0, n - 1, min(n, CHECKED_ROWS)).long()
        read = torch.arange(heads) * key.shape[0] // heads
        key, value = (tensor.double()[read] for tensor in (key, value))
        lag = rows[:, None] - torch.arange(n)
        scores = self.scale * query[:, rows].double() @ key.transpose(1, 2)
        if self.bias is not None:
            scores = scores + self.bias.double()[:, lag.clamp(min=0)]
        scores = scores.masked_fill((lag < 0) | (lag >= (self.window or n)), -torch.inf)
        own = self.output[:, rows].double()
        return float((scores.softmax(dim=-1) @ value - own).norm() / own.norm())


Sink = Callable[[int, LayerInputs], None]
"""Takes a layer's number and its inputs; called in the middle of the forward pass, layer after layer. May raise to end the pass."""


def split_added(added: Tensor, size: float) -> tuple[Tensor | None, int | None]:
    """Takes apart what is added to scores: (heads, n, n) to (bias by lag (heads, n) or None where it is 0, window or None).

    `size` is the size of the scores, by which rounding is judged. A softmax does not see what is added to a whole row, so
    every row counts from its diagonal: ALiBi in the form slope * j gives -slope (i - j).
    """
    n = added.shape[-1]
    allowed = added > MASKED_BELOW
    window = int(allowed[0, n - 1].sum())
    if not bool((allowed == torch.ones(n, n, dtype=torch.bool).tril().triu(1 - window)).all()):
        raise CaptureError("its mask is neither causal nor a sliding window")
    own = added.diagonal(dim1=1, dim2=2)[:, :, None]
    added = torch.where(allowed, added - own, 0.0).double()
    bias = torch.zeros(len(added), n, dtype=torch.float64)
    for lag in range(window):
        values = added.diagonal(-lag, dim1=1, dim2=2)
        bias[:, lag] = values.mean(dim=1)
        apart = float((values - bias[:, lag, None]).abs().max())
        if not apart <= SCORE_TOLERANCE * max(size, 1.0):
            raise CaptureError(f"it adds a position bias that is no function of the lag i - j (at lag {lag} it varies by {apart:.2g})")
    if not bool((bias.abs() > SCORE_TOLERANCE * max(size, 1.0)).any()):
        return None, None if window == n else window
    return straightened(bias, window, size).float(), None if window == n else window


def straightened(bias: Tensor, window: int, size: float) -> Tensor:
    """A bias that is a straight line up to rounding, as ALiBi is, without the rounding."""
    lag = torch.arange(window, dtype=torch.float64)
    line = (bias[:, :window] @ lag / lag.square().sum().clamp(min=1.0))[:, None] * lag
    if float((line - bias[:, :window]).abs().max()) <= SCORE_TOLERANCE * max(size, 1.0):
        bias[:, :window] = line
    return bias


def read_scores(scores: Tensor, query: Tensor, key: Tensor) -> tuple[float, Tensor | None, int | None]:
    """(scale, bias by lag, window) from finished scores (heads, n, n), masked entries included, and q, k (heads, n, d).

    Of S_ij = scale q_i.k_j + b[i - j] + r_i the differences S_ij - S_(i+1)(j+1) - S_i(j-1) + S_(i+1)j keep the first term only.
    """
    seen = scores > MASKED_BELOW
    size = float(scores[seen].abs().max())
    over = under = 0.0
    for head in range(len(scores)):
        given, product = scores[head].double(), (query[head].double() @ key[head].double().T)
        quad = seen[head, :-1, 1:-1] & seen[head, 1:, 2:] & seen[head, :-1, :-2] & seen[head, 1:, 1:-1]
        given, product = ((x[:-1, 1:-1] - x[1:, 2:] - x[:-1, :-2] + x[1:, 1:-1])[quad] for x in (given, product))
        over, under = over + float(given @ product), under + float(product @ product)
    if under == 0.0:
        raise CaptureError("its scores are too few to read a scale off; use more tokens")
    scale = over / under
    width = query.shape[-1]
    scale = next((known for known in (1.0, width**-0.5) if abs(scale / known - 1.0) < 1e-5), scale)
    rest = torch.stack([own - (scale * (q.double() @ k.double().T)).to(own.dtype) for own, q, k in zip(scores, query, key)])
    added = torch.where(seen, rest, -torch.inf)
    try:
        bias, window = split_added(added, size)
    except CaptureError as error:
        raise CaptureError(f"its scores are not scale q.k plus something by lag: {error}") from error
    return scale, bias, window


def unrepeated(key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
    """Key/value heads (heads, n, d) without the copies that grouped-query models make for each query head."""
    heads = len(key)
    for shared in range(heads, 1, -1):
        if heads % shared == 0:
            first = torch.arange(0, heads, shared)
            if all(torch.equal(x[first].repeat_interleave(shared, dim=0), x) for x in (key, value)):
                return key[first], value[first]
    return key, value


def register(sink: Sink, own_attention: bool) -> None:
    """Puts an attention into transformers' registry that hands its arguments to the sink."""
    from transformers import AttentionInterface, AttentionMaskInterface
    from transformers.integrations.sdpa_attention import sdpa_attention_forward
    from transformers.masking_utils import sdpa_mask

    def attend(module: Any, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None, scaling: float | None = None,
               **kwargs: Any) -> Any:
        n = query.shape[2]
        if key.shape[2] != n or attention_mask is None and not kwargs.get("is_causal", getattr(module, "is_causal", True)):
            raise CaptureError("it is not causal self-attention")
        scale = query.shape[-1] ** -0.5 if scaling is None else float(scaling)
        bias, window = added_by(attention_mask, kwargs.get("position_bias"), query)
        missing = [words for name, words in BEYOND.items() if kwargs.get(name) is not None]
        # Only the model's own plain attention knows these; the library's fast one would leave them out. It wants a mask of numbers.
        forward, mask = sdpa_attention_forward, attention_mask
        if missing or own_attention or kwargs.get("position_bias") is not None:
            forward = getattr(sys.modules[type(module).__module__], "eager_attention_forward", forward)
        if forward is not sdpa_attention_forward and (mask is None or mask.dtype == torch.bool):
            seen = torch.ones(n, n, dtype=torch.bool).tril()[None, None] if mask is None else mask
            mask = torch.zeros_like(seen, dtype=query.dtype).masked_fill(~seen, torch.finfo(query.dtype).min)
        result = forward(module, query, key, value, mask, scaling=scale, **kwargs)
        output = result[0][0].transpose(0, 1)
        sink(module.layer_idx, LayerInputs(query[0], key[0], value[0], scale, bias, window, missing, output))
        return result

    AttentionInterface.register(REGISTRY_NAME, attend)
    AttentionMaskInterface.register(REGISTRY_NAME, sdpa_mask)


def added_by(mask: Tensor | None, position_bias: Tensor | None, query: Tensor) -> tuple[Tensor | None, int | None]:
    """(bias, window) of the mask and bias with which the registry's attention is called."""
    if mask is None and position_bias is None:
        return None, None
    _, heads, n, _ = query.shape
    seen = torch.ones(1, n, n, dtype=torch.bool).tril() if mask is None else mask[0]
    added = torch.zeros(seen.shape).masked_fill(~seen, -torch.inf) if seen.dtype == torch.bool else seen.float()
    if position_bias is not None:
        added = added + position_bias[0].float()
    bias, window = split_added(added, float(torch.where(added > MASKED_BELOW, added, 0.0).abs().max()))
    return None if bias is None else bias.expand(heads, n), window


class Watch(TorchDispatchMode):
    """Watches the operations of a forward pass for softmax(a product + ...) times V, and hands each to the sink in turn."""

    def __init__(self, n: int, sink: Sink) -> None:
        super().__init__()
        self.n, self.sink, self.layers = n, sink, 0
        self.product: tuple[Tensor, Tensor] | None = None
        self.scores: Tensor | None = None

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = function.overloadpacket.__name__
        result = function(*args, **(kwargs or {}))
        if name in ("bmm", "baddbmm"):
            left, right = args[-2:]
            if left.shape[1] == left.shape[2] == self.n and self.scores is not None and self.scores.numel() == left.numel():
                self.finish(right, result)
            elif result.shape[1:] == (self.n, self.n):
                self.product = left, right.transpose(1, 2)
        elif name == "_softmax" and self.product is not None and args[0].shape[-2:] == (self.n, self.n):
            self.scores = args[0]
        return result

    def finish(self, value: Tensor, output: Tensor) -> None:
        """At the product with V, all is known."""
        assert self.product is not None and self.scores is not None
        query, key = self.product
        scale, bias, window = read_scores(self.scores.reshape(-1, self.n, self.n), query, key)
        self.product = self.scores = None
        key, value = unrepeated(key, value)
        self.layers += 1
        self.sink(self.layers - 1, LayerInputs(query, key, value, scale, bias, window, [], output))


class Enough(Exception):
    """Raised by a sink to end the forward pass: the rest of the model is not needed."""


def capture(model: Any, token_ids: list[int], sink: Sink) -> None:
    """Runs `model` once over the tokens and hands every attention layer's inputs to the sink, in order.

    Only one layer's tensors are held at a time. Models that go through the registry need O(n d) memory for a layer unless they have
    a window or use more than q, k, v and scale; others as much as their own n x n scores, a few times. Raises CaptureError.
    """
    called = False

    def checked(layer: int, inputs: LayerInputs) -> None:
        nonlocal called
        called = True
        gap = inputs.gap(inputs.query, inputs.key, inputs.value)
        if not gap <= OUTPUT_TOLERANCE:
            named = " and ".join(inputs.missing) or "something that is not known here"
            inputs.missing = [f"{named} (its output differs by {gap:.2g})"]
        sink(layer, inputs)

    model.eval()
    body = model.base_model  # without the last matrix, whose n x vocabulary numbers nobody needs
    ids = torch.tensor([token_ids])
    register(checked, own_attention=not getattr(model, "_supports_sdpa", True))
    model.set_attn_implementation(REGISTRY_NAME)
    with contextlib.suppress(Enough), torch.no_grad():
        body(input_ids=ids, use_cache=False)
        if not called:
            with Watch(len(token_ids), checked):
                body(input_ids=ids, use_cache=False)
    if not called:
        raise CaptureError("it does not call transformers' attention registry, and computes no softmax of a product that could be watched")
