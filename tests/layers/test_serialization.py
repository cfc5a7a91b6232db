"""save and load: what goes in comes out, files are whole or absent, and damaged ones are refused."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pylayers
from pylayers import nn
from pylayers.autograd import Tensor
from pylayers.serialization import FORMAT_DTYPES


def tensors() -> dict[str, Tensor]:
    """Every dtype; a scalar, an empty array, a transposed and a broadcast view."""
    rng = np.random.default_rng(0)
    found = {str(dtype): Tensor(rng.integers(0, 2, (2, 3)).astype(dtype)) for dtype in FORMAT_DTYPES.values()}
    return found | {
        "scalar": Tensor(np.array(2.5)),
        "empty": Tensor(np.zeros((0, 3), np.float32)),
        "transposed": Tensor(rng.normal(size=(3, 4)).T),
        "broadcast": Tensor(np.broadcast_to(rng.normal(size=3), (4, 3))),
        "layer.0.weight": nn.Parameter(rng.normal(size=(2, 2))),
    }


def assert_equal(got: Any, wanted: Any) -> None:
    if isinstance(wanted, (Tensor, np.ndarray)):
        array = wanted.detach().numpy() if isinstance(wanted, Tensor) else wanted
        assert isinstance(got, Tensor)
        assert got.dtype == array.dtype
        assert got.shape == array.shape
        assert np.array_equal(got.numpy(), array)
        return
    assert type(got) is type(wanted)
    if isinstance(wanted, dict):
        assert list(got) == list(wanted)
        for key in wanted:
            assert_equal(got[key], wanted[key])
    elif isinstance(wanted, (list, tuple)):
        assert len(got) == len(wanted)
        for one, other in zip(got, wanted, strict=True):
            assert_equal(one, other)
    else:
        assert got == wanted


def test_round_trip(tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    wanted = tensors()
    pylayers.save(wanted, path)
    got = pylayers.load(path)
    assert sorted(got) == sorted(wanted)
    for name, value in wanted.items():
        assert_equal(got[name], value)
        got[name].array[...] = 1  # memory of its own, writable
    assert os.listdir(tmp_path) == ["weights.safetensors"]


def test_nested(tmp_path: Path) -> None:
    """Order, integer keys, tuples, numbers and None come back as they were; arrays come back as Tensors."""
    wanted = {
        "state": {0: {"step": Tensor(np.float32(3) + np.zeros(())), "buffer": Tensor(np.arange(3))}, 7: {}},
        "groups": [{"lr": 0.1, "betas": (0.9, 0.999), "fused": None, "name": "héllo", "on": True, "params": [0, 1]}],
        "array": np.ones((2, 2)),
        "large": float("inf"),
    }
    pylayers.save(wanted, tmp_path / "x")
    assert_equal(pylayers.load(tmp_path / "x"), wanted)
    pylayers.save(Tensor(np.ones(2)), tmp_path / "one")
    assert_equal(pylayers.load(tmp_path / "one"), Tensor(np.ones(2)))


def test_other_readers_and_writers(tmp_path: Path) -> None:
    """The safetensors library reads our files and we read its; with torch, bfloat16 too."""
    from safetensors.numpy import load_file, save_file

    weights = {"a.weight": np.arange(6, dtype=np.float32).reshape(2, 3), "b": np.array([True, False])}
    pylayers.save(weights, tmp_path / "ours")
    assert all(np.array_equal(value, weights[name]) for name, value in load_file(tmp_path / "ours").items())
    save_file(weights, tmp_path / "theirs")
    assert_equal(pylayers.load(tmp_path / "theirs"), weights)


def test_torch_bfloat16(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    from safetensors.torch import load_file, save_file

    weights = {"w": torch.linspace(-3, 3, 12).reshape(3, 4).bfloat16()}
    save_file(weights, tmp_path / "theirs")
    ours = pylayers.load(tmp_path / "theirs")
    assert ours["w"].dtype == pylayers.bfloat16
    assert (ours["w"].numpy().astype(np.float32) == weights["w"].float().numpy()).all()
    pylayers.save(ours, tmp_path / "ours")
    assert torch.equal(load_file(tmp_path / "ours")["w"], weights["w"])


def test_save_over_the_file_it_was_loaded_from(tmp_path: Path) -> None:
    path = tmp_path / "weights"
    pylayers.save({"w": np.arange(1000.0)}, path)
    for _ in range(3):
        pylayers.save(pylayers.load(path), path)
    assert (pylayers.load(path)["w"].numpy() == np.arange(1000.0)).all()


def test_a_failed_save_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "weights"
    pylayers.save({"w": np.ones(3)}, path)
    before = path.read_bytes()
    with pytest.raises(TypeError, match="save: argument 'w': expected tensors, numbers, strings"):
        pylayers.save({"w": object()}, path)

    def full(*args: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        pylayers.save({"w": np.zeros(3)}, path)
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["weights"]


def test_a_full_disk_leaves_the_old_file(tmp_path: Path) -> None:
    """RLIMIT_FSIZE stops the write half way; the old file is read afterwards and no scratch file is left."""
    program = textwrap.dedent("""
        import resource, signal, sys
        import numpy as np
        import pylayers
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        pylayers.save({"w": np.ones(10)}, sys.argv[1])
        resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))
        try:
            pylayers.save({"w": np.zeros(100_000)}, sys.argv[1])
        except Exception as error:
            print("refused:", type(error).__name__)
        print(pylayers.load(sys.argv[1])["w"].numpy().sum())
    """)
    path = tmp_path / "weights"
    out = subprocess.run([sys.executable, "-c", program, str(path)], capture_output=True, text=True, check=True)
    assert out.stdout.split("\n")[0].startswith("refused:"), out.stdout
    assert out.stdout.split("\n")[1] == "10.0"
    assert os.listdir(tmp_path) == ["weights"]


@pytest.mark.slow
def test_kill_during_save(tmp_path: Path) -> None:
    """A process killed at any time while it saves leaves one of the two states, complete."""
    program = textwrap.dedent("""
        import sys
        import numpy as np
        import pylayers
        values = [np.full(200_000, k, np.float32) for k in range(2)]
        pylayers.save({"w": values[0]}, sys.argv[1])
        print("saving", flush=True)
        while True:
            for value in values:
                pylayers.save({"w": value}, sys.argv[1])
    """)
    path = tmp_path / "weights"
    rng = np.random.default_rng(0)
    for _ in range(4):
        process = subprocess.Popen([sys.executable, "-c", program, str(path)], stdout=subprocess.PIPE)
        assert process.stdout is not None
        process.stdout.readline()
        try:
            process.wait(timeout=float(rng.uniform(0, 0.1)))
        except subprocess.TimeoutExpired:
            process.kill()
        process.communicate()
        assert process.returncode == -9
        values = pylayers.load(path)["w"].numpy()
        assert values.shape == (200_000,)
        assert (values == values[0]).all()


def test_files_of_before_there_were_checksums(tmp_path: Path) -> None:
    """Plain ones and nested ones, as the safetensors library wrote them for us."""
    from safetensors.numpy import save_file

    weights = {"a": np.arange(3.0), "b": np.ones((2, 2), np.float32)}
    save_file(weights, tmp_path / "plain", metadata={"format": "pt"})
    assert_equal(pylayers.load(tmp_path / "plain"), weights)
    tree = {"dict": [["x", {"tensor": "a"}], [7, {"list": [{"tensor": "b"}, {"value": None}]}]]}
    save_file(weights, tmp_path / "nested", metadata={"format": "pt", "pylayers": json.dumps(tree)})
    assert_equal(pylayers.load(tmp_path / "nested"), {"x": weights["a"], 7: [weights["b"], None]})


def test_map_location(tmp_path: Path) -> None:
    pylayers.save({"w": np.ones(2), "n": [1, np.zeros(1)]}, tmp_path / "x")
    assert_equal(pylayers.load(tmp_path / "x", "cpu"), {"w": np.ones(2), "n": [1, np.zeros(1)]})
    with pytest.raises(ValueError, match="'cpu', 'cuda' or 'cuda:<number>', got 'tpu'"):
        pylayers.load(tmp_path / "x", map_location="tpu")


def test_what_cannot_be_saved(tmp_path: Path) -> None:
    deep: Any = 1
    for _ in range(40):
        deep = [deep]
    for bad, error, match in (
        ({1.5: np.ones(1)}, TypeError, "expected names and integers as keys, got 1.5"),
        ({"a": {"b": np.ones(1)}, "a.b": np.ones(1)}, ValueError, "one tensor for each dotted name, got 'a.b'"),
        ({"f": print}, TypeError, "argument 'f': expected tensors, numbers, strings, None, dicts and lists"),
        (deep, ValueError, "expected at most 32 levels"),
        ({"w": np.ones(1, complex)}, TypeError, "expected a dtype among"),
    ):
        with pytest.raises(error, match=match):
            pylayers.save(bad, tmp_path / "x")
    with pytest.raises(OSError, match="No such file or directory"):
        pylayers.save({"w": np.ones(1)}, tmp_path / "absent" / "x")
    assert os.listdir(tmp_path) == []
