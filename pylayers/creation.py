"""New tensors: from data, filled, ranged or random."""

from __future__ import annotations

import functools
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np

from pylayers import arrays, dtypes
from pylayers.autograd import Tensor
from pylayers.errors import expected
from pylayers.operations import checks
from pylayers.operations.array import as_operand, is_number, to_device
from pylayers.random import Generator, default_generator

Array = Any

# How many numbers of [0, 1) at equal distances each dtype holds exactly: 2 to the digits of its significand.
UNIFORM_STEPS = {dtypes.float16: 2**11, dtypes.bfloat16: 2**8, dtypes.float8_e4m3fn: 2**4, dtypes.float8_e5m2: 2**3}


def _tensor(values: Array, dtype: Any, device: Any, requires_grad: bool) -> Tensor:
    if dtype is not None:
        values = values.astype(dtypes.as_dtype("tensor", dtype), copy=False)
    return Tensor(values if device is None else to_device(values, str(device)), requires_grad)


def _from_data(op: str, data: Any, dtype: Any = None) -> Array:
    """An array of the data; Python floats in it become the default dtype unless a dtype is wanted anyway."""
    if isinstance(data, Tensor):
        return data.array
    plain = as_operand(op, data)
    if arrays.is_array(plain) and not isinstance(plain, float):
        return plain
    kinds: list[np.dtype[Any]] = []
    if _has_tensors(plain):
        plain = _numbers(op, plain, kinds)
    try:
        values = np.asarray(plain)
    except ValueError as error:
        raise expected(op, "data", "numbers in nested lists of equal lengths", error) from None
    if values.dtype.kind not in "biufV":
        raise expected(op, "data", "numbers in nested lists", f"{type(data).__name__} {data!r:.40}", error=TypeError)
    if kinds:
        return values.astype(functools.reduce(functools.partial(dtypes.promote_types, op), kinds))
    first = plain
    while isinstance(first, (list, tuple)) and first:
        first = first[0]
    if dtype is None and values.dtype == dtypes.float64 and (type(first) in (int, float) or values.size == 0):
        return values.astype(dtypes.get_default_dtype())
    return values


def _has_tensors(data: Any) -> bool:
    return isinstance(data, (list, tuple)) and any(isinstance(x, Tensor) or _has_tensors(x) for x in data)


def _numbers(op: str, data: Any, kinds: list[np.dtype[Any]]) -> Any:
    """Nested lists with the tensors in them as numbers, which have one element each; `kinds` gets all dtypes."""
    if isinstance(data, (list, tuple)):
        return [_numbers(op, x, kinds) for x in data]
    if isinstance(data, Tensor) and data.array.size != 1:
        found = f"one of shape {data.shape}"
        raise expected(op, "data", "tensors of one element in lists", found, "stack joins tensors", TypeError)
    kinds.append(data.dtype if hasattr(data, "dtype") else dtypes.scalar_dtype(op, data))
    return data.item() if isinstance(data, Tensor) else data


def tensor(data: Any, *, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """A copy of numbers, nested lists or an array. Python floats become float32, the default dtype, integers int64.

    Tensors of one element count as numbers inside lists. TypeError for what holds no numbers and for a torch tensor
    that requires grad, ValueError for ragged lists.
    """
    values = _from_data("tensor", data, dtype)
    return _tensor(arrays.namespace(values).array(values), dtype, device, requires_grad)


def as_tensor(data: Any, *, dtype: Any = None, device: Any = None) -> Tensor:
    """Like `tensor`, but on the same memory where dtype and device allow it; a Tensor keeps its history."""
    if isinstance(data, Tensor):
        return data.to(device=device, dtype=dtype)
    return _tensor(_from_data("as_tensor", data, dtype), dtype, device, False)


def from_numpy(ndarray: np.ndarray) -> Tensor:
    """A Tensor on the memory of a NumPy array: changes of one are seen in the other."""
    if not isinstance(ndarray, np.ndarray):
        raise expected("from_numpy", "ndarray", "a NumPy array", type(ndarray).__name__, error=TypeError)
    return Tensor(ndarray)


def _shape(op: str, size: tuple[Any, ...]) -> tuple[int, ...]:
    if len(size) == 1 and isinstance(size[0], (tuple, list)):
        size = tuple(size[0])
    return tuple(checks.whole(op, "size", s, 0) for s in size)


def full(
    size: Sequence[int], fill_value: Any, *, dtype: Any = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """`fill_value` everywhere; without a dtype that of the value: bool, int64 or the default dtype.

    ValueError for a number that the dtype does not hold.
    """
    value = fill_value.item() if isinstance(fill_value, (Tensor, np.ndarray, np.generic)) else fill_value
    if not is_number(value):
        raise expected("full", "fill_value", "a number", f"{value!r:.40}", error=TypeError)
    kind = dtypes.scalar_dtype("full", value) if dtype is None else dtypes.as_dtype("full", dtype)
    home = arrays.library_of("cpu" if device is None else str(device))
    values = home.empty(_shape("full", (size,)), kind, "cpu" if device is None else str(device))
    values.fill(dtypes.held("full", "fill_value", value, kind))
    return Tensor(values, requires_grad)


def zeros(*size: Any, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """Zeros of the default dtype: ``zeros(2, 3)`` or ``zeros((2, 3))``."""
    return full(_shape("zeros", size), 0.0, dtype=dtype, device=device, requires_grad=requires_grad)


def ones(*size: Any, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """Ones of the default dtype."""
    return full(_shape("ones", size), 1.0, dtype=dtype, device=device, requires_grad=requires_grad)


def empty(*size: Any, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """Any values, of the default dtype."""
    kind = dtypes.get_default_dtype() if dtype is None else dtypes.as_dtype("empty", dtype)
    place = "cpu" if device is None else str(device)
    return Tensor(arrays.library_of(place).empty(_shape("empty", size), kind, place), requires_grad)


def zeros_like(input: Any, *, dtype: Any = None, requires_grad: bool = False) -> Tensor:
    """Zeros with the shape, dtype, device and memory order of `input`."""
    return full_like(input, 0, dtype=dtype, requires_grad=requires_grad)


def ones_like(input: Any, *, dtype: Any = None, requires_grad: bool = False) -> Tensor:
    """Ones with the shape, dtype, device and memory order of `input`."""
    return full_like(input, 1, dtype=dtype, requires_grad=requires_grad)


def full_like(input: Any, fill_value: Any, *, dtype: Any = None, requires_grad: bool = False) -> Tensor:
    """`fill_value` with the shape, dtype, device and memory order of `input`; ValueError as `full`."""
    x = _from_data("full_like", input)
    values = arrays.empty_like(x, dtype=None if dtype is None else dtypes.as_dtype("full_like", dtype))
    value = fill_value.item() if isinstance(fill_value, Tensor) else fill_value
    values.fill(dtypes.held("full_like", "fill_value", value, values.dtype))
    return Tensor(values, requires_grad)


def empty_like(input: Any, *, dtype: Any = None, requires_grad: bool = False) -> Tensor:
    """Any values with the shape, dtype, device and memory order of `input`."""
    kind = None if dtype is None else dtypes.as_dtype("empty_like", dtype)
    return Tensor(arrays.empty_like(_from_data("empty_like", input), dtype=kind), requires_grad)


def eye(n: int, m: int | None = None, *, dtype: Any = None, device: Any = None) -> Tensor:
    """(n, m), m = n if not given: 1 on the diagonal, 0 elsewhere."""
    rows = checks.whole("eye", "n", n, 0)
    columns = rows if m is None else checks.whole("eye", "m", m, 0)
    return _tensor(np.eye(rows, columns, dtype=dtypes.get_default_dtype()), dtype, device, False)


def arange(start: Any, end: Any = None, step: Any = 1, *, dtype: Any = None, device: Any = None) -> Tensor:
    """start, start + step, ... short of end; ``arange(end)`` starts at 0. int64 for integers, else the default."""
    first, last = (0, start) if end is None else (start, end)
    for name, value in (("start", first), ("end", last), ("step", step)):
        checks.number("arange", name, value, -sys.float_info.max, what="a finite number")
    if step == 0:
        raise expected("arange", "step", "a number other than 0", step)
    if (last - first) * step < 0:
        raise expected("arange", "end", f"a number that steps of {step} from {first} lead to", last)
    values = np.arange(first, last, step)
    if dtype is None and values.dtype.kind == "f":
        dtype = dtypes.get_default_dtype()
    return _tensor(values, dtypes.int64 if dtype is None else dtype, device, False)


def linspace(start: float, end: float, steps: int, *, dtype: Any = None, device: Any = None) -> Tensor:
    """`steps` numbers at equal distances from start to end, both included; computed in float64."""
    checks.whole("linspace", "steps", steps, 0)
    kind = dtypes.get_default_dtype() if dtype is None else dtype
    return _tensor(np.linspace(start, end, steps), kind, device, False)


def _random(op: str, draw: str, size: tuple[Any, ...], generator: Generator | None, dtype: Any) -> Array:
    """Numbers drawn in float64 for float64, else in float32 and rounded; uniform ones down, so that none becomes 1."""
    kind = dtypes.get_default_dtype() if dtype is None else dtypes.as_dtype(op, dtype)
    if kind not in dtypes.FLOATING:
        raise expected(op, "dtype", "a floating dtype", kind.name, error=TypeError)
    drawn = dtypes.float64 if kind == dtypes.float64 else dtypes.float32
    values = getattr((generator or default_generator).rng, draw)(_shape(op, size), dtype=drawn)
    if draw == "random" and kind in UNIFORM_STEPS:
        values = np.floor(values * UNIFORM_STEPS[kind]) / UNIFORM_STEPS[kind]
    return values.astype(kind, copy=False)


def rand(
    *size: Any, generator: Generator | None = None, dtype: Any = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """Uniform on [0, 1), of the default dtype."""
    return _tensor(_random("rand", "random", size, generator, dtype), None, device, requires_grad)


def randn(
    *size: Any, generator: Generator | None = None, dtype: Any = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """Normal with mean 0 and variance 1, of the default dtype."""
    return _tensor(_random("randn", "standard_normal", size, generator, dtype), None, device, requires_grad)


def rand_like(input: Tensor, *, dtype: Any = None, requires_grad: bool = False) -> Tensor:
    """`rand` with the shape, dtype and device of `input`."""
    kind = input.dtype if dtype is None else dtype
    return rand(*input.shape, dtype=kind, device=input.device, requires_grad=requires_grad)


def randn_like(input: Tensor, *, dtype: Any = None, requires_grad: bool = False) -> Tensor:
    """`randn` with the shape, dtype and device of `input`."""
    kind = input.dtype if dtype is None else dtype
    return randn(*input.shape, dtype=kind, device=input.device, requires_grad=requires_grad)


def randint(
    low: Any = 0, high: Any = None, size: Any = None, *, generator: Generator | None = None, dtype: Any = None,
    device: Any = None,
) -> Tensor:  # fmt: skip
    """Integers in [low, high), each as likely: ``randint(high, size)`` starts at 0. int64 unless a dtype is given."""
    if size is None:
        low, high, size = 0, low, high
    elif high is None:
        low, high = 0, low
    low, high = (checks.whole("randint", name, value, -(2**63)) for name, value in (("low", low), ("high", high)))
    if size is None:
        raise expected("randint", "size", "the sizes of the axes", None, error=TypeError)
    if not low < high:
        raise expected("randint", "high", f"a number above low {low}", high)
    values = (generator or default_generator).rng.integers(low, high, _shape("randint", (size,)), dtype=np.int64)
    return _tensor(values, dtype, device, False)


def randperm(n: int, *, generator: Generator | None = None, dtype: Any = None, device: Any = None) -> Tensor:
    """0 to n - 1 in random order, int64."""
    values = (generator or default_generator).rng.permutation(checks.whole("randperm", "n", n, 0))
    return _tensor(values.astype(np.int64, copy=False), dtype, device, False)
