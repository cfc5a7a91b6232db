"""Reading an optimizer's state from the layout of torch.optim.Optimizer.state_dict."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from pylayers import arrays, dtypes
from pylayers.autograd import Tensor
from pylayers.errors import CheckpointError
from pylayers.operations import checks
from pylayers.operations.array import as_operand, to_device

if TYPE_CHECKING:
    from pylayers.optim.optimizer import Group, Optimizer


def loaded(optimizer: Optimizer, state_dict: Mapping[str, Any]) -> tuple[list[Group], dict[Tensor, dict[str, Any]]]:
    """The options of each group and the state of each parameter; CheckpointError when they do not fit the optimizer."""
    op = f"{type(optimizer).__name__}.load_state_dict"
    try:
        saved_groups = list(state_dict["param_groups"])
        saved_state = {int(number): dict(entry) for number, entry in state_dict["state"].items()}
        numbers = [[int(number) for number in group["params"]] for group in saved_groups]
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise CheckpointError(f"{op}: expected {{'state': ..., 'param_groups': ...}}, got {error!r}") from None
    own = [len(group["params"]) for group in optimizer.param_groups]
    if own != [len(group) for group in numbers]:
        raise CheckpointError(
            f"{op}: expected parameter groups of {own} parameters, got groups of {[len(group) for group in numbers]}"
        )
    groups = []
    for group, saved in zip(optimizer.param_groups, saved_groups, strict=True):
        options = {name: saved[name] for name in optimizer.defaults if name in saved}
        optimizer.check(options := {**group, **options})
        groups.append({name: value for name, value in options.items() if name != "params"})
    state = {}
    for row, group, options in zip(numbers, optimizer.param_groups, groups, strict=True):
        for number, parameter in zip(row, group["params"], strict=True):
            if number in saved_state:
                needed = optimizer.kept(options)
                state[parameter] = _entry(f"{op}: state {number}", needed, parameter, saved_state[number])
    return groups, state


def _entry(what: str, needed: tuple[str, ...], parameter: Tensor, saved: dict[str, Any]) -> dict[str, Any]:
    """The state of one parameter on its device, in its dtype and memory order."""
    entry = {}
    present = [name for name, value in saved.items() if value is not None]
    for name in needed if present else ():
        if name not in present:
            raise CheckpointError(f"{what}: expected '{name}', got {', '.join(present)}")
        value = saved[name].array if isinstance(saved[name], Tensor) else as_operand(what, saved[name])
        if not arrays.is_array(value) or not dtypes.is_real(value.dtype):
            got = getattr(value, "dtype", type(value).__name__)
            raise CheckpointError(f"{what}, '{name}': expected an array of real numbers, got {got}")
        if tuple(value.shape) != parameter.shape:
            raise CheckpointError(f"{what}, '{name}': expected shape {parameter.shape}, got {tuple(value.shape)}")
        entry[name] = arrays.empty_like(parameter.array)
        with np.errstate(all="ignore"):
            entry[name][...] = to_device(value, parameter.device)
    # torch's SGD writes no step; whoever has a momentum has taken one.
    step = checks.number(what, "step", saved.get("step", 1 if entry else 0), 0, 2**31)
    steps = arrays.library(parameter.array).empty((2,), np.dtype(np.int32), parameter.device)
    steps[0], steps[1] = int(step), 0
    return {"steps": steps, **entry}
