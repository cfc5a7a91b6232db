"""What all optimizers share: parameter groups, state, state_dict in torch's layout."""

from __future__ import annotations

import copy
import math
import operator
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from pylayers import arrays
from pylayers.autograd import Tensor, increment_version
from pylayers.context import grad_enabled
from pylayers.errors import expected
from pylayers.operations import checks

Array = Any
Group = dict[str, Any]


class Optimizer:
    """Base of the optimizers: changes parameters in place by their gradients, one kernel call for each group.

    `params`: tensors, (name, tensor) pairs, or dicts with "params" and options that differ from the defaults.
    """

    buffers: tuple[str, ...] = ()  # names of the tensors kept for each parameter, of its shape and dtype

    def __init__(self, params: Iterable[Any], defaults: Group) -> None:
        if isinstance(params, (Tensor, str)) or not isinstance(params, Iterable):
            raise self._expected("params", "an iterable of tensors or dicts", type(params).__name__, TypeError)
        self.defaults = defaults
        self.param_groups: list[Group] = []
        self.state: dict[Tensor, dict[str, Array]] = {}
        self._known: dict[int, list[Array]] = {}  # by a group's number, the arrays that its last step changed
        groups = list(params)
        if not groups:
            raise self._expected("params", "one tensor or more", "an empty list")
        for group in groups if isinstance(groups[0], dict) else [{"params": groups}]:
            self.add_param_group(group)

    def _expected(self, name: str, what: str, got: object, error: type[Exception] = ValueError) -> Exception:
        return expected(type(self).__name__, name, what, got, error=error)

    def check(self, group: Group) -> None:
        """Checks the options of a group; every optimizer has a rate and a weight decay."""
        name = type(self).__name__
        for option in ("lr", "weight_decay"):
            group[option] = checks.number(name, option, group[option], 0.0, math.inf, "a finite number >= 0")
        group["maximize"] = bool(group["maximize"])

    def add_param_group(self, param_group: Group) -> None:
        """Adds a group: {"params": tensors, options}; ValueError for a parameter that is in a group already."""
        if not isinstance(param_group, dict) or "params" not in param_group:
            raise self._expected("param_group", "a dict with 'params'", repr(param_group), TypeError)
        unknown = set(param_group) - set(self.defaults) - {"params"}
        if unknown:
            raise self._expected("param_group", f"options among {', '.join(self.defaults)}", ", ".join(sorted(unknown)))
        params = param_group["params"]
        params = [params] if isinstance(params, Tensor) else [p[1] if isinstance(p, tuple) else p for p in params]
        for parameter in params:
            if not isinstance(parameter, Tensor):
                raise self._expected("params", "tensors", type(parameter).__name__, TypeError)
            if not parameter.is_leaf:
                raise self._expected("params", "leaf tensors", "a tensor computed from others")
        known = {id(p) for group in self.param_groups for p in group["params"]}
        if len({id(p) for p in params}) != len(params) or known & {id(p) for p in params}:
            raise self._expected("params", "each parameter once", "a parameter that appears more than once")
        group = {"params": params} | self.defaults | {k: v for k, v in param_group.items() if k != "params"}
        self.check(group)
        self.param_groups.append(group)

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forgets the gradients, or sets them to 0 with set_to_none=False."""
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    p.grad = None if set_to_none else Tensor(arrays.namespace(p.array).zeros_like(p.grad.array))

    def step(self, closure: Callable[[], Any] | None = None, *, norm: Tensor | None = None) -> Any:
        """Changes every parameter that has a gradient; -> what `closure`, called first with recording on, returned.

        With `norm` from `gradient_norm` nothing changes if any gradient was not finite; the host does not wait.
        """
        loss = None
        if closure is not None:
            token = grad_enabled.set(True)
            try:
                loss = closure()
            finally:
                grad_enabled.reset(token)
        for group in self.param_groups:
            self.check(group)  # schedules write into it
        for number, group in enumerate(self.param_groups):
            params = [p for p in group["params"] if p.grad is not None]
            if not params:
                continue
            parameters, gradients = [p.array for p in params], [p.grad.array for p in params]
            state = self._state(params, group)
            changed = [x for xs in (parameters, *state.values()) for x in xs]
            known = self._known.get(number, [])
            same = len(known) == len(changed) and all(map(operator.is_, known, changed))
            self.update(group, parameters, gradients, state, None if norm is None else norm.array, same)
            self._known[number] = changed  # they passed the checks
            for p in params:
                increment_version(p)
        return loss

    def update(
        self,
        group: Group,
        parameters: list[Array],
        gradients: list[Array],
        state: dict[str, list[Array]],
        norm: Any,
        known: bool,
    ) -> None:
        """One kernel call for the parameters of a group, with the tensors kept for each; subclasses define it.

        `known`: but for the gradients, all arrays are those of the group's last step.
        """
        raise NotImplementedError

    def kept(self, group: Group) -> tuple[str, ...]:
        """The names of the tensors that this group keeps for each parameter."""
        return self.buffers

    def _state(self, params: list[Tensor], group: Group) -> dict[str, list[Array]]:
        """The tensors kept for the parameters by name, made where they are not there yet.

        "steps" is int32 (2,): the steps that those tensors have taken, and a counter of the kernels.
        """
        names = ("steps", *self.kept(group))
        try:
            states = [self.state[p] for p in params]
            return {name: [state[name] for state in states] for name in names}
        except KeyError:
            states = [self._made(p, names) for p in params]
        return {name: [state[name] for state in states] for name in names}

    def _made(self, parameter: Tensor, names: tuple[str, ...]) -> dict[str, Array]:
        state = self.state.setdefault(parameter, {})
        missing = [name for name in names if name not in state]
        if missing:  # what is kept begins here, however many steps were taken without it
            home = arrays.library(parameter.array)
            state["steps"] = home.empty((2,), np.dtype(np.int32), parameter.device)
            state["steps"][...] = 0
        for name in missing:
            if name != "steps":
                state[name] = arrays.empty_like(parameter.array)
                state[name][...] = 0
        return state

    def _numbered(self) -> list[Tensor]:
        return [p for group in self.param_groups for p in group["params"]]

    def state_dict(self) -> dict[str, Any]:
        """{"state": {number: {name: tensor}}, "param_groups": [{option: value, "params": [numbers]}]}, as torch's.

        The tensors are copies. A parameter that has taken no step has no state.
        """
        order = self._numbered()
        number = {id(p): index for index, p in enumerate(order)}
        state = {}
        for index, p in enumerate(order):
            own = self.state.get(p)
            if own is not None and int(own["steps"][0]):
                entry = self.exported(own)
                if entry:
                    state[index] = entry
        groups = [
            {k: copy.deepcopy(v) for k, v in group.items() if k != "params"}
            | {"params": [number[id(p)] for p in group["params"]]}
            for group in self.param_groups
        ]
        return {"state": state, "param_groups": groups}

    def exported(self, state: dict[str, Array]) -> dict[str, Tensor]:
        """A parameter's state as torch writes it: "step" as a float32 scalar, and the tensors kept."""
        step = {"step": Tensor(np.asarray(float(state["steps"][0]), np.float32))}
        return step | {name: Tensor(state[name].copy()) for name in self.buffers if name in state}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Takes over the state and the options of `state_dict()`, ours or torch's, by position; all or nothing.

        CheckpointError when the groups, their lengths or the shapes differ from this optimizer's.
        """
        from pylayers.optim.state import loaded

        groups, state = loaded(self, state_dict)
        for group, options in zip(self.param_groups, groups, strict=True):
            group.update(options)
        self.state = state

    def __repr__(self) -> str:
        lines = [f"{type(self).__name__} ("]
        for index, group in enumerate(self.param_groups):
            lines.append(f"Parameter Group {index}")
            lines += [f"    {name}: {value}" for name, value in sorted(group.items()) if name != "params"]
        return "\n".join([*lines, ")"])
