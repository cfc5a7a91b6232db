"""MNIST from the usual places of this machine, or from Keras's mirror with a checksum where there is a network."""

from __future__ import annotations

import hashlib
import http.client
import os
import urllib.request
from pathlib import Path

import numpy as np

from pylayers import atomic
from pylayers.data.idx import read_idx
from pylayers.data.images import Images
from pylayers.data.npz import read_npz
from pylayers.errors import expected

URL = "https://storage.googleapis.com/tensorflow/tf-keras-datasets/mnist.npz"
SHA256 = "731c5ac602752760c8e48fbffcf8c3b850d9dc2a2aedcf2cc48468fc17b673d1"
SIZE = 11_490_434  # bytes of that file
MAX_BYTES = 64 << 20  # the largest array has 47 million bytes
TIMEOUT = 10.0  # seconds without an answer
NPZ = "mnist.npz"
STEMS = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")
KEYS = ("x_train", "y_train", "x_test", "y_test")

Arrays = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]


def mnist(download: bool = True) -> Images:
    """x (N, 1, 28, 28) float32 in [0, 1] and y (N,) int64: 60,000 images to train, 10,000 to test, ten classes.

    Looked for where `places` says, then downloaded unless `download` is False; FileNotFoundError names every place.
    """
    x_train, y_train, x_test, y_test = load(download)
    return Images(_scale(x_train), y_train.astype(np.int64), _scale(x_test), y_test.astype(np.int64))


def _scale(images: np.ndarray) -> np.ndarray:
    scaled = images[:, None].astype(np.float32)
    scaled /= 255
    return scaled


def places() -> list[Path]:
    """The folders looked at, in order; each may hold four IDX files (gzip or not) or ``mnist.npz``."""
    home = Path.home()
    roots = [Path(root).expanduser() for root in (os.environ.get("PYLAYERS_DATA"),) if root]
    roots += [home / ".cache/pylayers", home / ".pylayers", Path("data")]
    inside = [root / name for root in roots for name in ("", "mnist", "MNIST/raw")]
    return [*inside, home / ".keras/datasets"]


def load(download: bool = True) -> Arrays:
    """x_train (60000, 28, 28), y_train (60000,), x_test (10000, 28, 28), y_test (10000,), all uint8, as published."""
    folders = places()
    for folder in folders:
        files = [_existing(folder, stem) for stem in STEMS]
        if all(files):
            return checked(folder, [read_idx(file, MAX_BYTES) for file in files if file])
        if (folder / NPZ).is_file():
            return read(folder / NPZ)
    reason = "no download was asked for"
    if download:
        try:
            content = fetched()
        except (OSError, http.client.HTTPException) as error:
            reason = f"{URL} cannot be reached ({error})"
        else:
            return read(kept(content, _cache()))
    looked = ", ".join(str(folder) for folder in folders)
    raise expected(
        "mnist",
        "PYLAYERS_DATA",
        f"the files {', '.join(STEMS)} (or .gz) or {NPZ} in one of {looked}",
        f"none of them, and {reason}",
        "put the files into one of these folders, or use --data digits, which needs no download",
        FileNotFoundError,
    )


def _existing(folder: Path, stem: str) -> Path | None:
    dotted = stem.replace("-idx", ".idx")  # how some archives unpack
    for name in (stem, stem + ".gz", dotted, dotted + ".gz"):
        if (folder / name).is_file():
            return folder / name
    return None


def read(path: Path) -> Arrays:
    """The arrays of Keras's ``mnist.npz``; ValueError for what is not that."""
    return checked(path, read_npz(path, KEYS, MAX_BYTES))


def checked(path: Path, arrays: list[np.ndarray]) -> Arrays:
    """The four arrays if they are MNIST: images (N, 28, 28) and labels (N,) from 0 to 9, uint8; else ValueError."""
    for x, y, part in ((arrays[0], arrays[1], "train"), (arrays[2], arrays[3], "test")):
        if x.dtype != np.uint8 or x.ndim != 3 or x.shape[1:] != (28, 28) or len(x) == 0:
            raise expected("mnist", f"x_{part}", "uint8 images (N, 28, 28)", f"{x.dtype} {x.shape} in {path}")
        if y.dtype != np.uint8 or y.shape != (len(x),):
            raise expected("mnist", f"y_{part}", f"uint8 labels ({len(x)},)", f"{y.dtype} {y.shape} in {path}")
        if y.max() > 9:
            raise expected("mnist", f"y_{part}", "labels from 0 to 9", f"{y.max()} in {path}", error=IndexError)
    return arrays[0], arrays[1], arrays[2], arrays[3]


def _cache() -> Path:
    return (places()[0] if os.environ.get("PYLAYERS_DATA") else Path.home() / ".cache/pylayers/mnist") / NPZ


def fetched() -> bytes:
    """``mnist.npz`` from the network; ValueError unless its sha256 is right."""
    with urllib.request.urlopen(URL, timeout=TIMEOUT) as answer:
        content = answer.read(SIZE + 1)
    digest = hashlib.sha256(content).hexdigest()
    if digest != SHA256:
        raise expected("mnist", "download", f"{SIZE} bytes with sha256 {SHA256}", f"{len(content)} bytes with {digest}")
    return content


def kept(content: bytes, target: Path) -> Path:
    """Writes what was downloaded, whole or not at all; OSError names the folder if it cannot be written to."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        atomic.write(target, content)
    except OSError as error:
        what = "a folder in which the download can be kept"
        raise expected("mnist", "PYLAYERS_DATA", what, f"{target.parent} ({error})", error=OSError) from error
    return target
