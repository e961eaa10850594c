#!/usr/bin/env python3
"""Writes tests/data/golden/tensors: small files as numpy, PyTorch and safetensors write them, with what they hold.

Needs numpy, torch 2.x and safetensors; the versions of the last run stand in golden.json. The files are committed, so that the
tests need none of these. golden.json is written from the arrays in memory, never from the files, so it checks the readers:
    "tensors": file, name, dtype, shape and, for floating types, every element as the 8 bytes of a little-endian double in hex
               (conversion from f16, bf16 and f32 is exact); integers are listed but not read by the program
    "refused": file and words that its error must hold

Usage: ./dev golden, or make_golden.py in a Python that has them. legacy.pt and module.pt hold addresses of memory and differ each time.
"""
import collections
import json
import pathlib
import shutil

import numpy as np
import safetensors
import safetensors.torch
import torch

FOLDER = pathlib.Path(__file__).parent / "golden" / "tensors"
TORCH_NAMES = {
    torch.float16: "f16", torch.bfloat16: "bf16", torch.float32: "f32", torch.float64: "f64", torch.int8: "i8",
    torch.int16: "i16", torch.int32: "i32", torch.int64: "i64", torch.uint8: "u8", torch.uint16: "u16", torch.uint32: "u32",
    torch.uint64: "u64", torch.bool: "bool",
}
PLAIN_STORAGES = [dtype for dtype, name in TORCH_NAMES.items() if name not in ("u16", "u32", "u64")]
tensors = []
refused = []


def expect(file, name, array):
    """Notes that `file` holds `array` (of numpy or torch) as `name`."""
    if isinstance(array, torch.Tensor):
        dtype, shape = TORCH_NAMES[array.dtype], list(array.shape)
        numbers = array.detach().contiguous().reshape(-1).double().numpy() if array.is_floating_point() else None
    else:
        kind = {"f": "f", "i": "i", "u": "u", "b": "bool"}[array.dtype.kind]
        dtype = kind if kind == "bool" else f"{kind}{8 * array.dtype.itemsize}"
        shape = list(array.shape)
        numbers = np.ascontiguousarray(array).reshape(-1).astype("<f8") if kind == "f" else None
    entry = {"file": file, "name": name, "dtype": dtype, "shape": shape}
    if numbers is not None:
        entry["f64"] = numbers.astype("<f8").tobytes().hex()
    tensors.append(entry)


def edge_values(dtype):
    """Twelve numbers of a floating type: ordinary ones, both zeros, the largest, the smallest, subnormal ones, infinities."""
    info = torch.finfo(dtype)
    smallest = info.smallest_normal * info.eps
    numbers = [1.0, -2.5, 0.0, -0.0, info.max, info.min, info.smallest_normal, smallest, -3 * smallest, 1 / 3, np.inf, -np.inf]
    return torch.tensor(numbers, dtype=torch.float64).to(dtype)


def example(dtype):
    """A tensor of (3, 4) in the type."""
    if dtype.is_floating_point:
        return edge_values(dtype).reshape(3, 4)
    if dtype == torch.bool:
        return torch.tensor([True, False, True, False] * 3).reshape(3, 4)
    low, high = torch.iinfo(dtype).min, torch.iinfo(dtype).max
    return torch.tensor([low, high, 0, 1] * 3, dtype=dtype).reshape(3, 4)


def write_safetensors():
    all_types = {f"t.{name}": example(dtype) for dtype, name in TORCH_NAMES.items()}
    all_types |= {"number": torch.tensor(2.5), "empty": torch.zeros(0, 4), "deep": torch.arange(24.0).reshape(1, 2, 3, 4)}
    safetensors.torch.save_file(all_types, FOLDER / "all.safetensors", metadata={"scale": "0.125", "model": "golden"})
    for name, tensor in all_types.items():
        expect("all.safetensors", name, tensor)
    shards = {"one.safetensors": ["layers.0.q", "layers.0.k"], "two.safetensors": ["layers.0.v"]}
    for file, names in shards.items():
        held = {name: torch.arange(24.0).reshape(2, 3, 4) + place for place, name in enumerate(names)}
        safetensors.torch.save_file(held, FOLDER / file)
        for name, tensor in held.items():
            expect("model.safetensors.index.json", name, tensor)
    index = {"metadata": {"total_size": 288}, "weight_map": {name: file for file, names in shards.items() for name in names}}
    (FOLDER / "model.safetensors.index.json").write_text(json.dumps(index, indent=2) + "\n", encoding="utf-8")


def numpy_arrays():
    arrays = {}
    for dtype, name in TORCH_NAMES.items():
        if dtype == torch.bfloat16:
            continue  # numpy has none
        array = example(dtype).numpy()
        arrays[name] = array
        arrays[f"{name}_fortran"] = np.asfortranarray(array)
        if array.dtype.itemsize > 1:
            arrays[f"{name}_big"] = array.astype(array.dtype.newbyteorder(">"))
    arrays["number"] = np.array(2.5)
    arrays["empty"] = np.zeros((0, 4), dtype=np.float32)
    arrays["deep_fortran"] = np.asfortranarray(np.arange(24.0).reshape(1, 2, 3, 4))
    arrays["layers.0.q"] = np.arange(64, dtype=np.float32).reshape(1, 8, 8) / 7
    return arrays


def write_numpy():
    arrays = numpy_arrays()
    np.savez(FOLDER / "stored.npz", **arrays)
    np.savez_compressed(FOLDER / "compressed.npz", **arrays)
    for name, array in arrays.items():
        expect("stored.npz", name, array)
        expect("compressed.npz", name, array)
    for name in ("f16", "f32_fortran", "f64_big", "number", "empty"):
        np.save(FOLDER / f"{name}.npy", arrays[name])
        expect(f"{name}.npy", name, arrays[name])
    for version in ((1, 0), (2, 0), (3, 0)):
        name = f"version{version[0]}"
        with open(FOLDER / f"{name}.npy", "wb") as file:
            np.lib.format.write_array(file, arrays["f32"], version=version)
        expect(f"{name}.npy", name, arrays["f32"])


def save(file, value, held, **options):
    """torch.save, and what the file holds: names and tensors."""
    torch.save(value, FOLDER / file, **options)
    for name, tensor in held.items():
        expect(file, name, tensor)


def write_torch_layouts():
    base = torch.arange(120.0).reshape(4, 5, 6)
    views = {
        "whole": base, "turned": base.transpose(0, 2), "permuted": base.permute(1, 2, 0), "part": base[1:3, ::2, 1:5:3],
        "column": base[:, 2, 3], "number": base[3, 4, 5], "empty": base[:, :0], "ones": base[1:2, :, 4:5],
    }
    save("views.pt", views, views)  # all of them share one storage
    heads = torch.arange(2 * 3 * 4, dtype=torch.float32).reshape(1, 3, 2, 4).transpose(1, 2)  # as attention modules leave it
    save("bare.pt", heads, {"bare": heads})
    refuse("expanded.pt", torch.arange(4.0).expand(3, 4), ["several elements share memory", "contiguous()"])


def write_torch_trees():
    one = {name: torch.arange(6.0).reshape(2, 3) + place for place, name in enumerate("abcdef")}
    nested = {
        "a": one["a"], "list": [one["b"], (one["c"], 3, "text", None, True)], 7: {"d": one["d"]},
        "ordered": collections.OrderedDict(e=one["e"]), "parameter": torch.nn.Parameter(one["f"]),
        "scale": 0.125, "model": "golden", "tokens": ["a", "\"b\"", "\u00e9"],
    }
    save("nested.pt", nested, {"a": one["a"], "list.0": one["b"], "list.1.0": one["c"], "7.d": one["d"], "ordered.e": one["e"],
                               "parameter": one["f"]})
    linear = torch.nn.Linear(2, 3, dtype=torch.bfloat16)
    with torch.no_grad():
        linear.weight.copy_(torch.arange(6.0).reshape(3, 2))
        linear.bias.copy_(torch.arange(3.0))
    save("state.pt", linear.state_dict(), dict(linear.state_dict()))
    probabilities = torch.softmax(torch.full((1, 2, 5, 5), -torch.inf).triu(1) + torch.arange(50.0).reshape(1, 2, 5, 5).sin(), -1)
    save("attentions.pth", (probabilities, probabilities.flip(1)), {"0": probabilities, "1": probabilities.flip(1)})


def write_torch_variants():
    all_types = {TORCH_NAMES[dtype]: example(dtype) for dtype in PLAIN_STORAGES}
    save("all.pt", all_types, all_types)
    torch.serialization.set_crc32_options(False)
    save("no_crc.pt", all_types["f32"], {"no_crc": all_types["f32"]})
    torch.serialization.set_crc32_options(True)
    # A tensor saved from a GPU differs by one text: the place that each storage's persistent id names.
    tag_of = torch.serialization.location_tag
    torch.serialization.location_tag = lambda storage: "cuda:0"
    save("from_gpu.pt", all_types, all_types)
    torch.serialization.location_tag = tag_of
    assert b"cuda:0" in (FOLDER / "from_gpu.pt").read_bytes()


def refuse(file, value, words, **options):
    torch.save(value, FOLDER / file, **options)
    refused.append({"file": file, "words": words})


class Command:
    """Unpickled by Python, it would run a command."""

    def __reduce__(self):
        return print, ("this must never be printed",)


def write_refused():
    one = torch.arange(4.0)
    refuse("legacy.pt", one, ["PyTorch's old format", "torch.save(torch.load(f, weights_only=True), f2)"],
           _use_new_zipfile_serialization=False)
    refuse("protocol4.pt", one, ["protocol 4", "expected 2"], pickle_protocol=4)
    refuse("module.pt", torch.nn.Linear(1, 1), ["asks for the Python object \"torch.nn.modules.linear.Linear\"", "never run"])
    refuse("command.pt", {"q": one, "x": Command()}, ["asks for the Python object \"__builtin__.print\"", "never run"])
    refuse("complex.pt", torch.zeros(2, dtype=torch.complex64), ["\"torch.ComplexFloatStorage\""])
    refuse("uint16.pt", torch.zeros(2, dtype=torch.uint16), ["\"torch._utils._rebuild_tensor_v3\""])


def main():
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir(parents=True)
    write_safetensors()
    write_numpy()
    write_torch_layouts()
    write_torch_trees()
    write_torch_variants()
    write_refused()
    versions = {"numpy": np.__version__, "torch": torch.__version__, "safetensors": safetensors.__version__}
    lines = [json.dumps(entry) for entry in tensors]
    text = '{"written_by": ' + json.dumps(versions) + ',\n "refused": ' + json.dumps(refused) + ',\n "tensors": [\n  '
    (FOLDER / "golden.json").write_text(text + ",\n  ".join(lines) + "\n]}\n", encoding="utf-8")
    print(f"{len(tensors)} tensors, {sum(path.stat().st_size for path in FOLDER.iterdir())} bytes in {FOLDER}")


if __name__ == "__main__":
    main()
