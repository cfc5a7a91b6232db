"""The compiled module behind the contract: each op is its launcher, told where the caller's arrays come from.

One class serves both builds: ``pylayers._cuda`` on GPU memory and ``pylayers._emulated`` on host memory. The launcher
checks, plans, allocates and launches; nothing is computed here.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from typing import Any

from pylayers import arrays
from pylayers.backends.contract import OPS, Activation, Op, Precision

Array = Any


class Native:
    """The kernels of one compiled module."""

    def __init__(self, name: str) -> None:
        self.name = name
        try:
            self.module = importlib.import_module(f"pylayers._{name}")
        except ImportError as error:
            from pylayers.info import why_missing

            raise ImportError(
                f"backend: '{name}' is not built: {why_missing(name)}", name=f"pylayers._{name}"
            ) from error
        for op in OPS.values():
            if op.name not in vars(Native):
                launch = getattr(self.module, op.name) if op.kernels else None
                setattr(self, op.name, launched(op, launch) if launch else missing(op, name))
        for update in ("sgd", "adam"):
            setattr(self, update, in_order(getattr(self, update)))

    def __repr__(self) -> str:
        return f"Native({self.name!r})"

    def gemm(
        self,
        a: Array,
        b: Array,
        bias: Array | None = None,
        activation: Activation | None = None,
        residual: Array | None = None,
        alpha: float = 1.0,
        beta: float = 1.0,
        scale_a: Array | None = None,
        scale_b: Array | None = None,
        saved: Array | None = None,
        out_dtype: Any = None,
        precision: Precision = "float32",
        column_sums: bool = False,
        transpose_a: bool = False,
        transpose_b: bool = False,
        variant: str = "",
    ) -> Any:
        caller = arrays.library(a).caller(a)
        return self.module.gemm(
            a, b, bias, activation, residual, alpha, beta, scale_a, scale_b, saved, out_dtype, precision, column_sums,
            transpose_a, transpose_b, (*caller, variant) if variant else caller,
        )  # fmt: skip

    def linear(
        self, x: Array, weight: Array, bias: Array | None, activation: Activation | None, precision: Precision
    ) -> Array:
        """By hand, since each call counts: a third of a microsecond."""
        return self.module.linear(x, weight, bias, activation, precision, arrays.library(x).caller(x))


def launched(op: Op, launch: Callable[..., Any]) -> Callable[..., Any]:
    """The launcher as the op of the contract; `variant` names a row of the family's table."""
    parameters = [*op.signature.parameters.values()][1:]
    count, defaults = len(parameters), tuple(p.default for p in parameters)

    def run(x: Any, *rest: Any, variant: str = "", **named: Any) -> Any:
        if named:
            _, *rest = op.signature.bind(x, *rest, **named).args  # type: ignore[assignment]
        if len(rest) != count:
            rest = (*rest, *defaults[len(rest) :])
        beside = x[0] if isinstance(x, (list, tuple)) else x
        caller = arrays.library(beside).caller(beside)
        return launch(x, *rest, (*caller, variant) if variant else caller)

    return run


def missing(op: Op, backend: str) -> Callable[..., Any]:
    """What an op without a kernel does."""

    def run(*arguments: Any, **named: Any) -> Any:
        raise NotImplementedError(f"{op.name}: the '{backend}' backend has no kernel for it yet; 'reference' has")

    return run


def in_order(update: Callable[..., None]) -> Callable[..., None]:
    """Kernels walk over each parameter's memory: gradients come in the order of their parameters'."""

    def run(parameters: Sequence[Array], gradients: Sequence[Array], *rest: Any, **named: Any) -> None:
        if parameters:
            gradients = [in_order_of(p, g) for p, g in zip(parameters, gradients, strict=True)]
            update(parameters, gradients, *rest, **named)

    return run


def in_order_of(parameter: Array, x: Array) -> Array:
    """x, or a copy of it, in the memory order of its parameter."""
    if x.strides == parameter.strides or x.shape != parameter.shape:
        return x
    copy = arrays.empty_like(parameter, dtype=x.dtype)
    copy[...] = x
    return copy
