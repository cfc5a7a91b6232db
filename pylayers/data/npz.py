"""NumPy's npz archives from sources one does not trust: no pickles, no array larger than the file can fill."""

from __future__ import annotations

import math
import os
import zipfile
import zlib
from collections.abc import Sequence
from typing import IO

import numpy as np
from numpy.lib import format as npy

from pylayers.errors import expected

MAX_BYTES = 1 << 30


def read_npz(path: str | os.PathLike[str], names: Sequence[str], max_bytes: int = MAX_BYTES) -> list[np.ndarray]:
    """The arrays of these names; ValueError for a broken archive, a missing name, more than `max_bytes`."""
    try:
        with zipfile.ZipFile(path) as archive:
            return [_member(path, archive, name, max_bytes) for name in names]
    except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError, zlib.error) as error:
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
        except ValueError as error:
            raise refusal("an array in npy format", error) from error
        if dtype.hasobject:
            raise refusal("an array of numbers", "Python objects")
        n_bytes = math.prod(shape) * dtype.itemsize
        if min(shape, default=0) < 0 or n_bytes > size:
            raise refusal(f"{n_bytes} bytes of data for shape {shape}", f"{size} bytes")
        data = stream.read(n_bytes)
        if len(data) < n_bytes:
            raise refusal(f"{n_bytes} bytes of data for shape {shape}", f"{len(data)}, truncated,")
    return np.frombuffer(data, dtype).reshape(shape, order="F" if fortran else "C").copy()


def _header(stream: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype]:
    version = npy.read_magic(stream)
    if version == (1, 0):
        return npy.read_array_header_1_0(stream)
    if version == (2, 0):
        return npy.read_array_header_2_0(stream)
    raise ValueError(f"npy version {version}")
