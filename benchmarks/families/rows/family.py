"""Softmax, layer norm, cross-entropy, activations and dropout on rows: ours beside torch, NumPy and CuPy."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

from pylayers import ops
from pylayers.operations.activation import saves_result

from ...harness import peers, truth
from ...harness.contract import Absent, Array, Arrays, Call, Case, Place
from .cases import CASES
from .truth import DROPPED, EPS, deviation

__all__ = ["cases", "changed", "contenders", "deviation", "inputs", "name"]

Tensors = dict[str, Any]
Function = Callable[..., Any]  # of a namespace (or torch) and arrays (or tensors), to one result or several

name = "rows"
cases: Sequence[Case] = CASES
changed: Sequence[str] = ()
# The kernel that stands behind an op of ours, where it has another name.
KERNELS = {
    **dict.fromkeys(("softmax", "log_softmax"), "softmax_forward"),
    "layer_norm": "layer_norm_forward",
    **dict.fromkeys(("cross_entropy", "cross_entropy_and_gradient"), "cross_entropy_forward"),
    **dict.fromkeys(("relu", "gelu", "silu"), "activation_forward"),
    **dict.fromkeys(("relu_backward", "gelu_backward", "silu_backward"), "activation_backward"),
}
# What torch does with 16 bits on a CPU instead of rounding float32 once.
ROUGH = {
    **dict.fromkeys(("log_softmax", "cross_entropy_and_gradient"), "it rounds the logarithm of the sum"),
    "layer_norm_backward": "it takes the moments of rows in 16 bits",
    "dropout": "it rounds 1 / (1 - p)",
}
COMPILED = 4096, 1024  # columns at which torch.compile joins: it takes seconds for each case


def inputs(case: Case, place: Place) -> Arrays:
    """x, and what the op takes beside it. What a forward leaves to its backward is made here, alike for everyone."""
    op, shape, dtype = case.params["op"], (case.params["rows"], case.params["columns"]), case.dtype
    arrays = {"x": place.normal(shape, dtype)}
    if op.startswith("cross_entropy"):
        arrays["labels"] = place.integers(shape[:1], shape[1])
    if op.startswith("layer_norm"):
        arrays["weight"] = place.normal(shape[1:], dtype)
        if op == "layer_norm":
            arrays["bias"] = place.normal(shape[1:], dtype)
    if op.endswith("_backward"):
        arrays["dy"] = place.normal(shape, dtype)
    xp = place.xp
    if op == "layer_norm_backward":
        x = truth.wide(place, arrays["x"])
        arrays["mean"] = x.mean(axis=1).astype("float32")
        arrays["rstd"] = (1 / xp.sqrt(x.var(axis=1) + EPS)).astype("float32")
    elif op == "softmax_backward":
        arrays["y"] = truth.rounded(place, array_softmax(xp, truth.wide(place, arrays.pop("x"))), dtype)
    elif op == "relu_backward":
        arrays["y"] = truth.rounded(place, xp.maximum(truth.wide(place, arrays.pop("x")), 0), dtype)
    return arrays


def contenders(case: Case, place: Place) -> list[peers.Entry]:
    """Ours, torch plain and compiled, NumPy or CuPy."""
    op, how = case.params["op"], arithmetic(case)
    absent = peers.too_much(case, place)
    if absent:
        return absent
    found = [
        peers.ours(place, how, lambda x: our_call(op, place, x), KERNELS.get(op, op), dtype=case.dtype),
        torch_entry(case, place),
    ]
    if place.name != "cpu" and case.params["columns"] in COMPILED:
        found.append(compiled_entry(op, how, place))
    return [*found, array_entry(case, place)]


def arithmetic(case: Case) -> str:
    """The same for every contender."""
    return f"{case.dtype} in, float32 between, {case.dtype} out"


# ------------------------------------------------------------------------------------------------------------- ours


def our_call(op: str, place: Place, x: Arrays) -> Call:
    """Through pylayers.ops."""
    if op in ("softmax", "log_softmax"):
        return lambda: (ops.softmax(x["x"], log=op == "log_softmax"),)
    if op == "softmax_backward":
        return lambda: (ops.softmax_backward(x["dy"], x["y"]),)
    if op == "layer_norm":
        return lambda: (ops.layer_norm(x["x"], x["x"].shape[1], x["weight"], x["bias"], EPS)[0],)
    if op == "layer_norm_backward":
        moments = x["mean"], x["rstd"]
        return lambda: ops.layer_norm_backward(x["dy"], x["x"], moments, x["weight"], x["x"].shape[1])
    if op == "cross_entropy":
        return lambda: (ops.cross_entropy(x["x"], x["labels"], gradient=False)[0],)
    if op == "cross_entropy_and_gradient":
        one = truth.rounded(place, place.xp.ones((), "float32"), x["x"].dtype.name)
        return lambda: loss_and_gradient(x, one)
    if op == "dropout":
        return lambda: (ops.dropout(x["x"], DROPPED, 0, 0),)
    activation: Any = op.partition("_")[0]
    if op == activation:
        return lambda: (ops.activation_forward(x["x"], activation),)
    saved = x["y" if saves_result(activation) else "x"]
    return lambda: (ops.activation_backward(x["dy"], saved, activation),)


def loss_and_gradient(x: Arrays, one: Array) -> tuple[Array, Array]:
    """The mean loss, and the gradient of x where that of the loss is one."""
    loss, normalizer, gradient = ops.cross_entropy(x["x"], x["labels"])
    return loss, ops.cross_entropy_backward(one, gradient, normalizer, x["x"].shape)


# ---------------------------------------------------- torch: one call where it has one, for gradients autograd's own


def torch_entry(case: Case, place: Place) -> peers.Entry:
    """torch without its compiler."""
    op = case.params["op"]
    if place.name == "cpu" and case.dtype != "float32" and op in ROUGH:
        return Absent("torch", f"on a CPU {ROUGH[op]}")
    return peers.with_torch(place, arithmetic(case), lambda torch, x: lambda: peers.as_tuple(TORCH[op](torch, x)))


def torch_layer_norm_backward(torch: Any, x: Tensors) -> Any:
    """dx, dweight, dbias from the moments of rows."""
    mean, rstd = x["mean"][:, None], x["rstd"][:, None]
    mask = [True, True, True]
    shape = [x["x"].shape[1]]
    return torch.ops.aten.native_layer_norm_backward(x["dy"], x["x"], shape, mean, rstd, x["weight"], x["weight"], mask)


def torch_loss(torch: Any, x: Tensors) -> Any:
    """The mean over rows."""
    return torch.nn.functional.cross_entropy(x["x"], x["labels"])


def torch_loss_and_gradient(torch: Any, x: Tensors, loss_of: Function | None = None) -> Any:
    """Through autograd, as a training step does; `loss_of` may be compiled."""
    x = {**x, "x": x["x"].detach().requires_grad_()}
    loss = torch_loss(torch, x) if loss_of is None else loss_of(x)
    return loss.detach(), torch.autograd.grad(loss, x["x"])[0]


def compiled_entry(op: str, how: str, place: Place) -> peers.Entry:
    """torch.compile; of what autograd differentiates, it gets the forward."""
    if op != "cross_entropy_and_gradient":
        return peers.compiled(place, how, TORCH[op])
    graph = peers.program(place, torch_loss)
    return peers.with_torch(
        place, how, lambda torch, x: lambda: torch_loss_and_gradient(torch, x, graph), "torch.compile"
    )


TORCH: dict[str, Function] = {
    "softmax": lambda torch, x: torch.softmax(x["x"], -1),
    "log_softmax": lambda torch, x: torch.log_softmax(x["x"], -1),
    "softmax_backward": lambda torch, x: torch.ops.aten._softmax_backward_data(x["dy"], x["y"], -1, x["y"].dtype),
    "layer_norm": lambda torch, x: torch.nn.functional.layer_norm(
        x["x"], x["x"].shape[1:], x["weight"], x["bias"], EPS
    ),
    "layer_norm_backward": torch_layer_norm_backward,
    "cross_entropy": torch_loss,
    "cross_entropy_and_gradient": torch_loss_and_gradient,
    "relu": lambda torch, x: torch.relu(x["x"]),
    "gelu": lambda torch, x: torch.nn.functional.gelu(x["x"]),
    "silu": lambda torch, x: torch.nn.functional.silu(x["x"]),
    "relu_backward": lambda torch, x: torch.ops.aten.threshold_backward(x["dy"], x["y"], 0),
    "gelu_backward": lambda torch, x: torch.ops.aten.gelu_backward(x["dy"], x["x"]),
    "silu_backward": lambda torch, x: torch.ops.aten.silu_backward(x["dy"], x["x"]),
    "dropout": lambda torch, x: torch.nn.functional.dropout(x["x"], DROPPED),
}

# ---------------------------------------------------------------------------------------------------- NumPy and CuPy


def array_softmax(xp: Any, x: Array) -> Array:
    """Shifted by the largest of each row."""
    y = xp.exp(x - x.max(axis=1, keepdims=True))
    y /= y.sum(axis=1, keepdims=True)
    return y


def array_log_softmax(xp: Any, x: Array) -> Array:
    """As `array_softmax`, its logarithm."""
    y = x - x.max(axis=1, keepdims=True)
    y -= xp.log(xp.exp(y).sum(axis=1, keepdims=True))
    return y


def array_layer_norm(xp: Any, x: Arrays) -> Array:
    """Mean and variance by the library's own functions."""
    centred = x["x"] - x["x"].mean(axis=1, keepdims=True)
    rstd = 1 / xp.sqrt(xp.square(centred).mean(axis=1, keepdims=True) + xp.float32(EPS))
    return centred * rstd * x["weight"] + x["bias"]


def array_layer_norm_backward(xp: Any, x: Arrays) -> tuple[Array, Array, Array]:
    """dx, dweight, dbias."""
    rstd = x["rstd"][:, None]
    normal, dnormal = (x["x"] - x["mean"][:, None]) * rstd, x["dy"] * x["weight"]
    along = (dnormal * normal).mean(axis=1, keepdims=True)
    dx = rstd * (dnormal - dnormal.mean(axis=1, keepdims=True) - normal * along)
    return dx, (x["dy"] * normal).sum(axis=0), x["dy"].sum(axis=0)


def array_loss(xp: Any, x: Arrays) -> Array:
    """The mean of minus the logarithms that the labels point at."""
    chosen = array_log_softmax(xp, x["x"])[xp.arange(len(x["labels"])), x["labels"]]
    return xp.asarray(-chosen.mean())


def array_loss_and_gradient(xp: Any, x: Arrays) -> tuple[Array, Array]:
    """The loss, and (softmax - one hot) / rows."""
    logs, rows = array_log_softmax(xp, x["x"]), xp.arange(len(x["labels"]))
    loss, dx = xp.asarray(-logs[rows, x["labels"]].mean()), xp.exp(logs)
    dx[rows, x["labels"]] -= 1
    dx /= len(rows)
    return loss, dx


@functools.cache
def generator(xp: Any) -> Any:
    """Random numbers of NumPy or CuPy."""
    return xp.random.default_rng()


def array_dropout(xp: Any, x: Arrays) -> Array:
    """A mask from the library's own generator."""
    drawn = generator(xp).random(x["x"].shape, dtype=xp.float32)
    return xp.where(drawn < xp.float32(DROPPED), xp.float32(0), x["x"] * xp.float32(1 / (1 - DROPPED)))


ARRAYS: dict[str, Function] = {
    "softmax": lambda xp, x: array_softmax(xp, x["x"]),
    "log_softmax": lambda xp, x: array_log_softmax(xp, x["x"]),
    "softmax_backward": lambda xp, x: x["y"] * (x["dy"] - (x["y"] * x["dy"]).sum(axis=1, keepdims=True)),
    "layer_norm": array_layer_norm,
    "layer_norm_backward": array_layer_norm_backward,
    "cross_entropy": array_loss,
    "cross_entropy_and_gradient": array_loss_and_gradient,
    "relu": lambda xp, x: xp.maximum(x["x"], 0),
    "silu": lambda xp, x: x["x"] / (1 + xp.exp(-x["x"])),
    "relu_backward": lambda xp, x: x["dy"] * (x["y"] > 0),
    "dropout": array_dropout,
}


def array_entry(case: Case, place: Place) -> peers.Entry:
    """The op in a few functions of NumPy or CuPy."""
    library, op, reason = peers.library_name(place), case.params["op"], ""
    if case.dtype != "float32":
        reason = f"{library} has no {case.dtype} arithmetic that rounds once"
    elif op not in ARRAYS:
        reason = f"{library} has no {op}"
    return peers.with_arrays(place, arithmetic(case), lambda xp, x: lambda: peers.as_tuple(ARRAYS[op](xp, x)), reason)
