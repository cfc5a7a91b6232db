"""The npz reader against hostile and damaged archives: an array of its bytes or a ValueError, nothing else."""

from __future__ import annotations

import io
import re
import struct
import zipfile

import numpy as np
import pytest

from pylayers.data.npz import read_npz


def npy(header: str) -> bytes:
    padded = header + " " * (64 - (len(header) + 11) % 64) + "\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(padded)) + padded.encode()


U1 = "{'descr': '|u1', 'fortran_order': False, 'shape': "


@pytest.mark.parametrize(
    ("member", "message"),
    [
        (npy("{'descr': '|u1', 'fortran_order': False, 'shape': (9999999, 9999999)}"), "bytes of data for shape"),
        (npy("{'descr': '|u1', 'fortran_order': False, 'shape': (-1,)}"), "an array in npy format as 'x', got shape"),
        (npy("{'descr': '|u1', 'fortran_order': False, 'shape': (4,)}")[:40], "expected an array in npy format as 'x'"),
        (npy("__import__('os')"), "expected an array in npy format as 'x'"),
        (npy(U1 + "(True,)}") + b"1", "expected an array in npy format as 'x', got shape"),
        (npy(U1 + "(0, 99999999999999999999)}"), "bytes of data for shape"),
        (npy(U1 + "(" + "1, " * 70 + ")}") + b"1", "expected an array in npy format as 'x', got shape"),
        (npy(U1 + "(2,)}") + b"123", "2 bytes .* got more"),
        (npy("{'descr': ('|u1',), 'fortran_order': False, 'shape': (3,)}"), "expected an array in npy format as 'x'"),
        (npy("{'descr': '|S0', 'fortran_order': False, 'shape': (3,)}"), "an array of numbers as 'x', got dtype"),
        (npy("{'descr': [('a', '|u1')], 'fortran_order': False, 'shape': (0,)}"), "an array of numbers as 'x'"),
        (npy("{[]: 1}"), "expected an array in npy format as 'x'"),
        (npy("(" * 2000), "expected an array in npy format as 'x'"),
        (b"", "expected an array in npy format as 'x'"),
        (npy("{'descr': '|u1', 'fortran_order': False, 'shape': (4,)}") + b"123", "4 bytes .* got 3, truncated"),
    ],
)
def test_hostile_npz_is_refused(tmp_path, member, message):
    path = tmp_path / "hostile.npz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x.npy", member)
    with pytest.raises(ValueError, match=r"read_npz: argument 'path': .*" + message):
        read_npz(path, ["x"])


def test_broken_and_oversized_npz_are_refused(tmp_path):
    path = tmp_path / "x.npz"
    path.write_bytes(b"PK nonsense")
    with pytest.raises(ValueError, match="read_npz: argument 'path': expected a whole npz archive"):
        read_npz(path, ["x"])
    np.savez_compressed(path, x=np.zeros(1 << 20))
    with pytest.raises(ValueError, match="expected at most 1000 bytes as 'x', got 8388736"):
        read_npz(path, ["x"], max_bytes=1000)
    with pytest.raises(ValueError, match=re.escape("expected an array as 'y', got only 'x.npy'")):
        read_npz(path, ["y"])
    assert read_npz(path, ["x"])[0].shape == (1 << 20,)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_flipped_bit_anywhere_and_every_cut_is_refused_or_without_effect(tmp_path, method):
    """Of an archive of each kind: what is read is what was written, or a ValueError in this project's words."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", method) as archive:
        archive.writestr("x.npy", npy(U1 + "(40,)}") + bytes(range(40)))
    content, path = stream.getvalue(), tmp_path / "x.npz"
    damaged = [content[:cut] for cut in range(len(content))]
    damaged += [
        content[:place] + bytes([content[place] ^ 1 << int(bit)]) + content[place + 1 :]
        for place, bit in enumerate(np.random.default_rng(0).integers(0, 8, len(content)))
    ]
    words = []
    for bad in damaged:
        path.write_bytes(bad)
        try:
            assert read_npz(path, ["x"])[0].tolist() == list(range(40))
        except ValueError as error:
            words.append(str(error))
    assert len(words) > len(damaged) // 2
    assert all(text.startswith("read_npz: argument 'path': expected ") for text in words)
    with pytest.raises(FileNotFoundError):
        read_npz(tmp_path / "absent", ["x"])
