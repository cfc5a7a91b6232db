"""save and load: tensors, alone or in nested dicts and lists, as safetensors files; written whole or not at all.

A plain dict of named tensors becomes a plain safetensors file. Anything nested (an optimizer's state) keeps its shape
as JSON in the file's metadata. No file can run code: there is no pickle.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import stat
from collections.abc import Mapping
from typing import Any, BinaryIO, Protocol

import numpy as np

from pylayers import atomic, dtypes
from pylayers.autograd import Tensor
from pylayers.errors import CheckpointError, expected
from pylayers.operations.array import as_operand

FORMAT_DTYPES = {
    "F64": dtypes.float64, "F32": dtypes.float32, "F16": dtypes.float16, "BF16": dtypes.bfloat16,
    "F8_E4M3": dtypes.float8_e4m3fn, "F8_E5M2": dtypes.float8_e5m2, "I64": dtypes.int64, "I32": dtypes.int32,
    "I16": dtypes.int16, "I8": dtypes.int8, "U8": dtypes.uint8, "BOOL": dtypes.bool_,
}  # fmt: skip
DEPTH = 32  # of nested dicts and lists; a state_dict of an optimizer needs 5
MAX_HEADER = 100_000_000  # bytes, as in the safetensors library
# Two entries of the metadata: a bit that flips in the name of one does not make the file one without a checksum.
VERSION, NEWEST = "pylayers.version", 1
CHECKSUM, UNSEALED = "pylayers.sha256", "0" * 64
PICKLES = (b"PK\3\4", b"\x80\2", b"\x80\3", b"\x80\4", b"\x80\5")  # torch.save: a zip archive of pickles, once a pickle


class Digest(Protocol):
    """What hashlib calls a hash object."""

    def update(self, data: bytes | bytearray, /) -> None:
        """Takes in more bytes."""


def save(obj: Any, path: str | os.PathLike[str]) -> None:
    """Writes tensors (Tensors or arrays) to `path`: a dict of them by name, or dicts, lists and tuples of tensors,
    numbers, strings and None.

    The file appears complete or not at all, and survives a power failure once `save` has returned; a file that was
    there before stays until then. TypeError for other contents, OSError when the disk refuses.
    """
    flat: dict[str, np.ndarray] = {}
    plain = isinstance(obj, Mapping) and all(isinstance(k, str) and _is_tensor(v) for k, v in obj.items())
    tree = _flatten(obj, "", flat, 0)
    metadata = {"format": "pt"} if plain else {"format": "pt", "pylayers": json.dumps(tree)}
    atomic.write(path, *_sealed(flat, metadata))


def _sealed(flat: dict[str, np.ndarray], metadata: dict[str, str]) -> tuple[bytes | memoryview, ...]:
    """The parts of the file, with its own checksum in the header, taken with zeros in its place."""
    from safetensors import numpy as safetensors

    content = safetensors.save(flat, metadata=metadata | {VERSION: str(NEWEST), CHECKSUM: UNSEALED})
    place, seal = content.index(_seal(UNSEALED)), _seal(hashlib.sha256(content).hexdigest())
    return content[:place], seal, memoryview(content)[place + len(seal) :]


def _seal(digest: str) -> bytes:
    return f'"{CHECKSUM}":"{digest}"'.encode()


def load(path: str | os.PathLike[str], map_location: Any = None, *, weights_only: bool = True) -> Any:
    """What `save` wrote, or the dict of tensors of any safetensors file, as Tensors in memory of their own.

    They lie on the device `map_location`, in host memory without one. `weights_only` chooses nothing: these files hold
    nothing that could be run. CheckpointError when the file is absent, damaged, or not a valid safetensors file.
    """
    try:
        # A pipe is not waited for.
        with open(path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK)) as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise ValueError("it is a pipe or a device")
            tensors, tree = _contents(file, status.st_size)
        found = tensors if tree is None else _unflatten(json.loads(tree, object_pairs_hook=_unique), tensors, 0)
    except FileNotFoundError:
        raise CheckpointError(f"load: there is no file '{path}'") from None
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise CheckpointError(f"load: '{path}' is not a valid safetensors file: {error}") from error
    return found if map_location is None else _moved(found, map_location)


def _moved(found: Any, device: Any) -> Any:
    if isinstance(found, Tensor):
        return found.to(device)
    if isinstance(found, dict):
        return {name: _moved(value, device) for name, value in found.items()}
    if isinstance(found, (list, tuple)):
        return type(found)(_moved(value, device) for value in found)
    return found


def _contents(file: BinaryIO, size: int) -> tuple[dict[str, Tensor], str | None]:
    """The tensors by name, and the structure they stand in if there is one, of a file of `size` bytes."""
    text = _header(file, size)
    entries = json.loads(text, object_pairs_hook=_unique)
    metadata = entries.pop("__metadata__", {})
    seal = _checked_seal(metadata)
    digest = hashlib.sha256(len(text).to_bytes(8, "little"))
    digest.update(text.replace(_seal(seal), _seal(UNSEALED), 1) if seal else text)
    tensors, end = {}, 0
    for name, entry in sorted(entries.items(), key=lambda item: item[1]["data_offsets"]):
        tensors[name], end = _read(file, name, entry, end, size - 8 - len(text), digest)
    if 8 + len(text) + end != size:
        raise ValueError(f"it has {size} bytes, its header tells of {8 + len(text) + end}")
    if seal and digest.hexdigest() != seal:
        raise ValueError("its checksum is not that of its content: it was damaged, or changed by another program")
    return {name: tensors[name] for name in entries}, metadata.get("pylayers")


def _checked_seal(metadata: dict[str, str]) -> str | None:
    """The checksum in the header; None in files of other programs and those of pylayers before it wrote checksums."""
    version, seal = metadata.get(VERSION), metadata.get(CHECKSUM)
    if (version is None) != (seal is None):
        raise ValueError("its version or its checksum is missing")
    if version not in (None, str(NEWEST)):
        raise ValueError(f"it has the version {version!r}; this pylayers reads version {NEWEST}")
    return seal


def _header(file: BinaryIO, size: int) -> bytes:
    """The JSON text that says what the file holds; ValueError for a file that holds something else."""
    start = file.read(8)
    length = int.from_bytes(start, "little")
    text = file.read(length) if length <= min(size - 8, MAX_HEADER) else b""
    if len(text) == length and text.startswith(b"{"):
        return text
    if start.startswith(PICKLES):
        hint = "where torch is, safetensors.torch.save_file(torch.load(path), 'weights.safetensors') converts weights"
        raise ValueError(f"it is a file of torch.save, or another archive or pickle, which is not opened here; {hint}")
    raise ValueError(f"it has {size} bytes and does not begin with a header of JSON")


def _is_tensor(x: Any) -> bool:
    return isinstance(x, (Tensor, np.ndarray)) or hasattr(x, "__dlpack__")


def _flatten(obj: Any, name: str, flat: dict[str, np.ndarray], depth: int) -> Any:
    """Puts the tensors of obj into `flat` under dotted names; -> the rest as JSON."""
    if depth > DEPTH:
        raise expected("save", "obj", f"at most {DEPTH} levels of dicts and lists", "more")
    if _is_tensor(obj):
        x = obj.detach().cpu() if isinstance(obj, Tensor) else Tensor(as_operand("save", obj)).cpu()
        if name in flat or name == "__metadata__":
            raise expected("save", "obj", "one tensor for each dotted name", repr(name))
        flat[name] = np.asarray(x.array, order="C")
        return {"tensor": name}
    if isinstance(obj, Mapping):
        for key in obj:
            if not isinstance(key, (str, int)) or isinstance(key, bool):
                raise expected("save", "obj", "names and integers as keys", repr(key), error=TypeError)
        return {"dict": [[k, _flatten(v, f"{name}.{k}" if name else str(k), flat, depth + 1)] for k, v in obj.items()]}
    if isinstance(obj, (list, tuple)):
        kind = "list" if isinstance(obj, list) else "tuple"
        return {kind: [_flatten(v, f"{name}.{i}" if name else str(i), flat, depth + 1) for i, v in enumerate(obj)]}
    if obj is None or isinstance(obj, (bool, int, float, str)):
        return {"value": obj}
    raise expected("save", name or "obj", "tensors, numbers, strings, None, dicts and lists", type(obj).__name__,
                   error=TypeError)  # fmt: skip


def _unflatten(tree: Any, tensors: dict[str, Tensor], depth: int) -> Any:
    if depth > DEPTH or not isinstance(tree, dict) or len(tree) != 1:
        raise ValueError("its structure is damaged")
    ((kind, content),) = tree.items()
    if kind == "tensor":
        return tensors[content]
    if kind == "value" and (content is None or isinstance(content, (bool, int, float, str))):
        return content
    if kind == "dict":
        return {key: _unflatten(value, tensors, depth + 1) for key, value in content}
    if kind in ("list", "tuple"):
        values = [_unflatten(value, tensors, depth + 1) for value in content]
        return values if kind == "list" else tuple(values)
    raise ValueError("its structure is damaged")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name appears twice in its header")
    return found


def _read(file: BinaryIO, name: str, entry: dict[str, Any], begin: int, end: int, digest: Digest) -> tuple[Tensor, int]:
    """The tensor that lies at `begin` of the data, which reaches to `end`, and where it stops; its bytes join digest.

    The tensors lie one after the other without holes, so that no byte of a file is left unread or read twice.
    """
    if entry["dtype"] not in FORMAT_DTYPES:
        known = ", ".join(FORMAT_DTYPES)
        raise ValueError(f"tensor '{name}' has dtype {entry['dtype']}, which is none of {known}")
    dtype, shape = FORMAT_DTYPES[entry["dtype"]], tuple(entry["shape"])
    numbers = (*shape, *entry["data_offsets"])
    if any(type(n) is not int or n < 0 for n in numbers):
        raise ValueError(f"tensor '{name}' has the shape {entry['shape']} at {entry['data_offsets']}")
    n_bytes = math.prod(shape) * dtype.itemsize
    if entry["data_offsets"] != [begin, begin + n_bytes] or begin + n_bytes > end:
        place = f"[{begin}, {begin + n_bytes}] of {end}"
        raise ValueError(f"tensor '{name}' of shape {shape} lies at {entry['data_offsets']}, not at {place}")
    data = bytearray(n_bytes)
    if file.readinto(data) != n_bytes:  # type: ignore[attr-defined]
        raise ValueError(f"tensor '{name}' is cut off")
    digest.update(data)
    values = np.frombuffer(data, np.uint8 if dtype == dtypes.bool_ else dtype)
    if dtype == dtypes.bool_:
        if values.size and values.max() > 1:
            raise ValueError(f"tensor '{name}' holds bytes that are neither true nor false")
        values = values.view(np.bool_)
    return Tensor(values.reshape(shape)), begin + n_bytes
