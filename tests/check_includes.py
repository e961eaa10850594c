#!/usr/bin/env python3
"""Fails when an include points upwards: engine/ may not know app/, and each layer only those below it.

Usage: check_includes.py SOURCE_ROOT
"""
import pathlib
import re
import sys

# A folder may include from itself and from the folders listed for it.
ENGINE = ["core", "attention", "lowrank", "basis", "cuda", "data", "training", "analysis"]  # each layer sees those before it
ALLOWED = {f"engine/{layer}": {f"engine/{below}" for below in ENGINE[: place + 1]} for place, layer in enumerate(ENGINE)}
WHOLE_ENGINE = {f"engine/{layer}" for layer in ENGINE}
ALLOWED["app/view"] = WHOLE_ENGINE | {"app/view"}
ALLOWED["app/state"] = ALLOWED["app/view"] | {"app/state"}
ALLOWED["app/gl"] = ALLOWED["app/view"] | {"app/gl"}
ALLOWED["app/panels"] = ALLOWED["app/state"] | {"app/gl", "app/panels"}
ALLOWED["app/window"] = ALLOWED["app/panels"] | {"app/window"}
# The command line starts the window through its one header, and knows nothing else of it.
ALLOWED["app/cli"] = ALLOWED["app/state"] | {"app/cli"}
WINDOW_HEADER = "window/window.h"

NO_DRAWING = {*WHOLE_ENGINE, "app/view", "app/state", "app/cli"}
DRAWING = re.compile(r"^(imgui|implot|glad|GL/|GLES|GLFW/|EGL/|gl/)")
INCLUDE = re.compile(r'^\s*#\s*include\s*(["<])([^">]+)[">]', re.MULTILINE)


def folder_of(root, included):
    """The layer that a path such as "core/types.h" lies in, or None for a header from outside."""
    for part in ("engine", "app"):
        if (root / part / included).is_file():
            return f"{part}/{pathlib.PurePosixPath(included).parts[0]}"
    return None


def problems_of(root, path):
    layer = "/".join(path.relative_to(root).parts[:2])
    for _, included in INCLUDE.findall(path.read_text(encoding="utf-8")):
        target = folder_of(root, included)
        if layer in NO_DRAWING and DRAWING.match(included):
            yield f"{layer} draws nothing, but includes {included}"
        elif ".." in pathlib.PurePosixPath(included).parts:
            yield f"{included} climbs out of its folder; name it from engine/ or app/"
        elif target and target not in ALLOWED[layer] and not (layer == "app/cli" and included == WINDOW_HEADER):
            yield f"{layer} may not include {included} of {target}"


def main():
    root = pathlib.Path(sys.argv[1])
    sources = [path for part in ("engine", "app") for path in sorted((root / part).rglob("*")) if path.suffix in (".h", ".cpp")]
    if not sources:
        sys.exit(f"no sources under {root}")
    found = [f"{path.relative_to(root)}: {problem}" for path in sources for problem in problems_of(root, path)]
    if found:
        sys.exit("\n".join(found))
    print(f"{len(sources)} files include downwards only")


main()
