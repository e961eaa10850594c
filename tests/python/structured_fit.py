"""The structured fit of one head as a slow, readable reference. Mathematics page, section 7.

Weights P_ij of causal attention are taken apart into an exact band, exact columns, and for the rest A_ij = a_i b_j g_seg(j)[i - j], which
is fitted by Kullback-Leibler with rounds of proportional fitting. Everything is n x n here; all numbers are float64.
"""

from __future__ import annotations

import numpy as np


def fit_rest(rest: np.ndarray, allowed: np.ndarray, segments: np.ndarray | None, rounds: int = 10) -> np.ndarray:
    """A, n x n, near `rest`; both are zero where not `allowed` (below the diagonal, outside band and columns).

    `segments` (n) is the segment of each column; None: g = 1, which is rank one.
    """
    n = len(rest)
    lag = np.arange(n)[:, None] - np.arange(n)
    a, b = np.ones(n), np.ones(n)
    shape = allowed.astype(float)
    cell = None if segments is None else (segments[None, :] * n + np.maximum(lag, 0)).ravel()
    for _ in range(rounds):
        if segments is not None:
            present = (a[:, None] * b * allowed).ravel()
            mass = np.bincount(cell, rest.ravel(), minlength=n * (segments[-1] + 1))
            g = np.divide(mass, np.bincount(cell, present, minlength=len(mass)), out=np.zeros_like(mass), where=mass > 0)
            shape = g[cell].reshape(n, n) * allowed
        columns, covered = rest.sum(axis=0), a @ shape
        b = np.divide(columns, covered, out=np.zeros(n), where=covered > 0)
        rows, covered = rest.sum(axis=1), shape @ b
        a = np.divide(rows, covered, out=np.zeros(n), where=covered > 0)
    return a[:, None] * shape * b


def fitted_output(weights: np.ndarray, value: np.ndarray, k: int, band: int = 0, columns: int = 0) -> np.ndarray:
    """The output (n x d_v) of the model with `k` lag vectors (0: rank one) on segments of equal mass, a band and exact columns."""
    n = len(weights)
    lag = np.arange(n)[:, None] - np.arange(n)
    importance = (weights**2).sum(axis=0) * ((value - value.mean(axis=0)) ** 2).sum(axis=1)
    exact = (lag >= 0) & (lag < band)
    exact[:, np.argsort(-importance)[:columns]] = True
    allowed = (lag >= 0) & ~exact
    rest = np.where(allowed, weights, 0.0)
    segments = None
    if k > 0:
        before = np.cumsum(rest.sum(axis=0))
        segments = np.minimum((before / max(before[-1], 1e-300) * k).astype(int), k - 1)
        segments = np.maximum.accumulate(np.unique(segments, return_inverse=True)[1])
    model = np.where(exact & (lag >= 0), weights, 0.0) + fit_rest(rest, allowed, segments)
    return (model / model.sum(axis=1, keepdims=True)) @ value
