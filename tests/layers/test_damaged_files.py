"""Damaged, hostile and foreign files: each is refused with CheckpointError, none runs code or is half believed."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pylayers


def packed(header: Any, data: bytes = b"", length: int | None = None) -> bytes:
    """A file with this header, whatever it says."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return (len(text) if length is None else length).to_bytes(8, "little") + text + data


def entry(dtype: str = "F32", shape: Any = (2,), offsets: Any = (0, 8)) -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": offsets}


EIGHT = b"\0" * 8
HOSTILE = {
    "empty": b"",
    "seven bytes": b"\0" * 7,
    "header longer than the file": packed({}, length=1000),
    "header of 2^63 bytes": packed({}, length=2**63),
    "not json": packed(b"{]"),
    "not utf-8": packed(b'{"\xff": 1}'),
    "list": packed([]),
    "number as entry": packed({"w": 1}, EIGHT),
    "negative offset": packed({"w": entry(offsets=(-8, 0))}, EIGHT),
    "beyond the end": packed({"w": entry(shape=(4,), offsets=(0, 16))}, EIGHT),
    "hole": packed({"w": entry(), "x": entry(offsets=(16, 24))}, EIGHT * 3),
    "overlap": packed({"w": entry(), "x": entry(offsets=(4, 12))}, EIGHT * 2),
    "bytes left over": packed({"w": entry()}, EIGHT * 2),
    "too few bytes": packed({"w": entry()}, b"\0" * 7),
    "shape times dtype": packed({"w": entry(shape=(3,))}, EIGHT),
    "shape overflows": packed({"w": entry(shape=(2**40, 2**40))}, EIGHT),
    "negative size": packed({"w": entry(shape=(-2,))}, EIGHT),
    "unknown dtype": packed({"w": entry(dtype="F33")}, EIGHT),
    "dtype of the format that is not ours": packed({"w": entry(dtype="U32")}, EIGHT),
    "bool of 2": packed({"w": entry(dtype="BOOL", offsets=(0, 2))}, b"\1\2"),
    "twice the same name": packed(
        b'{"w":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"w":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}',
        EIGHT,
    ),
    "deep": packed(b'{"a":' * 100_000 + b"1" + b"}" * 100_000),
    "structure is no json": packed({"__metadata__": {"pylayers": "{"}, "w": entry()}, EIGHT),
    "structure of another kind": packed({"__metadata__": {"pylayers": '{"code": "x"}'}, "w": entry()}, EIGHT),
    "structure names no tensor": packed({"__metadata__": {"pylayers": '{"tensor": "x"}'}, "w": entry()}, EIGHT),
    "structure too deep": packed(
        {"__metadata__": {"pylayers": '{"list": [' * 500 + '{"value": 1}' + "]}" * 500}, "w": entry()}, EIGHT
    ),
    "structure with a list as key": packed(
        {"__metadata__": {"pylayers": '{"dict": [[[1], {"value": 1}]]}'}, "w": entry()}, EIGHT
    ),
    "pickle": b"\x80\x04\x95\x10\0\0\0\0\0\0\0\x8c\x05posix\x94\x8c\x06system\x94\x93\x94.",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_file(name: str, tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(HOSTILE[name])
    with pytest.raises(pylayers.CheckpointError, match=r"load: '.*x' is not a valid safetensors file: ."):
        pylayers.load(path)


def test_absent_and_directory(tmp_path: Path) -> None:
    with pytest.raises(pylayers.CheckpointError, match="load: there is no file '.*nothing'"):
        pylayers.load(tmp_path / "nothing")
    with pytest.raises(pylayers.CheckpointError, match="load: '.*' is not a valid safetensors file: .*[Dd]irectory"):
        pylayers.load(tmp_path)


def test_every_flipped_bit_is_noticed(tmp_path: Path) -> None:
    """Of the header, of the data, of the checksum itself; so is each cut, and what is put behind the end."""
    path, good = tmp_path / "x", tmp_path / "good"
    pylayers.save({"state": {0: {"w": np.arange(5, dtype=np.float32)}}, "lr": 0.001}, good)
    content = good.read_bytes()
    rng = np.random.default_rng(0)
    damaged = [content[:cut] for cut in range(len(content))] + [content + b"\0", content + content]
    for place in range(len(content)):
        for bit in range(8) if place % 7 == 0 else [int(rng.integers(8))]:
            damaged.append(content[:place] + bytes([content[place] ^ 1 << bit]) + content[place + 1 :])
    for bad in damaged:
        path.write_bytes(bad)
        with pytest.raises(pylayers.CheckpointError, match="is not a valid safetensors file: ."):
            pylayers.load(path)


def test_a_file_of_a_later_version_says_so(tmp_path: Path) -> None:
    from safetensors.numpy import save_file

    metadata = {"pylayers.version": "2", "pylayers.sha256": "0" * 64}
    save_file({"a": np.ones(1)}, tmp_path / "x", metadata=metadata)
    with pytest.raises(pylayers.CheckpointError, match="it has the version '2'; this pylayers reads version 1"):
        pylayers.load(tmp_path / "x")


def test_a_file_rewritten_in_place_is_loaded_whole_or_refused(tmp_path: Path) -> None:
    """Another process truncates and writes it all the time: no bus error, no mixture."""
    program = textwrap.dedent("""
        import sys, threading
        import numpy as np
        import pylayers
        path = sys.argv[1]
        contents = []
        for value in (1, 2):
            pylayers.save({f"k{i}": np.full(100, value, np.float32) for i in range(3000)}, path)
            contents.append(open(path, "rb").read())
        def rewrite():
            while True:
                for content in contents:
                    with open(path, "wb") as file:
                        file.write(content)
        threading.Thread(target=rewrite, daemon=True).start()
        for _ in range(60):
            try:
                found = {float(x.array[0]) for x in pylayers.load(path).values()}
                assert found in ({1.0}, {2.0}), found
            except pylayers.CheckpointError:
                pass
        print("survived")
    """)
    path = tmp_path / "weights"
    out = subprocess.run([sys.executable, "-c", program, str(path)], capture_output=True, text=True)
    assert (out.returncode, out.stdout) == (0, "survived\n"), out.stderr


def test_files_of_torch_are_recognised(tmp_path: Path) -> None:
    """Today's zip archive and the older pickle; a header of 640 bytes, which begins like one, is none."""
    torch = pytest.importorskip("torch")
    for name, new in (("zip.pt", True), ("old.pt", False)):
        torch.save({"w": torch.ones(2)}, tmp_path / name, _use_new_zipfile_serialization=new)
        with pytest.raises(pylayers.CheckpointError, match=r"file of torch\.save.*safetensors\.torch\.save_file"):
            pylayers.load(tmp_path / name, map_location="cpu", weights_only=True)
    header = json.dumps({"w": entry()}).encode()
    (tmp_path / "x").write_bytes(packed(header + b" " * (0x280 - len(header)), EIGHT))
    assert pylayers.load(tmp_path / "x")["w"].tolist() == [0, 0]
