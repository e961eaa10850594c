#!/usr/bin/env python3
"""The engine's gradients against PyTorch autograd on inputs that are made now, of another seed than the stored ones.

Usage: test_autograd.py AUTOGRAD_TEST MAKE_GRADIENTS. Needs torch and safetensors; without them it counts as skipped (code 77).
"""
import importlib.util
import os
import pathlib
import subprocess
import sys
import tempfile

import torch_python

NEEDED = ("torch", "safetensors")


def main(program, script):
    torch_python.use_torch_python(*NEEDED)
    if any(importlib.util.find_spec(module) is None for module in NEEDED):
        print("skipped: PyTorch and safetensors are not installed; ./dev test --with-torch brings them")
        return 77
    with tempfile.TemporaryDirectory() as folder:
        for seed in ("2", "3"):
            path = pathlib.Path(folder, f"gradients-{seed}.safetensors")
            subprocess.run([sys.executable, script, path, seed], check=True)
            subprocess.run([program], check=True, env={**os.environ, "CONVSCOPE_GRADIENTS": str(path)})
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
