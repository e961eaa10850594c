"""Lets a test that needs PyTorch run in another Python than the one that started it."""

from __future__ import annotations

import importlib.util
import os
import sys


def use_torch_python(*modules: str) -> None:
    """Starts this program again in the Python that CONVSCOPE_TORCH_PYTHON names, if that is set and this one lacks a module."""
    other = os.environ.pop("CONVSCOPE_TORCH_PYTHON", None)  # once: if that one lacks it, too, the test is skipped
    if other and any(importlib.util.find_spec(module) is None for module in modules):
        sys.stdout.flush()
        os.execv(other, [other, *sys.argv])
