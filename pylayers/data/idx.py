"""IDX files, MNIST's format: two zero bytes, dtype code, rank, big-endian uint32 sizes, then the data in C order.

Nothing in a file is believed before it is checked, and memory is asked for only when the file can fill it.
"""

from __future__ import annotations

import gzip
import math
import os
import zlib
from pathlib import Path
from typing import BinaryIO

import numpy as np

from pylayers.errors import expected

DTYPES = {0x08: "u1", 0x09: "i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
MAX_RANK = 8
MAX_BYTES = 1 << 30
GZIP_MAGIC = b"\x1f\x8b"
DEFLATE_RATIO = 1032  # what one compressed byte can at most become, by the format of deflate


def read_idx(path: str | os.PathLike[str], max_bytes: int = MAX_BYTES) -> np.ndarray:
    """The array in an IDX file, gzip-compressed or not, in the machine's own byte order.

    ValueError for a file that is not exactly what its header says (magic, dtype, sizes, too short, too long), and for
    an array of more than `max_bytes` bytes; a compressed bomb is refused before it is unpacked.
    """
    path = Path(path)
    with path.open("rb") as file:
        compressed = file.read(2) == GZIP_MAGIC
        file.seek(0)
        capacity = os.fstat(file.fileno()).st_size * (DEFLATE_RATIO if compressed else 1)
        if not compressed:
            return _parse(path, file, capacity, max_bytes)
        try:
            with gzip.GzipFile(fileobj=file) as stream:
                return _parse(path, stream, capacity, max_bytes)  # type: ignore[arg-type]
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise _refusal(path, "a whole gzip stream", str(error)) from error


def _refusal(path: Path, what: str, got: str) -> Exception:
    return expected("read_idx", "path", what, f"{got} in {path}")


def _parse(path: Path, stream: BinaryIO, capacity: int, max_bytes: int) -> np.ndarray:
    dtype, shape = _header(path, stream)
    n_bytes = math.prod(shape) * dtype.itemsize
    if n_bytes > max_bytes:
        raise _refusal(path, f"an array of at most {max_bytes} bytes", f"sizes {shape}, {n_bytes} bytes,")
    if n_bytes > capacity:
        raise _refusal(path, f"{n_bytes} bytes of data for sizes {shape}", f"a file that holds at most {capacity}")
    data = stream.read(n_bytes)
    if len(data) < n_bytes:
        raise _refusal(path, f"{n_bytes} bytes of data for sizes {shape}", f"{len(data)}, truncated,")
    if stream.read(1):
        raise _refusal(path, f"{n_bytes} bytes of data for sizes {shape}", "more")
    return np.frombuffer(data, dtype).reshape(shape).astype(dtype.newbyteorder("="))


def _header(path: Path, stream: BinaryIO) -> tuple[np.dtype, tuple[int, ...]]:
    magic = stream.read(4)
    if len(magic) < 4 or magic[:2] != b"\0\0":
        raise _refusal(path, "the magic bytes 00 00, a dtype code and a rank", magic.hex(" ") or "an empty file")
    code, rank = magic[2], magic[3]
    if code not in DTYPES:
        known = ", ".join(f"0x{known:02x}" for known in DTYPES)
        raise _refusal(path, f"a dtype code of {known}", f"0x{code:02x}")
    if not 1 <= rank <= MAX_RANK:
        raise _refusal(path, f"a rank from 1 to {MAX_RANK}", str(rank))
    sizes = stream.read(4 * rank)
    if len(sizes) < 4 * rank:
        raise _refusal(path, f"{rank} sizes of 4 bytes", f"{len(sizes)} bytes, truncated,")
    return np.dtype(DTYPES[code]), tuple(np.frombuffer(sizes, ">u4").tolist())
