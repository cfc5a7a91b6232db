"""A row of the contract: what is said of an op beside its signature."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

F = TypeVar("F", bound=Callable[..., Any])

FLOAT32 = ("float32",)
FLOATS = ("float32", "float16", "bfloat16")
EIGHT_BITS = ("float8_e4m3fn", "float8_e5m2", "int8")


class Op(NamedTuple):
    """One primitive op. Its family names csrc/, kernels/, backends/reference/ and tests/ files."""

    name: str
    family: str
    kernels: tuple[str, ...]  # the dtypes that its kernels take; empty while there is none
    signature: inspect.Signature  # without self


OPS: dict[str, Op] = {}


def op(family: str, kernels: tuple[str, ...] = ()) -> Callable[[F], F]:
    """Adds the decorated signature to the contract."""

    def add(declared: F) -> F:
        name, signature = declared.__name__, inspect.signature(declared)
        own = signature.replace(parameters=list(signature.parameters.values())[1:])
        OPS[name] = Op(name, family, kernels, own)
        return declared

    return add
