"""The 2-norm of all gradients together and whether any element is not finite; the checks on lists of tensors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pylayers import arrays, backends
from pylayers.errors import expected
from pylayers.operations import checks

Array = Any


def gradient_norm(gradients: Sequence[Array]) -> Array:
    """-> float32 (2,) on the gradients' device: their norm, and 1 if any element is inf or NaN, else 0.

    ValueError for an empty list, TypeError for arrays that are not floating or lie on several devices.
    """
    if not gradients:
        raise expected("gradient_norm", "gradients", "one array or more", "an empty list")
    for index, gradient in enumerate(gradients):
        checks.floating("gradient_norm", f"gradients[{index}]", gradient)
    return backends.of("gradient_norm", *gradients).gradient_norm(gradients)


def check_lists(op: str, parameters: Sequence[Array], **others: Sequence[Array | None]) -> None:
    """Every list has one array for each parameter, of its shape, dtype and device; None stands for an absent one."""
    for name, values in others.items():
        if len(values) != len(parameters):
            raise expected(op, name, f"{len(parameters)} arrays as 'parameters' has", len(values))
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


def check_writable(op: str, **lists: Sequence[Array | None]) -> None:
    """TypeError for an array that is to change and may not, as some libraries export theirs."""
    for name, values in lists.items():
        for index, value in enumerate(values):
            if value is not None and not getattr(getattr(value, "flags", None), "writeable", True):
                wanted, hint = "memory that may be written", "pass a copy"
                raise expected(op, f"{name}[{index}]", wanted, "a read-only array", hint, TypeError)


def check_steps(op: str, steps: Sequence[Array], count: int) -> None:
    """One int32 array of 2 for each of `count` parameters."""
    if len(steps) != count:
        raise expected(op, "steps", f"{count} arrays as 'parameters' has", len(steps))
    for index, step in enumerate(steps):
        if step.dtype.name != "int32" or step.shape != (2,):
            raise expected(op, f"steps[{index}]", "int32 of shape (2,)", f"{step.dtype.name} of shape {step.shape}")
