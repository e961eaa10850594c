#!/usr/bin/env python3
"""Counts the instructions of the engine's main steps under callgrind, and holds them against the recorded counts.

    count_instructions.py CONVSCOPE_BENCH_ONCE [--record]

Counts do not depend on how busy the machine is, so they show a regression of a few per cent where a clock cannot. Valgrind runs
the AVX2 kernels whatever the machine has beyond. A count that is more than 3 % above the record is named, and the exit code is 1;
--record writes the counts as the new record. Needs valgrind.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
from pathlib import Path

RECORD = Path(__file__).with_name("instructions.json")
TOLERANCE = 0.03  # a new compiler or C library moves counts by about a per cent

# step, n, k, precision
CASES = [
    ("exact", 1024, 1, "f32"),
    ("exact", 512, 1, "f64"),
    ("recover", 8192, 16, "f32"),
    ("exponentiate", 8192, 16, "f32"),
    ("plan", 8192, 16, "f32"),
    ("apply", 8192, 1, "f32"),
    ("apply", 8192, 16, "f32"),
    ("apply", 4096, 16, "f64"),
    ("apply_transpose", 4096, 16, "f32"),
    ("apply_full_length", 2048, 4, "f32"),
]


def count(program: Path, step: str, n: int, k: int, precision: str) -> int:
    """Instructions inside measured(), on one thread."""
    command = ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", "--collect-atstart=no", "--toggle-collect=measured",
               str(program), step, str(n), str(k), "--precision", precision, "--threads", "1"]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    collected = re.search(r"Collected\s*:\s*(\d+)", result.stderr)
    if result.returncode != 0 or not collected:
        raise RuntimeError(f"{' '.join(command)} ended with exit code {result.returncode}:\n{result.stderr}")
    return int(collected.group(1))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("program", type=Path, metavar="CONVSCOPE_BENCH_ONCE", help="built from tests/bench/bench_once.cpp")
    parser.add_argument("--record", action="store_true", help="keep these counts as the record")
    options = parser.parse_args()

    recorded = json.loads(RECORD.read_text()) if RECORD.exists() else {}
    counts = {}
    grown = []
    print(f"{'step':<36} {'instructions':>15} {'recorded':>15} {'change':>8}")
    for step, n, k, precision in CASES:
        name = f"{step} n={n} k={k} {precision}"
        counts[name] = count(options.program, step, n, k, precision)
        before = recorded.get(name)
        change = "" if before is None else f"{100 * (counts[name] / before - 1):+.1f} %"
        print(f"{name:<36} {counts[name]:>15,} {'-' if before is None else f'{before:,}':>15} {change:>8}", flush=True)
        if before is not None and counts[name] > before * (1 + TOLERANCE):
            grown.append(name)
    if options.record:
        RECORD.write_text(json.dumps(counts, indent=2) + "\n")
        print(f"recorded in {RECORD.name}")
        return 0
    if grown:
        print("more instructions than recorded: " + ", ".join(grown))
    return 1 if grown else 0


if __name__ == "__main__":
    sys.exit(main())
