"""What a block of code may change for itself: gradient recording, the backend, the precision of float32 products."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar
from typing import Literal

from pylayers.errors import expected

Precision = Literal["float32", "tf32"]

grad_enabled: ContextVar[bool] = ContextVar("grad_enabled", default=True)
backend_name: ContextVar[str | None] = ContextVar("backend_name", default=None)
matmul_precision: ContextVar[str] = ContextVar("matmul_precision", default="highest")

BACKENDS = ("reference", "emulated", "cuda")
# torch's words for float32 products, and the least precise arithmetic that each permits a kernel.
MATMUL_PRECISIONS: dict[str, Precision] = {"highest": "float32", "high": "tf32", "medium": "tf32"}


@contextlib.contextmanager
def backend(name: str) -> Iterator[None]:
    """Run the block's kernel ops on the named backend: ``"reference"``, ``"emulated"`` or ``"cuda"``.

    Without it the backend follows the arrays: NumPy runs on the reference, GPU memory on CUDA. Raises ValueError for an
    unknown name and ImportError, with what to do about it, when that backend was not built.
    """
    if name not in BACKENDS:
        raise expected("backend", "name", "one of " + ", ".join(map(repr, BACKENDS)), repr(name))
    from pylayers import backends

    backends.load(name)
    token = backend_name.set(name)
    try:
        yield
    finally:
        backend_name.reset(token)


def set_float32_matmul_precision(precision: str) -> None:
    """How float32 products may be computed in this thread or context (torch.set_float32_matmul_precision).

    ``"highest"``, the default, is float32. ``"high"`` and ``"medium"`` permit TF32, whose factors have 10 bits of
    mantissa; the sums stay float32. ValueError for another word, TypeError for what is no word.
    """
    if not isinstance(precision, str):
        kind = type(precision).__name__
        raise expected("set_float32_matmul_precision", "precision", "a str", kind, error=TypeError)
    if precision not in MATMUL_PRECISIONS:
        wanted = "one of " + ", ".join(map(repr, MATMUL_PRECISIONS))
        raise expected("set_float32_matmul_precision", "precision", wanted, repr(precision))
    matmul_precision.set(precision)


def get_float32_matmul_precision() -> str:
    """What `set_float32_matmul_precision` chose: ``"highest"``, ``"high"`` or ``"medium"``."""
    return matmul_precision.get()


def describe_precision() -> str:
    """The setting in words, for headers."""
    chosen = matmul_precision.get()
    exact = MATMUL_PRECISIONS[chosen] == "float32"
    return f"{chosen} (float32 products in float32)" if exact else f"{chosen} (float32 products may be TF32)"


def product_precision() -> Precision:
    """The least precise products that a float32 gemm may use here."""
    return MATMUL_PRECISIONS[matmul_precision.get()]
