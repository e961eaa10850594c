#!/usr/bin/env python3
"""`mpirun convscope atlas`: the same bytes from any number of ranks, and nothing lost when a rank or the whole run is killed.

Usage: test_atlas_mpi.py CONVSCOPE EXAMPLE.safetensors

Skipped (exit code 77) where there is no mpirun of Open MPI, or where the program was built without MPI.
"""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HEADS = ["--layer", "0-2,5,8", "--head", "0-3", "--n", "400"]  # about two seconds of work
PATIENCE = 90  # seconds after which a run counts as hanging


def mpirun(ranks, *more):
    command = ["mpirun", "--oversubscribe", "--bind-to", "none", *more, "-n", str(ranks)]
    return command[:1] + ["--allow-run-as-root"] + command[1:] if os.geteuid() == 0 else command


def atlas(program, example, out):
    return [program, "atlas", example, *HEADS, "--threads", "1", "--csv", str(out)]


def run(command):
    result = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert result.returncode == 0, f"{command}: {result.returncode}\n{result.stderr}"
    return result


def ranks_of(process):
    """Process ids of the ranks that this mpirun has started."""
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    return [int(pid) for pid in children.read_text(encoding="ascii").split()] if children.exists() else []


def rank_number(pid):
    for entry in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0"):
        if entry.startswith(b"OMPI_COMM_WORLD_RANK="):
            return int(entry.split(b"=")[1])
    return -1


def lines_of(journal):
    return journal.read_bytes().count(b"\n") if journal.exists() else 0


def wait_for_lines(process, journal, lines):
    """Until so many lines are in the journal; False when the run was over before."""
    while lines_of(journal) < lines:
        if process.poll() is not None:
            return False
        time.sleep(0.005)
    return True


def check_ranks(program, example, folder, whole):
    for ranks in (1, 2, 4):
        out = folder / f"ranks{ranks}.csv"
        run(mpirun(ranks) + atlas(program, example, out))
        assert out.read_bytes() == whole, f"{ranks} ranks wrote other bytes"
        assert not Path(f"{out}.journal").exists()


def check_killed_rank(program, example, folder, whole, lines):
    """With --enable-recovery the others go on, and rank 0 gives the dead rank's head to one of them."""
    out = folder / f"rank-killed-{lines}.csv"
    command = mpirun(4, "--enable-recovery") + atlas(program, example, out)
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        if not wait_for_lines(process, Path(f"{out}.journal"), lines):
            return False
        victims = [pid for pid in ranks_of(process) if rank_number(pid) == 2]
        if not victims:
            return False
        os.kill(victims[0], signal.SIGKILL)
        _, errors = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, errors
    assert out.read_bytes() == whole, "a rank was killed, and other bytes were written"
    assert "rank 2" in errors and "has been silent" in errors, errors
    return True


def check_killed_run(program, example, folder, whole, how):
    """Without it mpirun ends the whole run; the next one goes on from the journal."""
    out = folder / f"run-killed-{how}.csv"
    journal = Path(f"{out}.journal")
    command = mpirun(3) + atlas(program, example, out)
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        if not wait_for_lines(process, journal, 5):
            return False
        ranks = ranks_of(process)
        for pid in ranks[:1] if how == "by-rank" else [process.pid, *ranks]:
            os.kill(pid, signal.SIGKILL)
        process.communicate(timeout=PATIENCE)
    assert process.returncode != 0
    assert not out.exists()
    assert lines_of(journal) >= 5, "what was finished has gone"
    run(mpirun(2) + atlas(program, example, out))
    assert out.read_bytes() == whole, "the run was killed, and the next one wrote other bytes"
    assert not journal.exists()
    return True


def check_errors(program, example, folder):
    """A mistake is told once, by rank 0, and ends all ranks."""
    command = mpirun(3) + atlas(program, example, folder / "x.csv") + ["--restart", "--target", "0"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert result.returncode == 2, result.returncode
    assert result.stderr.count("target_error is 0") == 1, result.stderr


def check_without_module(program, example, folder):
    """The program alone says in one line what it lacks, and still works without mpirun."""
    alone = folder / "alone"
    alone.mkdir()
    copy = shutil.copy(program, alone / "convscope")
    command = mpirun(2) + atlas(copy, example, folder / "y.csv")
    result = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert result.returncode == 1, result.returncode
    assert "this build has no module for it" in result.stderr, result.stderr
    run(atlas(copy, example, folder / "z.csv"))


def main():
    program, example = (str(Path(word).resolve()) for word in sys.argv[1:])
    if shutil.which("mpirun") is None or not (Path(program).parent / "convscope_mpi.so").exists():
        print("no mpirun, or a build without MPI")
        sys.exit(77)
    if "Open MPI" not in subprocess.run(["mpirun", "--version"], capture_output=True, text=True, check=False).stdout:
        print("mpirun is not that of Open MPI")
        sys.exit(77)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        run(atlas(program, example, folder / "whole.csv"))
        whole = (folder / "whole.csv").read_bytes()
        assert whole.count(b"\n") == 22
        check_ranks(program, example, folder, whole)
        killed = [check_killed_rank(program, example, folder, whole, lines) for lines in (3, 9)]
        resumed = [check_killed_run(program, example, folder, whole, how) for how in ("by-rank", "all")]
        assert any(killed) and any(resumed), "every run was over before it could be killed"
        check_errors(program, example, folder)
        check_without_module(program, example, folder)
    print("1, 2 and 4 ranks, killed ranks, killed runs: the same bytes")


main()
