"""Data sets: the digits, MNIST from files, the IDX and npz readers against hostile files."""

from __future__ import annotations

import gzip
import hashlib
import io
import struct
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pylayers.data import Images, digits, mnist, read_idx

source = sys.modules["pylayers.data.mnist_files"]


def idx(array: np.ndarray, code: int, stored: str) -> bytes:
    """An IDX file, written from its definition."""
    header = bytes([0, 0, code, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    return header + array.astype(stored).tobytes()


def test_digits_are_the_stratified_split_scaled():
    data = digits()
    assert data.x_train.shape == (1437, 1, 8, 8) and data.x_test.shape == (360, 1, 8, 8)
    assert data.x_train.dtype == np.float32 and data.y_train.dtype == np.int64
    assert data.x_train.min() == 0 and data.x_train.max() == 1 and data.classes == 10
    # Stratified: every class within one image of its share.
    share = np.bincount(data.y_test) / 360 - np.bincount(np.concatenate([data.y_train, data.y_test])) / 1797
    assert np.abs(share).max() <= 1 / 360
    again = digits()
    assert all(np.array_equal(a, b) for a, b in zip(data, again, strict=True))


def test_digits_without_scikit_learn_name_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    with pytest.raises(ModuleNotFoundError, match=r"scikit-learn.*pip install 'pylayers\[train\]'"):
        digits()


@pytest.mark.parametrize(
    ("code", "stored", "dtype"),
    [(0x08, "u1", "uint8"), (0x09, "i1", "int8"), (0x0B, ">i2", "int16"), (0x0C, ">i4", "int32"),
     (0x0D, ">f4", "float32"), (0x0E, ">f8", "float64")],
)  # fmt: skip
@pytest.mark.parametrize("compress", [False, True])
def test_idx_of_every_dtype(tmp_path, code, stored, dtype, compress):
    array = np.arange(24).reshape(2, 3, 4).astype(dtype)
    content = idx(array, code, stored)
    path = tmp_path / "file"
    path.write_bytes(gzip.compress(content, mtime=0) if compress else content)
    result = read_idx(path)
    assert result.dtype == np.dtype(dtype) and result.dtype.isnative
    assert np.array_equal(result, array)
    result[0] = 0  # the caller may write to it


IMAGES = idx(np.zeros((2, 3), np.uint8), 8, "u1")
HOSTILE = [
    (b"", "expected the magic bytes 00 00, a dtype code and a rank, got an empty file"),
    (b"\0\0\x08", "expected the magic bytes 00 00, a dtype code and a rank, got 00 00 08"),
    (b"\1" + IMAGES[1:], "expected the magic bytes 00 00, a dtype code and a rank, got 01 00 08 02"),
    (IMAGES[:2] + b"\x0a" + IMAGES[3:], "expected a dtype code of 0x08, 0x09, 0x0b, 0x0c, 0x0d, 0x0e, got 0x0a"),
    (b"\0\0\x08\0", "expected a rank from 1 to 8, got 0"),
    (b"\0\0\x08\xff" + bytes(2000), "expected a rank from 1 to 8, got 255"),
    (IMAGES[:9], "expected 2 sizes of 4 bytes, got 5 bytes, truncated"),
    (IMAGES[:-1], r"expected 6 bytes of data for sizes \(2, 3\), got 5, truncated"),
    (IMAGES + b"\0", r"expected 6 bytes of data for sizes \(2, 3\), got more"),
    (IMAGES[:4] + b"\xff" * 8 + bytes(100), r"expected an array of at most 1073741824 bytes, got sizes \(4294967295, "),
    (IMAGES[:4] + struct.pack(">2I", 1 << 14, 1 << 15) + bytes(99), "a file that holds at most 111 in"),
    (gzip.compress(IMAGES, mtime=0)[:-9], "expected a whole gzip stream, got "),
    (b"\x1f\x8bnonsense", "expected a whole gzip stream, got "),
    (gzip.compress(b"\0\0\x08\1" + struct.pack(">I", 1 << 29), mtime=0), "a file that holds at most "),
    (gzip.compress(IMAGES + b"\0", mtime=0), "got more"),
]


@pytest.mark.parametrize(("content", "message"), HOSTILE)
def test_hostile_idx_is_refused(tmp_path, content, message):
    path = tmp_path / "file"
    path.write_bytes(content)
    if message.startswith("a file that holds"):
        message = "bytes of data for sizes .* got " + message
    with pytest.raises(ValueError, match=r"^read_idx: argument 'path': .*" + message):
        read_idx(path)


def test_gzip_bomb_is_not_unpacked(tmp_path):
    path = tmp_path / "bomb"
    # The header asks for 100 bytes, 64 MiB of zeros follow: reading stops after the first byte too many.
    path.write_bytes(gzip.compress(b"\0\0\x08\1" + struct.pack(">I", 100) + bytes(64 << 20)))
    import tracemalloc

    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match="got more"):
            read_idx(path)
        assert tracemalloc.get_traced_memory()[1] < 4 << 20
    finally:
        tracemalloc.stop()


def outcome(path) -> np.ndarray | str:
    """The array, or the words of the refusal."""
    try:
        return read_idx(path)
    except ValueError as error:
        return str(error)


@settings(max_examples=300, deadline=None)
@given(content=st.binary(max_size=64) | st.tuples(st.integers(0, 17), st.integers(0, 255)), zipped=st.booleans())
def test_any_bytes_give_an_array_or_a_value_error(tmp_path_factory, content, zipped):
    if isinstance(content, tuple):  # a good file with one byte changed
        changed = bytearray(IMAGES)
        changed[content[0]] = content[1]
        content = bytes(changed)
    path = tmp_path_factory.getbasetemp() / "fuzz"
    path.write_bytes(gzip.compress(content, 1, mtime=0) if zipped else content)
    found = outcome(path)
    if isinstance(found, str):
        assert found.startswith("read_idx: argument 'path': expected ")
    else:
        assert found.nbytes <= len(content)


def arrays(n_train: int = 6, n_test: int = 4) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    return {
        "x_train": rng.integers(0, 256, (n_train, 28, 28)).astype(np.uint8),
        "y_train": rng.integers(0, 10, n_train).astype(np.uint8),
        "x_test": rng.integers(0, 256, (n_test, 28, 28)).astype(np.uint8),
        "y_test": np.arange(n_test, dtype=np.uint8),
    }


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A home, a working folder and an environment without MNIST."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PYLAYERS_DATA", raising=False)
    return tmp_path / "home"


def write_idx(folder, data, suffix=""):
    folder.mkdir(parents=True)
    for stem, key in zip(source.STEMS, source.KEYS, strict=True):
        content = idx(data[key], 8, "u1")
        (folder / (stem + suffix)).write_bytes(gzip.compress(content, mtime=0) if suffix else content)


@pytest.mark.parametrize(
    ("place", "suffix"),
    [(".cache/pylayers/mnist", ".gz"), (".pylayers", ""), (".pylayers/MNIST/raw", ""), ("../data/MNIST/raw", ""),
     ("../data/mnist", ".gz"), ("../elsewhere", "")],
)  # fmt: skip
def test_mnist_from_idx_files_in_the_usual_places(home, monkeypatch, place, suffix):
    data = arrays()
    write_idx(home / place, data, suffix)
    if place == "../elsewhere":
        monkeypatch.setenv("PYLAYERS_DATA", str(home / place))
    found = source.load(download=False)
    assert all(np.array_equal(found[i], data[key]) for i, key in enumerate(source.KEYS))
    scaled = mnist(download=False)
    assert isinstance(scaled, Images)
    assert scaled.x_train.shape == (6, 1, 28, 28) and scaled.x_train.dtype == np.float32
    assert np.array_equal(scaled.x_test[:, 0], (data["x_test"] / np.float32(255)))
    assert scaled.y_train.dtype == np.int64


def test_mnist_from_keras_cache(home):
    data = arrays()
    (home / ".keras/datasets").mkdir(parents=True)
    np.savez_compressed(home / ".keras/datasets/mnist.npz", **data)
    found = source.load(download=False)
    assert all(np.array_equal(found[i], data[key]) for i, key in enumerate(source.KEYS))
    from pylayers.keras.datasets import mnist as keras_mnist

    (x_train, y_train), (x_test, y_test) = keras_mnist.load_data()
    assert x_train.dtype == y_train.dtype == np.uint8
    for key, value in zip(source.KEYS, (x_train, y_train, x_test, y_test), strict=True):
        assert np.array_equal(value, data[key])


def test_mnist_absent_names_every_place_and_the_failed_download(home, monkeypatch):
    def refuse(*args, **kwargs):
        raise source.urllib.error.URLError("no network")

    monkeypatch.setattr(source.urllib.request, "urlopen", refuse)
    with pytest.raises(FileNotFoundError) as caught:
        mnist()
    message = str(caught.value)
    assert message.startswith("mnist: argument 'PYLAYERS_DATA': expected the files train-images-idx3-ubyte,")
    for place in source.places():
        assert str(place) in message
    assert "cannot be reached (<urlopen error no network>); put the files into one of these folders" in message
    with pytest.raises(FileNotFoundError, match="none of them, and no download was asked for"):
        mnist(download=False)


def test_download_is_checked_and_appears_only_whole(home, monkeypatch):
    stream = io.BytesIO()
    np.savez(stream, **arrays())
    asked = []

    def answer(url, timeout):
        asked.append((url, timeout))
        return io.BytesIO(stream.getvalue())

    monkeypatch.setattr(source.urllib.request, "urlopen", answer)
    target = home / ".cache/pylayers/mnist/mnist.npz"
    with pytest.raises(ValueError, match=r"mnist: argument 'download': expected 11490434 bytes with sha256 731c5ac6"):
        mnist()
    assert not target.exists()
    monkeypatch.setattr(source, "SHA256", hashlib.sha256(stream.getvalue()).hexdigest())
    monkeypatch.setattr(source, "SIZE", len(stream.getvalue()))
    assert mnist().x_train.shape == (6, 1, 28, 28)
    assert [file.name for file in target.parent.iterdir()] == ["mnist.npz"]
    assert asked[0][0].startswith("https://") and asked[0][1] > 0
    mnist()
    assert len(asked) == 2, "the second time it is read from the file"


def test_a_download_that_cannot_be_kept_says_where(home, monkeypatch):
    content = b"the file"
    monkeypatch.setattr(source.urllib.request, "urlopen", lambda url, timeout: io.BytesIO(content))
    monkeypatch.setattr(source, "SHA256", hashlib.sha256(content).hexdigest())
    (home / ".cache").mkdir(parents=True)
    (home / ".cache/pylayers").write_bytes(b"no folder")
    with pytest.raises(OSError, match=r"mnist: argument 'PYLAYERS_DATA': .* be kept, got .*\.cache/pylayers/mnist \("):
        mnist()


@pytest.mark.parametrize(
    ("key", "value", "error", "message"),
    [
        (
            "x_train",
            np.zeros((6, 28, 27), np.uint8),
            ValueError,
            r"'x_train': expected uint8 images \(N, 28, 28\), got uint8",
        ),
        ("x_test", np.zeros((4, 28, 28)), ValueError, r"'x_test': expected uint8 images \(N, 28, 28\), got float64"),
        ("y_train", np.zeros(5, np.uint8), ValueError, r"'y_train': expected uint8 labels \(6,\), got uint8 \(5,\)"),
        ("y_test", np.full(4, 10, np.uint8), IndexError, r"'y_test': expected labels from 0 to 9, got 10"),
        ("y_test", np.array([None] * 4), ValueError, "expected an array of numbers as 'y_test', got Python objects"),
    ],
)
def test_npz_that_is_not_mnist_is_refused(home, key, value, error, message):
    path = home / ".keras/datasets/mnist.npz"
    path.parent.mkdir(parents=True)
    np.savez(path, **(arrays() | {key: value}))
    with pytest.raises(error, match=message):
        mnist(download=False)
