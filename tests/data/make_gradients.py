#!/usr/bin/env python3
"""Writes inputs and their gradients by PyTorch autograd in float64: what tests/basis/autograd_test.cpp compares the engine with.

Of each case: query, key, value, the gradient G of a loss by the output, the scale, the starts of a conv basis, and the gradients of
sum(G * Y) by query, key and value, with Y of exact causal attention ("exact.") and of the forward pass by that basis, the starts
held fixed ("conv."). One case has a position bias. Nothing here is the engine's own way: both forward passes are dense matrices.

Usage: make_gradients.py FILE [SEED]. The stored file, tests/data/golden/gradients.safetensors, is of seed 1; ./dev golden writes it.
"""
import sys

import torch
from safetensors.torch import save_file

# tokens, width, width of values, starts of the segments
CASES = [
    (1, 1, 1, [0]),
    (2, 3, 1, [0, 1]),
    (7, 2, 5, [2]),  # columns before the first start have score 0
    (16, 4, 4, [0, 1, 2, 3, 15]),  # segments of one column, one of them the last
    (37, 8, 3, [0, 5, 30]),
    (64, 16, 16, [0]),
    (97, 8, 8, [0, 17, 18, 40, 41, 90]),
    (128, 5, 2, [3, 64, 65, 127]),
]
BIASED = 4  # the case with a position bias


def exact_scores(query, key, scale, bias):
    scores = scale * query @ key.T
    if bias is not None:
        count = len(scores)
        lag = (torch.arange(count)[:, None] - torch.arange(count)).clamp(min=0)
        scores = scores + bias[lag]
    return scores


def conv_scores(exact, starts):
    """Every column takes the scores of its segment's first column, moved down the diagonal."""
    count = len(exact)
    columns = []
    for j in range(count):
        before = [start for start in starts if start <= j]
        column = exact.new_zeros(count)
        if before:
            moved = exact[before[-1] : count - (j - before[-1]), before[-1]]
            column = torch.cat([exact.new_zeros(j), moved])
        columns.append(column)
    return torch.stack(columns, dim=1)


def attention(scores, value):
    mask = torch.ones_like(scores).tril().bool()
    return torch.softmax(scores.masked_fill(~mask, -torch.inf), dim=1) @ value


def main(path, seed):
    random = torch.Generator().manual_seed(seed)

    def normal(*shape):
        return torch.randn(*shape, generator=random, dtype=torch.float64)

    tensors = {}
    for number, (count, width, value_width, starts) in enumerate(CASES):
        inputs = [normal(count, width).requires_grad_(), normal(count, width).requires_grad_(), normal(count, value_width).requires_grad_()]
        wished = normal(count, value_width)
        scale = 1.5 / width**0.5
        bias = -0.1 * torch.arange(count, dtype=torch.float64) if number == BIASED else None
        case = {"query": inputs[0], "key": inputs[1], "value": inputs[2], "output_gradient": wished}
        case["scale"] = torch.tensor([scale], dtype=torch.float64)
        case["starts"] = torch.tensor(starts, dtype=torch.float64)
        if bias is not None:
            case["bias"] = bias
        scores = exact_scores(inputs[0], inputs[1], scale, bias)
        for way, taken in (("exact", scores), ("conv", conv_scores(scores, starts))):
            found = torch.autograd.grad((attention(taken, inputs[2]) * wished).sum(), inputs, retain_graph=True, allow_unused=True)
            for name, gradient, by in zip(("query", "key", "value"), found, inputs):
                case[f"{way}.{name}"] = torch.zeros_like(by) if gradient is None else gradient
        tensors |= {f"{number}.{name}": tensor.detach().contiguous() for name, tensor in case.items()}
    save_file(tensors, path, metadata={"cases": str(len(CASES)), "torch": torch.__version__, "seed": str(seed)})


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 1)
