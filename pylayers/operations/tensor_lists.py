"""The checks on the lists of tensors that an optimizer's step works on; what passes them quickly is looked at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from pylayers import arrays
from pylayers.backends.sizes import FLOATING
from pylayers.errors import expected
from pylayers.operations import checks

Array = Any
Lists = Mapping[str, Sequence[Array | None]]
INT32 = np.dtype(np.int32)


def check_step(op: str, gradients: Sequence[Array], steps: Sequence[Array], changed: Lists, known: bool) -> None:
    """What a step needs: `changed` holds the parameters first and then the moments, None where one has none.

    Lists of one length; moments and gradients of their parameter's shape, dtype and device; int32 (2,) as steps; memory
    that may be written and that nothing else in the lists has. Of lists that are `known` to have passed, unchanged,
    only the gradients are checked, which are others in each step.
    """
    parameters = changed["parameters"]
    check_alike(op, parameters, gradients=gradients)
    if not known:
        check_alike(op, parameters, **{name: values for name, values in changed.items() if name != "parameters"})
        check_counters(op, steps, len(parameters))
        check_writable(op, **changed, steps=steps)
        check_apart(op, {**changed, "steps": steps}, {"gradients": gradients})


def check_alike(op: str, parameters: Sequence[Array], **others: Sequence[Array | None]) -> None:
    """Every list has one array for each parameter, of its shape, dtype and device; None stands for an absent one."""
    for name, values in others.items():
        if len(values) != len(parameters):
            raise expected(op, name, f"{len(parameters)} arrays as 'parameters' has", len(values))
    try:
        own = kinds(parameters)
        if FLOATING.issuperset(own[0]) and all(kinds(values) == own for values in others.values()):
            return
    except AttributeError:  # None, or no array: the slow way says which
        pass
    for index, parameter in enumerate(parameters):
        checks.floating(op, f"parameters[{index}]", parameter)
        for name, values in others.items():
            value = values[index]
            if value is None:
                continue
            checks.same_dtype(op, f"{name}[{index}]", value, f"parameters[{index}]", parameter)
            checks.shape(op, f"{name}[{index}]", value, parameter.shape)
            if arrays.device(value) != arrays.device(parameter):
                wanted = f"device {arrays.device(parameter)} as the parameter"
                raise expected(op, f"{name}[{index}]", wanted, arrays.device(value), error=TypeError)


def kinds(xs: Sequence[Array]) -> tuple[list[Any], ...]:
    """What parameters and their gradients have in common: dtypes, shapes, types and, of arrays on GPUs, devices."""
    found = [x.dtype for x in xs], [x.shape for x in xs], list(map(type, xs))
    return *found, [] if found[2].count(np.ndarray) == len(xs) else [arrays.device(x) for x in xs]


def check_writable(op: str, **lists: Sequence[Array | None]) -> None:
    """TypeError for an array that is to change and may not, as some libraries export theirs."""
    for name, values in lists.items():
        for index, value in enumerate(values):
            if value is not None and not getattr(getattr(value, "flags", None), "writeable", True):
                wanted, hint = "memory that may be written", "pass a copy"
                raise expected(op, f"{name}[{index}]", wanted, "a read-only array", hint, TypeError)


def check_counters(op: str, steps: Sequence[Array], count: int) -> None:
    """One int32 array of 2 for each of `count` parameters."""
    if len(steps) != count:
        raise expected(op, "steps", f"{count} arrays as 'parameters' has", len(steps))
    for index, step in enumerate(steps):
        if step.dtype != INT32 or step.shape != (2,):
            raise expected(op, f"steps[{index}]", "int32 of shape (2,)", f"{step.dtype.name} of shape {step.shape}")


def span(x: Array) -> tuple[int, int]:
    """Where the memory of x begins and ends."""
    low = arrays.library(x).pointer(x)
    if type(x) is np.ndarray and x.flags.c_contiguous:
        return low, low + n_bytes(x)
    high = low
    for size, stride in zip(x.shape, x.strides):
        low, high = low + min(0, (size - 1) * stride), high + max(0, (size - 1) * stride)
    return low, high + x.dtype.itemsize


def n_bytes(x: Array) -> int:
    """Of its elements, each counted."""
    return x.size * x.dtype.itemsize


def check_apart(op: str, changed: Lists, read: Lists) -> None:
    """ValueError if an array that changes has memory in common with another, or twice the same in itself.

    Such a step would depend on which tensor comes first, and on which block of a kernel.
    """
    lists = [*changed.items(), *read.items()]
    found = [(name, i, x) for name, values in lists for i, x in enumerate(values) if x is not None and x.size]
    ends = np.array([span(x) for _, _, x in found], np.int64).reshape(-1, 2)
    order = np.argsort(ends[:, 0], kind="stable")
    low, high = ends[order].T
    crowded = (low[1:] < np.maximum.accumulate(high)[:-1]).any()
    if crowded or (high - low < [n_bytes(found[i][2]) for i in order]).any():
        find_overlap(op, [(low, high, *found[i]) for low, high, i in zip(low, high, order)], changed)


def find_overlap(op: str, spans: list[tuple[int, int, str, int, Array]], changed: Lists) -> None:
    """Of arrays in the order of their memory, some of which seem to overlap: raises if one that changes does."""
    behind: dict[tuple[int, int, bool], tuple[str, Array]] = {}  # what ends behind the place that is looked at
    for low, high, name, index, x in spans:
        changes = name in changed
        if changes and high - low < n_bytes(x):
            raise expected(op, f"{name}[{index}]", "memory of its own for each element", f"strides {x.strides}")
        behind = {place: earlier for place, earlier in behind.items() if place[1] > low}
        for (_, _, other_changes), (other, y) in behind.items():
            if (changes or other_changes) and shares_memory(x, y):
                raise expected(op, f"{name}[{index}]", "memory of its own", f"some that '{other}' has too")
        behind[low, high, changes] = f"{name}[{index}]", x  # what is only read may be there many times


def shares_memory(a: Array, b: Array) -> bool:
    """Whether two arrays in one stretch of memory have a byte in common: views of a matrix's columns may have none."""
    return not (isinstance(a, np.ndarray) and isinstance(b, np.ndarray)) or np.shares_memory(a, b)
