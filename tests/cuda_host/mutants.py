#!/usr/bin/env python3
"""Breaks each kernel in every small way there is a rule for, and says whether the tests notice.

Of every kernel file, one mutant for each barrier removed, each guard dropped (of tails and of what a query sees), and each index swapped.
A mutant is caught when the tests fail, crash or do not end. The tests run with AddressSanitizer, as they do in the sanitizer preset.

Usage: mutants.py SOURCE_ROOT CONVBASIS_LIBRARY [FILE...]; prints a table, and fails unless all are caught.
"""
import concurrent.futures
import pathlib
import re
import shlex
import subprocess
import sys
import tempfile

FLAGS = "-std=c++20 -O1 -g1 -fsanitize=address -DCONVSCOPE_SOURCE_DIR=\"\" -isystem /usr/include/eigen3"
LIBRARIES = "-lhwy -lfftw3f -lfftw3 -lfmt -lz -lgtest -lgmock -lgtest_main -lpthread -ldl"
MODULE = ["device.cu", "workspace.cu", "row_blocks.cu", "host_rows.cu", "exact.cu", "exact_gradients.cu", "conv_plan.cu", "module.cu"]
OURS = ["gpu.cpp", "halves.cpp"]
TESTS = ["fiber.cpp", "grid.cpp", "runtime.cpp", "cufft.cpp", "verbs_test.cpp"]
PATIENCE = 300  # seconds for the tests of one mutant
SWAPS = [("thread_x()", "thread_y()"), ("row", "column"), ("[i]", "[j]"), ("y + i", "x + i"), ("x + tile_side", "y + tile_side"),
         ("depth *", "row *"), ("ahead", "behind"), ("channel", "row"), ("head", "key_head"), ("query", "key"), ("twist[m]", "twist[0]"),
         ("key_head", "head"), ("real", "imaginary"), ("+ shift", "- shift"), ("range[o].shift", "range[0].shift"), ("weight[i]", "weight[0]")]


DECLARATION = r" *[\w:<>, ]+ \w+(\[\w+\])+;"
INDEX = r"((?:[(&!*=<>+-] ?|\. ?|^ *)(?:\w+\.)*\w+)\[[^\[\]]+\]"


def condition_of(code):
    """Where the condition of the line's first `if` begins and ends; None without one."""
    found = re.search(r"\bif (constexpr )?\(", code)
    if not found:
        return None
    depth = 1
    for at in range(found.end(), len(code)):
        depth += {"(": 1, ")": -1}.get(code[at], 0)
        if depth == 0:
            return found.end(), at
    return None


def with_condition(code, condition, before):
    begin, end = condition
    return f"{code[:begin]}{before}({code[begin:end]}){code[end:]}"


def mutants_of(text):
    """(kind, line number, mutated text) of every mutant of a kernel file; of an index several, of which the first that compiles counts."""
    lines = text.split("\n")

    def changed(number, line):
        return "\n".join([*lines[:number], line, *lines[number + 1 :]])

    inside = False
    for number, line in enumerate(lines):
        if "__global__" in line or "__device__" in line:
            inside = True
        elif line == "}":
            inside = False
        code = line.split("//")[0]
        if not inside or not code.strip():
            continue
        if "__syncthreads();" in code:
            yield "barrier", number, changed(number, line.replace("__syncthreads();", ""))
        condition = condition_of(code)
        if condition and re.match(r" (continue|return)", code[condition[1] + 1 :]):
            yield "guard", number, changed(number, with_condition(code, condition, "false && "))
        elif condition and "<" in code[slice(*condition)] and not code.strip().startswith(("if constexpr", "for")):
            yield "guard", number, changed(number, with_condition(code, condition, "true || "))
        found = re.search(r"const bool (inside|seen|exists) = (.*);", code)
        if found:
            for part in found.group(2).split(" && "):
                rest = [one for one in found.group(2).split(" && ") if one != part] or ["true"]
                yield "guard", number, changed(number, code.replace(found.group(2), " && ".join(rest)))
        # Not of declarations, nor of bounds of loops, which only leave out what is 0.
        bound = code.strip().startswith("for (") and code.strip().endswith("{") and " : " not in code
        if "[" in code and "__global__" not in code and "__device__" not in code and not bound and not re.match(DECLARATION, code):
            swapped = [changed(number, code.replace(one, other, 1)) for one, other in SWAPS if one in code]
            if re.search(INDEX, code):
                swapped.append(changed(number, re.sub(INDEX, r"\1[0]", code, count=1)))
            if swapped:
                yield "index", number, swapped


class Builder:
    def __init__(self, root, library, folder):
        self.root, self.library, self.folder = root, library, folder
        self.objects = {}

    def compile(self, source, target, first_include=None):
        includes = [first_include] if first_include else []
        includes += [self.root / "engine", self.root / "tests", self.root / "tests/cuda_host/include"]
        command = ["g++", *shlex.split(FLAGS), *[f"-I{path}" for path in includes], "-xc++", "-c", str(source), "-o", str(target)]
        return subprocess.run(command, capture_output=True, text=True)

    def common(self):
        """What no mutant touches."""
        sources = {"reference.cpp": self.root / "tests/support/reference.cpp"}
        sources |= {name: self.root / "tests/cuda_host" / name for name in TESTS}
        sources |= {name: self.root / "engine/cuda" / name for name in MODULE + OURS}
        for name, path in sources.items():
            done = self.compile(path, self.folder / f"{name}.o")
            if done.returncode != 0:
                sys.exit(done.stderr)
            self.objects[name] = self.folder / f"{name}.o"

    def verdict(self, objects, program):
        link = subprocess.run(["g++", "-fsanitize=address", *map(str, objects.values()), str(self.library), *LIBRARIES.split(), "-o",
                               str(program)], capture_output=True, text=True)
        if link.returncode != 0:
            return "does not link"
        try:
            # The first failure is enough.
            done = subprocess.run([str(program), "--gtest_fail_fast"], capture_output=True, text=True, timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            return "does not end"
        if done.returncode == 0:
            return "NOT CAUGHT"
        return "fault" if "kernel fault" in done.stderr else "crash" if done.returncode != 1 or "AddressSanitizer" in done.stderr else "wrong result"

    def includes(self, name):
        """The files of engine/cuda that one of them includes, itself too."""
        found, new = set(), {name}
        while new:
            found |= new
            texts = [(self.root / "engine/cuda" / one).read_text() for one in new]
            new = {one for text in texts for one in re.findall(r'#include "cuda/([^"]+)"', text)} - found
        return found

    def try_mutant(self, number, file, texts):
        for at, text in enumerate([texts] if isinstance(texts, str) else texts):
            verdict = self.try_text(f"{number}.{at}", file, text)
            if verdict != "does not compile":
                break
        return verdict

    def try_text(self, number, file, text):
        folder = self.folder / number
        (folder / "cuda").mkdir(parents=True)
        (folder / "cuda" / file).write_text(text)
        for other in (self.root / "engine/cuda").iterdir():  # the mutant's neighbours include it, so they stand beside it
            if other.name != file and other.suffix in (".cuh", ".h"):
                (folder / "cuda" / other.name).write_text(other.read_text())
        objects = dict(self.objects)
        for name in (one for one in MODULE if file in self.includes(one)):
            source = folder / "cuda" / name
            source.write_text((self.root / "engine/cuda" / name).read_text())
            done = self.compile(source, folder / f"{name}.o", folder)
            if done.returncode != 0:
                return "does not compile"
            objects[name] = folder / f"{name}.o"
        return self.verdict(objects, folder / "test")


def main(root, library, names):
    root = pathlib.Path(root).resolve()
    files = names or sorted(path.name for path in (root / "engine/cuda").glob("*.cuh"))
    with tempfile.TemporaryDirectory() as folder:
        builder = Builder(root, pathlib.Path(library).resolve(), pathlib.Path(folder))
        builder.common()
        if builder.verdict(builder.objects, builder.folder / "test") != "NOT CAUGHT":
            sys.exit("the tests fail without any mutant")
        work = []
        for file in files:
            text = (root / "engine/cuda" / file).read_text()
            work += [(file, kind, line, text.split("\n")[line].strip(), mutant) for kind, line, mutant in mutants_of(text)]
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            verdicts = list(pool.map(lambda item: builder.try_mutant(item[0], item[1][0], item[1][4]), enumerate(work)))
    print("| file | line | kind | what | found as |\n|---|---|---|---|---|")
    for (file, kind, line, code, _), verdict in zip(work, verdicts):
        print(f"| {file} | {line + 1} | {kind} | `{code[:70]}` | {verdict} |")
    counted = [verdict for verdict in verdicts if verdict != "does not compile"]
    missed = counted.count("NOT CAUGHT")
    print(f"\n{len(counted) - missed} of {len(counted)} mutants caught")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2], sys.argv[3:]))
