"""The errors of pylayers and the one form of their messages."""

from __future__ import annotations


class CudaError(RuntimeError):
    """A CUDA call failed; the message names the call, its code and the place."""


class CheckpointError(RuntimeError):
    """A file of weights is truncated, hostile, or does not belong to this model."""


class CommError(RuntimeError):
    """A process of a distributed run failed or did not answer in time."""


def expected(
    op: str, name: str, what: str, got: object, hint: str = "", error: type[Exception] = ValueError
) -> Exception:
    """The exception ``op: argument 'name': expected <what>, got <got>[; hint]``, to be raised by the caller."""
    return error(f"{op}: argument '{name}': expected {what}, got {got}" + (f"; {hint}" if hint else ""))
