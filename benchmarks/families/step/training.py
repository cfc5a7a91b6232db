"""One training step on memory that is given: parameters and what an optimizer keeps lie in one flat array, `state`."""

from __future__ import annotations

import functools
import importlib
import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

import pylayers

from ...harness.contract import Array, Case
from .networks import NETWORKS

# What each optimizer keeps beside a parameter, under the names that torch and pylayers share.
KEPT = {"sgd": (), "momentum": ("momentum_buffer",), "adam": ("exp_avg", "exp_avg_sq")}
# So late in a training run Adam's bias corrections are 1, and no step depends on how many there were.
STEPS_BEFORE = 1_000_000
ALIGNMENT = 64  # elements: a tensor begins on a whole cache line, as those of an allocator do
Shape = tuple[int, ...]
Step = Callable[[], tuple[Any, ...]]  # -> the loss and the gradients, as the library's own arrays


def build(case: Case, lib: Any) -> Any:
    """The network in torch or pylayers; AttributeError or NotImplementedError, with a sentence, for what is missing."""
    return NETWORKS[case.params["network"]](lib, case.params["layout"])


@functools.cache
def shapes(network: str) -> Mapping[str, Shape]:
    """The parameters by name, from whichever library can build the network."""
    for name in ("pylayers", "torch"):
        try:
            lib = importlib.import_module(name)
            importlib.import_module(f"{name}.nn")
            net = NETWORKS[network](lib, "NCHW")
        except (ImportError, AttributeError, NotImplementedError):
            continue
        return {key: tuple(parameter.shape) for key, parameter in net.named_parameters()}
    return {}


def places(case: Case) -> tuple[list[tuple[str, str, Shape, slice]], int]:
    """Kind ("parameter" or what is kept), name, shape and place of every tensor in the state; the state's length."""
    found, begin = [], 0
    for kind in ("parameter", *KEPT[case.params["optimizer"]]):
        for name, shape in shapes(case.params["network"]).items():
            found.append((kind, name, shape, slice(begin, begin + math.prod(shape))))
            begin += -(-math.prod(shape) // ALIGNMENT) * ALIGNMENT
    return found, begin


def tensors(case: Case, state: Any) -> dict[str, dict[str, Any]]:
    """Views of the state, array or torch tensor: kind -> name -> tensor. Images' weights have the case's layout."""
    views: dict[str, dict[str, Any]] = {}
    for kind, name, shape, place in places(case)[0]:
        if len(shape) == 4 and case.params["layout"] == "NHWC":
            n, c, h, w = shape
            view = state[place].reshape(n, h, w, c).swapaxes(2, 3).swapaxes(1, 2)
        else:
            view = state[place].reshape(shape)
        views.setdefault(kind, {})[name] = view
    return views


def adopt(lib: Any, net: Any, case: Case, state: Any) -> Any:
    """Puts the parameters of a network and its optimizer on the memory of the state; -> the optimizer."""
    views, kind = tensors(case, state), case.params["optimizer"]
    for name, parameter in net.named_parameters():
        if lib is pylayers:
            parameter.array = views["parameter"][name]
        else:
            parameter.data = views["parameter"][name]
    optimizer = optimizer_of(lib, kind, net.parameters(), state)
    for name, parameter in net.named_parameters():
        optimizer.state[parameter] = counted(lib, kind, state) | {key: views[key][name] for key in KEPT[kind]}
    return optimizer


def optimizer_of(lib: Any, kind: str, parameters: Any, state: Any) -> Any:
    """Gradient descent, with momentum or not, or Adam; torch's fused one on a GPU."""
    options = {"fused": True} if lib is not pylayers and state.device.type != "cpu" else {}
    if kind == "adam":
        return lib.optim.Adam(parameters, lr=1e-3, eps=1e-7, **options)
    return lib.optim.SGD(parameters, lr=0.01, momentum=0.9 if kind == "momentum" else 0.0, **options)


def counted(lib: Any, kind: str, state: Any) -> dict[str, Any]:
    """How many steps were taken before, as the optimizers of the library count."""
    if lib is pylayers:
        steps = state[:2].astype(np.int32)
        steps[0], steps[1] = STEPS_BEFORE, 0
        return {"steps": steps}
    return {"step": lib.tensor(float(STEPS_BEFORE), device=state.device)} if kind == "adam" else {}


def step_of(lib: Any, case: Case, x: Any, labels: Any, state: Any) -> Step:
    """The step in torch or pylayers on arrays, or tensors, of that library."""
    net = build(case, lib)
    if lib is pylayers:
        x, labels = pylayers.Tensor(x), pylayers.Tensor(labels)
    else:
        net.to(state)
    optimizer = adopt(lib, net, case, state)
    return stepping(lib, optimizer, [*net.parameters()], loss_of(lib, case, net, state), image(case, x), labels)


def image(case: Case, x: Any) -> Any:
    """Images with their channels on axis 1; tokens as they are."""
    return x.permute(0, 3, 1, 2) if case.params["layout"] == "NHWC" else x


def loss_of(lib: Any, case: Case, net: Callable[[Any], Any], state: Any) -> Callable[[Any, Any], Any]:
    """(x, labels) -> the loss; under torch's autocast where the case is of bfloat16 and the state is of float32."""
    cross_entropy = lib.nn.functional.cross_entropy

    def mixed(x: Any, labels: Any) -> Any:
        with lib.autocast(state.device.type, lib.bfloat16):
            return cross_entropy(net(x), labels)

    if case.dtype == "bfloat16" and state.dtype == lib.float32:
        return mixed
    return lambda x, labels: cross_entropy(net(x), labels)


def stepping(lib: Any, optimizer: Any, parameters: list[Any], loss_of: Any, x: Any, labels: Any) -> Step:
    """Forward, backward, update."""

    def step() -> tuple[Any, ...]:
        optimizer.zero_grad()
        loss = loss_of(x, labels)
        loss.backward()
        optimizer.step()
        gradients = [parameter.grad for parameter in parameters]
        if lib is pylayers:
            return loss.array.reshape(1), *(dx.array for dx in gradients)
        return loss.detach().to(parameters[0].dtype).reshape(1), *gradients

    return step


class Compiled:
    """torch.compile's form of a case, one for all its buffer sets: the parameters are arguments of the program."""

    def __init__(self, torch: Any, case: Case) -> None:
        self.torch, self.case, self.program = torch, case, None

    def step_of(self, x: Any, labels: Any, state: Any) -> Step:
        """As the function of this name."""
        torch, case = self.torch, self.case
        net = build(case, torch).to(state)
        optimizer = adopt(torch, net, case, state)
        parameters = dict(net.named_parameters())
        if self.program is None:

            def loss(parameters: Any, x: Any, labels: Any) -> Any:
                forward = loss_of(torch, case, lambda x: torch.func.functional_call(net, parameters, (x,)), state)
                return forward(x, labels)

            self.program = torch.compile(loss, dynamic=False)
        program: Any = self.program
        run = functools.partial(program, parameters)
        return stepping(torch, optimizer, [*parameters.values()], run, image(case, x), labels)


def initial(case: Case, normal: Callable[[Shape], Array], empty: Array) -> Array:
    """A state as in the middle of training: weights of the size that keeps a signal's, small moments."""
    empty[...] = 0
    for kind, name, shape, place in places(case)[0]:
        x = normal((math.prod(shape),))
        if kind == "exp_avg_sq":
            x = 1e-6 * x * x + 1e-8
        elif kind != "parameter":
            x *= 1e-3
        elif len(shape) > 1:
            x *= 0.02 if "tokens" in name or "positions" in name else math.prod(shape[1:]) ** -0.5
        else:
            x = 0.02 * x + (1 if name.endswith("weight") else 0)  # of a norm; the others are biases
        empty[place] = x
    return empty
