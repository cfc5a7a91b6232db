"""What a block of code may change for itself: gradient recording, the backend, the precision of float32 products."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar

from pylayers.errors import expected

grad_enabled: ContextVar[bool] = ContextVar("grad_enabled", default=True)
backend_name: ContextVar[str | None] = ContextVar("backend_name", default=None)

BACKENDS = ("reference", "emulated", "cuda")


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
