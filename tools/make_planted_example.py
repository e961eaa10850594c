#!/usr/bin/env python3
"""Makes the example whose heads are planted: exact conv bases, and the same with noise. Needs numpy.

    make_planted_example.py [--out FILE]

With R the rotary rotation of one position, q_i = R^i q and k_j = R^j kappa_r for the columns j of segment r give scores
S_ij = scale q^T R^(j-i) kappa_r, which depend inside a segment on i - j alone: a conv basis with one lag vector for each segment. The noise
changes every key by a little; `noise` is the largest change of any score under the diagonal, the eps of the theory.

The file holds `layers.0.q`, `.k` = (5, 1024, 64) and `.v` = (5, 1024, 16) in float32 (float16 would be noise of its own). Its metadata
`planted` is a JSON list with, for each head, k, noise, starts, T, delta (the basis is (T, delta)-non-degenerate) and largest_noise,
delta / (5 T), up to which recovery is proved to work. The same numpy gives the same file; another may change last digits.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import numpy as np

from activation_file import ActivationFile

EXAMPLES = Path(__file__).resolve().parents[1] / "assets" / "examples"
TOKENS, WIDTH, VALUE_WIDTH = 1024, 64, 16
SCALE = WIDTH**-0.5
PROBE = 8  # T of the theory
SPREAD = 1.5  # standard deviation of the entries of q and kappa
# (k, noise, seed): one segment, four, sixteen; and the four with noise that recovery bears, and with more than it bears.
HEADS = [(1, 0.0, 1), (4, 0.0, 2), (16, 0.0, 3), (4, 0.05, 2), (4, 0.5, 2)]


def rotated(vectors: np.ndarray, positions: np.ndarray) -> np.ndarray:
    """R^position vector for each row: neighbouring entries turn as pairs, with frequencies 10000^(-2 p / d)."""
    angles = positions[:, None] * 10000.0 ** (-np.arange(WIDTH // 2) / (WIDTH // 2))
    turned = vectors.reshape(-1, WIDTH // 2, 2).copy()
    turned[..., 0] = vectors[..., ::2] * np.cos(angles) - vectors[..., 1::2] * np.sin(angles)
    turned[..., 1] = vectors[..., ::2] * np.sin(angles) + vectors[..., 1::2] * np.cos(angles)
    return turned.reshape(-1, WIDTH)


def separation(query: np.ndarray, kappa: np.ndarray) -> float:
    """delta: the smallest 1-norm, over lags below T, of a lag vector and of the difference of any two."""
    back = rotated(np.repeat(query[None], PROBE, axis=0), np.arange(PROBE))
    lag_vectors = np.vstack([np.zeros(PROBE), SCALE * kappa @ back.T])
    distances = np.abs(lag_vectors[:, None] - lag_vectors).sum(axis=-1)
    return float(distances[np.triu_indices(len(lag_vectors), 1)].min())


def plant(k: int, noise: float, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, dict[str, object]]:
    """(q, k, v, description) of one head, in float32. Heads of the same seed and k differ in the noise alone."""
    random = np.random.default_rng(seed)
    query, kappa = SPREAD * random.standard_normal(WIDTH), SPREAD * random.standard_normal((k, WIDTH))
    room = TOKENS // (2 * k)  # every segment has at least this many columns
    starts = np.append(0, np.sort(random.integers(0, TOKENS - k * room, k - 1)) + room * np.arange(1, k))
    value, change = random.standard_normal((TOKENS, VALUE_WIDTH)), random.standard_normal((TOKENS, WIDTH))

    positions = np.arange(TOKENS)
    queries = rotated(np.repeat(query[None], TOKENS, axis=0), positions)
    keys = rotated(kappa[np.searchsorted(starts, positions, side="right") - 1], positions)
    moved = np.abs(np.tril(SCALE * queries @ change.T)).max()
    keys = keys + change * (noise / moved)
    delta = separation(query, kappa)
    described = {"k": k, "noise": noise, "starts": starts.tolist(), "T": PROBE, "delta": round(delta, 4),
                 "largest_noise": round(delta / (5 * PROBE), 4)}
    return queries.astype("<f4"), keys.astype("<f4"), value.astype("<f4"), described


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit code."""
    parser = argparse.ArgumentParser(description="Make the planted example.", allow_abbrev=False)
    parser.add_argument("--out", type=Path, default=EXAMPLES / "planted-noise.safetensors", metavar="FILE", help="file to write")
    options = parser.parse_args(arguments)
    heads = [plant(*head) for head in HEADS]
    try:
        with ActivationFile(options.out) as file:
            for number, letter in enumerate("qkv"):
                tensor = np.stack([head[number] for head in heads])
                file.add(f"layers.0.{letter}", "F32", tensor.shape, tensor)
            described = [{"head": number, **head[3]} for number, head in enumerate(heads)]
            file.finish({"scale": repr(SCALE), "model": "planted, with noise", "position": "rotary", "planted": json.dumps(described)})
    except OSError as error:
        print(f"make_planted_example: {options.out}: cannot be written: {error.strerror or error}", file=sys.stderr)
        return 1
    for head in described:
        print(head)
    print(f"{options.out}: {options.out.stat().st_size / 1e6:.3g} MB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
