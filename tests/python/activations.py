"""What the Python tests share: a safetensors reader and causal attention, written apart from the engine and from any library."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import numpy as np

# bf16 has no numpy type, so it is read as integers and widened by hand.
DTYPES = {"F16": "<f2", "F32": "<f4", "F64": "<f8", "BF16": "<u2"}


def read_safetensors(path: Path) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """(tensors in float64, metadata). The conversion from any of the stored types is exact."""
    data = Path(path).read_bytes()
    (header_size,) = struct.unpack_from("<Q", data)
    header = json.loads(data[8 : 8 + header_size])
    metadata = header.pop("__metadata__", {})
    tensors = {}
    for name, entry in header.items():
        begin, end = (8 + header_size + offset for offset in entry["data_offsets"])
        values = np.frombuffer(data[begin:end], dtype=DTYPES[entry["dtype"]])
        if entry["dtype"] == "BF16":
            values = (values.astype("<u4") << 16).view("<f4")
        tensors[name] = values.reshape(entry["shape"]).astype(np.float64)
    return tensors, metadata


def causal_probabilities(query: np.ndarray, key: np.ndarray, scale: float, bias: np.ndarray | None = None,
                         window: int | None = None) -> np.ndarray:
    """softmax(scale Q K^T + bias[i - j]) over 0 <= i - j < window, n x n, in float64. Without bias and window: plain causal attention."""
    n = len(query)
    lag = np.arange(n)[:, None] - np.arange(n)
    scores = scale * (query @ key.T)
    if bias is not None:
        scores = scores + bias[np.maximum(lag, 0)]
    scores = np.where((lag >= 0) & (lag < (window or n)), scores, -np.inf)
    weights = np.exp(scores - scores.max(axis=1, keepdims=True))
    return weights / weights.sum(axis=1, keepdims=True)


def head_output(tensors: dict[str, np.ndarray], layer: int, head: int, scale: float, window: int | None = None) -> np.ndarray:
    """Attention of one head, n x d_v, in float64; the query heads share the key/value heads evenly. A bias in the file is added."""
    query, key, value = (tensors[f"layers.{layer}.{letter}"] for letter in "qkv")
    bias = tensors.get(f"layers.{layer}.bias")
    kv_head = head * len(key) // len(query)
    return causal_probabilities(query[head], key[kv_head], scale, None if bias is None else bias[head], window) @ value[kv_head]


def layer_setting(metadata: dict[str, str], name: str, layer: int) -> float | None:
    """What the metadata say about one layer: a number for all, or a JSON object {"layer": number}; None where they say nothing."""
    stored = json.loads(metadata.get(name, "null"))
    return stored.get(str(layer)) if isinstance(stored, dict) else stored


def relative_error(approximate: np.ndarray, exact: np.ndarray) -> float:
    """||approximate - exact||_F / ||exact||_F; NaN when either holds one, so compare with `not (error <= tolerance)`."""
    return float(np.linalg.norm(approximate - exact) / np.linalg.norm(exact))
