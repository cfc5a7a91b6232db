"""NumPy's npz archives from sources one does not trust: no pickles, no array larger than the file can fill."""

from __future__ import annotations

import lzma
import math
import os
import struct
import zipfile
import zlib
from collections.abc import Sequence
from typing import IO

import numpy as np
from numpy.lib import format as npy

from pylayers.errors import expected

MAX_BYTES = 1 << 30
MAX_RANK = 32
READERS = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}
# What zipfile and the decompressors let out of a damaged archive.
BROKEN = (
    EOFError, NotImplementedError, OSError, RuntimeError, UnicodeError, lzma.LZMAError, struct.error,
    zipfile.BadZipFile, zlib.error,
)  # fmt: skip


def read_npz(path: str | os.PathLike[str], names: Sequence[str], max_bytes: int = MAX_BYTES) -> list[np.ndarray]:
    """The arrays of these names; ValueError for a broken archive, a missing name, more than `max_bytes`.

    OSError for a file that cannot be opened.
    """
    with open(path, "rb") as file:
        try:
            with zipfile.ZipFile(file) as archive:
                return [_member(path, archive, name, max_bytes) for name in names]
        except BROKEN as error:
            raise expected("read_npz", "path", "a whole npz archive", f"{error} in {path}") from error


def _member(path: str | os.PathLike[str], archive: zipfile.ZipFile, name: str, max_bytes: int) -> np.ndarray:
    def refusal(what: str, got: object) -> Exception:
        return expected("read_npz", "path", f"{what} as {name!r}", f"{got} in {path}")

    if f"{name}.npy" not in archive.namelist():
        raise refusal("an array", f"only {', '.join(map(repr, sorted(archive.namelist())[:8])) or 'nothing'}")
    # The archive's own word for the size bounds what is unpacked: a member never yields more than it declares.
    size = archive.getinfo(f"{name}.npy").file_size
    if size > max_bytes:
        raise refusal(f"at most {max_bytes} bytes", size)
    with archive.open(f"{name}.npy") as stream:
        try:
            shape, fortran, dtype = _header(stream)
        except BROKEN:
            raise
        except Exception as error:  # NumPy evaluates the header's text: whatever it stumbles over comes out
            raise refusal("an array in npy format", error) from error
        if dtype.kind not in "biufc":
            raise refusal("an array of numbers", "Python objects" if dtype.hasobject else f"dtype {dtype}")
        n_bytes = math.prod(shape) * dtype.itemsize
        if n_bytes > size or max(shape, default=0) > MAX_BYTES:
            raise refusal(f"{n_bytes} bytes of data for shape {shape}", f"{size} bytes")
        data = stream.read(n_bytes + 1)  # one more, so that the end is met, where the checksum is compared
        if len(data) != n_bytes:
            found = f"{len(data)}, truncated," if len(data) < n_bytes else "more"
            raise refusal(f"{n_bytes} bytes of data for shape {shape}", found)
    return np.frombuffer(data, dtype).reshape(shape, order="F" if fortran else "C").copy()


def _header(stream: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype]:
    version = npy.read_magic(stream)
    if version not in READERS:
        raise ValueError(f"npy version {version}")
    shape, fortran, dtype = READERS[version](stream)
    if len(shape) > MAX_RANK or any(type(n) is not int or n < 0 for n in shape):
        raise ValueError(f"shape {shape}")
    return shape, fortran, dtype
