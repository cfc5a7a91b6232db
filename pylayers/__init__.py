"""pylayers: neural network layers on hand-written CUDA kernels, with a NumPy reference for every one of them."""

from __future__ import annotations

import importlib
from typing import Any

from pylayers import dtypes, functional, names
from pylayers.autograd import (
    Function,
    Tensor,
    enable_grad,
    increment_version,
    is_grad_enabled,
    no_grad,
    set_grad_enabled,
)  # fmt: skip
from pylayers.context import backend, get_float32_matmul_precision, set_float32_matmul_precision
from pylayers.creation import (
    arange,
    as_tensor,
    empty,
    empty_like,
    eye,
    from_numpy,
    full,
    full_like,
    linspace,
    ones,
    ones_like,
    rand,
    rand_like,
    randint,
    randn,
    randn_like,
    randperm,
    tensor,
    zeros,
    zeros_like,
)  # fmt: skip
from pylayers.devices import device
from pylayers.dtypes import get_default_dtype, set_default_dtype
from pylayers.errors import CheckpointError, CommError, CudaError
from pylayers.functional.activation import relu, sigmoid, tanh
from pylayers.functional.array import (
    add,
    clamp,
    div,
    floor_divide,
    maximum,
    minimum,
    mul,
    pow,
    remainder,
    sub,
)  # fmt: skip
from pylayers.functional.convert import to as _to  # noqa: F401 - attaches methods of Tensor
from pylayers.functional.elementwise import (
    abs,
    bitwise_and,
    bitwise_not,
    bitwise_or,
    bitwise_xor,
    ceil,
    cos,
    eq,
    exp,
    expm1,
    floor,
    ge,
    gt,
    isfinite,
    isnan,
    le,
    log,
    log1p,
    log2,
    log10,
    logical_and,
    logical_not,
    logical_or,
    logical_xor,
    lt,
    ne,
    neg,
    reciprocal,
    round,
    sign,
    sin,
    sqrt,
    square,
    trunc,
)  # fmt: skip
from pylayers.functional.index import gather, masked_fill, nonzero, where
from pylayers.functional.inplace import fill_, zero_
from pylayers.functional.join import cat, chunk, clone, split, stack, tril, triu, unbind
from pylayers.functional.matmul import addmm, baddbmm, bmm, dot, einsum, matmul, mm, mv
from pylayers.functional.order import amax, amin, argmax, argmin, argsort, max, min, sort, topk
from pylayers.functional.reduce import all, allclose, any, cumsum, equal, mean, norm, std, sum, var
from pylayers.functional.shape import flatten, permute, reshape, squeeze, t, transpose, unsqueeze
from pylayers.functional.softmax import log_softmax, softmax
from pylayers.random import Generator, get_rng_state, manual_seed, set_rng_state
from pylayers.serialization import load, save

_SUBMODULES = frozenset(("backends", "benchmarks", "data", "keras", "nn", "ops", "optim", "train"))


_ANNOTATIONS = frozenset(("Any", "annotations", "importlib"))


def _version() -> str:
    from importlib import metadata  # takes longer to import than everything here

    try:
        return metadata.version("pylayers")
    except metadata.PackageNotFoundError:
        return "0.1.0.dev0"  # a source tree that was not installed


def __getattr__(name: str) -> Any:
    if name == "__version__":
        return _version()
    if name in _SUBMODULES:
        return importlib.import_module("pylayers." + name)
    if name in dtypes.ALIASES:  # float, int, bool, ...: torch's names, kept out of this module's own scope
        return dtypes.ALIASES[name]
    if name in dtypes.DTYPES:
        return dtypes.DTYPES[name]
    raise names.absent("pylayers", name, __dir__())


def __dir__() -> list[str]:
    return sorted({*globals().keys() - _ANNOTATIONS, *_SUBMODULES, *dtypes.ALIASES, *dtypes.DTYPES})
