"""How tensors print: torch's format, with the middle of large tensors left out."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from pylayers import dtypes

if TYPE_CHECKING:
    from pylayers.tape.tensor import Tensor

THRESHOLD = 1000  # more elements than this are summarised
EDGE = 3  # elements shown at each end of a summarised axis
WIDTH = 80  # characters of a line
DIGITS = 4  # after the point


def tensor_repr(x: Tensor) -> str:
    """``tensor([[1., 2.]], dtype=float64, requires_grad=True)``; the dtype is left out where the elements tell."""
    summarised = x.array.size > THRESHOLD
    values = _shown(x.array, 0 if summarised else x.ndim)
    notes = []
    if x.device != "cpu":
        notes.append(f"device='{x.device}'")
    if values.size == 0 and values.ndim != 1:
        notes.append(f"size={x.shape}")
    implied = (dtypes.int64, dtypes.bool_) if values.size else ()  # by the elements
    if x.dtype not in (dtypes.get_default_dtype(), *implied):
        notes.append(f"dtype={x.dtype.name}")
    if x.grad_fn is not None:
        notes.append(f"grad_fn={x.grad_fn!r}")
    elif x.requires_grad:
        notes.append("requires_grad=True")
    cuts = [summarised and size > 2 * EDGE for size in x.shape]
    body = "[]" if values.size == 0 else _nested(values, _formatter(values), len("tensor("), cuts)
    return f"tensor({', '.join([body, *notes])})"


def _shown(values: Any, axis: int = 0) -> np.ndarray:
    """The elements that will be printed, in host memory: both ends of each long axis, and never a copy of the rest."""
    if axis == values.ndim:
        return values if isinstance(values, np.ndarray) else values.get()
    if values.shape[axis] <= 2 * EDGE:
        return _shown(values, axis + 1)
    before = (slice(None),) * axis
    ends = values[(*before, slice(EDGE))], values[(*before, slice(-EDGE, None))]
    return np.concatenate([_shown(end, axis + 1) for end in ends], axis)


def _formatter(values: np.ndarray) -> Callable[[Any], str]:
    """Formats one element, all to the same width."""
    shown = values.ravel()
    if values.dtype not in dtypes.FLOATING:
        form: Callable[[Any], str] = str
    else:
        shown = shown.astype(np.float64)
        form = _floating_form(shown[np.isfinite(shown) & (shown != 0)])
    width = max(len(form(x)) for x in shown.tolist())
    return lambda x: form(x).rjust(width)


def _floating_form(finite: np.ndarray) -> Callable[[float], str]:
    """torch's choice between whole numbers, four digits and powers of ten; from the finite elements that are not 0."""
    size = np.abs(finite)
    smallest, largest = (size.min(), size.max()) if size.size else (1.0, 1.0)
    whole = bool((finite == np.ceil(finite)).all())
    scientific = largest / smallest > 1000 or largest > 1e8 if whole else (
        largest / smallest > 1000 or largest > 1e8 or smallest < 1e-4
    )  # fmt: skip
    if scientific:
        return lambda x: f"{x:.{DIGITS}e}"
    if whole:
        return lambda x: f"{x:.0f}." if np.isfinite(x) else f"{x}"
    return lambda x: f"{x:.{DIGITS}f}"


def _nested(values: np.ndarray, form: Callable[[Any], str], indent: int, cuts: list[bool]) -> str:
    """The elements in brackets; where an axis is cut, dots stand between the first and the last."""
    if values.ndim == 0:
        return form(values.tolist())
    cut, *inner = cuts
    ends = (values[:EDGE], values[EDGE:]) if cut else (values,)
    if values.ndim > 1:
        rows = [[_nested(row, form, indent + 1, inner) for row in end] for end in ends]
        gap = "," + "\n" * (values.ndim - 1) + " " * (indent + 1)
        return "[" + gap.join([*rows[0], "...", *rows[-1]] if cut else rows[0]) + "]"
    words = [form(x) for x in ends[0].tolist()]
    if cut:
        words += [" ...", *(form(x) for x in ends[-1].tolist())]
    per_line = max(1, (WIDTH - indent) // (len(words[0]) + 2))
    lines = [", ".join(words[i : i + per_line]) for i in range(0, len(words), per_line)]
    return "[" + (",\n" + " " * (indent + 1)).join(lines) + "]"
