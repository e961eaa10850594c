"""Writes safetensors files for Convscope tensor by tensor, with no more than one tensor in memory. Needs nothing but Python.

Layout of the format: 8 bytes with the size of the header, the header (JSON: metadata, and for each tensor dtype, shape and byte range),
then the tensors' bytes without gaps.
"""

from __future__ import annotations

import json
import os
import struct
import tempfile
from pathlib import Path
from typing import IO, Any

ITEM_BYTES = {"F16": 2, "BF16": 2, "F32": 4}
CHUNK = 1 << 22


class ActivationFile:
    """The file `out`, which appears whole when `finish` is called, and not at all if it is not.

    Use it in a `with` block. Tensors wait in a temporary file without a name beside `out`, so that nothing stays behind even when
    the process is killed; for a moment in `finish` the disk holds them twice.
    """

    def __init__(self, out: Path) -> None:
        self.out = out
        self._waiting: IO[bytes] = tempfile.TemporaryFile(dir=out.absolute().parent)
        self._entries: list[tuple[str, str, list[int], int, int]] = []

    def add(self, name: str, dtype: str, shape: tuple[int, ...], data: Any) -> None:
        """Takes one tensor: `data` are its bytes, row-major and little-endian, of dtype F16, BF16 or F32."""
        data = memoryview(data).cast("B")
        size = ITEM_BYTES[dtype]
        for length in shape:
            size *= length
        if data.nbytes != size:
            raise ValueError(f"{name}: {data.nbytes} bytes given, {dtype} of shape {shape} has {size}")
        if any(name == entry[0] for entry in self._entries):
            raise ValueError(f"{name}: given twice")
        self._entries.append((name, dtype, list(shape), self._waiting.tell(), size))
        self._waiting.write(data)

    def finish(self, metadata: dict[str, str]) -> None:
        """Writes the file and gives it its name."""
        # Wider types first, so that every tensor begins at a multiple of its item size; the sort keeps the order otherwise.
        entries = sorted(self._entries, key=lambda entry: -ITEM_BYTES[entry[1]])
        header: dict[str, Any] = {"__metadata__": metadata}
        end = 0
        for name, dtype, shape, _, size in entries:
            header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [end, end + size]}
            end += size
        text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
        text += b" " * (-len(text) % 8)
        part = self.out.with_name(f"{self.out.name}.{os.getpid()}.part")
        try:
            with open(part, "wb") as file:
                file.write(struct.pack("<Q", len(text)) + text)
                for _, _, _, begin, size in entries:
                    self._waiting.seek(begin)
                    for done in range(0, size, CHUNK):
                        file.write(self._waiting.read(min(CHUNK, size - done)))
            os.replace(part, self.out)
        finally:
            part.unlink(missing_ok=True)

    def __enter__(self) -> ActivationFile:
        return self

    def __exit__(self, *_: object) -> None:
        self._waiting.close()
