"""save and load: tensors, alone or in nested dicts and lists, as safetensors files; written whole or not at all.

A plain dict of named tensors becomes a plain safetensors file. Anything nested (an optimizer's state) keeps its shape
as JSON in the file's metadata. No file can run code: there is no pickle.
"""

from __future__ import annotations

import json
import math
import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from pylayers import dtypes
from pylayers.autograd import Tensor
from pylayers.errors import CheckpointError, expected
from pylayers.operations.array import as_operand

FORMAT_DTYPES = {
    "F64": dtypes.float64, "F32": dtypes.float32, "F16": dtypes.float16, "BF16": dtypes.bfloat16,
    "F8_E4M3": dtypes.float8_e4m3fn, "F8_E5M2": dtypes.float8_e5m2, "I64": dtypes.int64, "I32": dtypes.int32,
    "I16": dtypes.int16, "I8": dtypes.int8, "U8": dtypes.uint8, "BOOL": dtypes.bool_,
}  # fmt: skip
DEPTH = 32  # of nested dicts and lists; a state_dict of an optimizer needs 5


def save(obj: Any, path: str | os.PathLike[str]) -> None:
    """Writes tensors (Tensors or arrays) to `path`: a dict of them by name, or dicts, lists and tuples of tensors,
    numbers, strings and None.

    The file appears complete or not at all, and survives a power failure once `save` has returned; a file that was
    there before stays until then. TypeError for other contents, OSError when the disk refuses.
    """
    from safetensors import numpy as safetensors

    flat: dict[str, np.ndarray] = {}
    plain = isinstance(obj, Mapping) and all(isinstance(k, str) and _is_tensor(v) for k, v in obj.items())
    tree = _flatten(obj, "", flat, 0)
    metadata = {"format": "pt"} if plain else {"format": "pt", "pylayers": json.dumps(tree)}
    path = Path(path)
    # In the destination's own directory: a rename onto another file system would not be atomic.
    scratch = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        with scratch.open("xb") as file:
            file.write(safetensors.save(flat, metadata=metadata))
            file.flush()
            os.fsync(file.fileno())
        os.replace(scratch, path)
    finally:
        scratch.unlink(missing_ok=True)
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def load(path: str | os.PathLike[str]) -> Any:
    """What `save` wrote, or the dict of tensors of any safetensors file, as Tensors in host memory of their own.

    CheckpointError when the file is absent, truncated, or not a valid safetensors file.
    """
    from safetensors import SafetensorError, safe_open

    path = Path(path)
    try:
        with path.open("rb") as file:
            with safe_open(path, framework="np"):  # checks the whole header against the file's size
                pass
            header, start = _header(file, os.fstat(file.fileno()).st_size)
            metadata = header.pop("__metadata__", {})
            tensors = {name: Tensor(_read(file, start, name, entry)) for name, entry in header.items()}
        tree = metadata.get("pylayers")
        return tensors if tree is None else _unflatten(json.loads(tree, object_pairs_hook=_unique), tensors, 0)
    except FileNotFoundError:
        raise CheckpointError(f"load: there is no file '{path}'") from None
    except (SafetensorError, OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise CheckpointError(f"load: '{path}' is not a valid safetensors file: {error}") from error


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


def _header(file: BinaryIO, size: int) -> tuple[dict[str, Any], int]:
    """The header and where the data begins."""
    length = int.from_bytes(file.read(8), "little")
    if length > size - 8:
        raise ValueError(f"its header of {length} bytes is longer than the file")
    header = json.loads(file.read(length), object_pairs_hook=_unique)
    return header, 8 + length


def _read(file: BinaryIO, start: int, name: str, entry: dict[str, Any]) -> np.ndarray:
    if entry["dtype"] not in FORMAT_DTYPES:
        known = ", ".join(FORMAT_DTYPES)
        raise ValueError(f"tensor '{name}' has dtype {entry['dtype']}, which is none of {known}")
    dtype, shape = FORMAT_DTYPES[entry["dtype"]], tuple(entry["shape"])
    begin, end = entry["data_offsets"]
    if end - begin != math.prod(shape) * dtype.itemsize:
        raise ValueError(f"tensor '{name}' has {end - begin} bytes for shape {shape}")
    file.seek(start + begin)
    data = bytearray(end - begin)
    if file.readinto(data) != len(data):  # type: ignore[attr-defined]
        raise ValueError(f"tensor '{name}' is cut off")
    values = np.frombuffer(data, np.uint8 if dtype == dtypes.bool_ else dtype)
    if dtype == dtypes.bool_:
        if values.size and values.max() > 1:
            raise ValueError(f"tensor '{name}' holds bytes that are neither true nor false")
        values = values.view(np.bool_)
    return values.reshape(shape)
