"""How far a kernel may be from the truth, which is the reference backend in float64 on the kernel's own inputs."""

from __future__ import annotations

from typing import Any

import numpy as np

from pylayers import backends

UNIT = {"float32": 2.0**-24, "float16": 2.0**-11, "bfloat16": 2.0**-8}  # half a unit in the last place of 1

reference = backends.load("reference")


def wide(value: Any) -> Any:
    """The value with every float array in it in float64."""
    if isinstance(value, (list, tuple)):
        return type(value)(map(wide, value))
    if isinstance(value, np.ndarray) and value.dtype.kind not in "iub":
        return value.astype(np.float64)
    return value


def truth(op: str, *args: Any) -> Any:
    """The op's result in float64."""
    return getattr(reference, op)(*wide(args))


def assert_within(got: np.ndarray, want: np.ndarray, bound: Any, what: str = "") -> float:
    """Same shape, same NaNs and infinities, no element off by more than its bound. Returns the worst ratio."""
    assert got.shape == want.shape, what
    special = ~np.isfinite(want)
    np.testing.assert_array_equal(got[special], want[special].astype(got.dtype), err_msg=what)
    error = np.abs(got.astype(np.float64) - want)[~special]
    allowed = np.broadcast_to(bound, want.shape)[~special]
    bad = ~(error <= allowed)
    if bad.any():
        worst = f"worst {error[bad].max():.3g} where {allowed[bad].min():.3g} is allowed"
        raise AssertionError(f"{what}: {bad.sum()} of {bad.size} elements off, {worst}")
    ratio = error[allowed > 0] / allowed[allowed > 0]
    return float(ratio.max(initial=0.0))


def product_bound(want: np.ndarray, squares: np.ndarray, k: int) -> np.ndarray:
    """For `want`, sums of k products whose squares add up to `squares`: 4 u √k (√squares + |want|) + u |want|."""
    u = UNIT["float32"]
    return 4 * u * np.sqrt(k) * (np.sqrt(squares) + np.abs(want)) + u * np.abs(want)


def assert_as_good(
    got: np.ndarray, exact: np.ndarray, own: np.ndarray, factor: float, what: str = "", more: Any = 0.0
) -> float:
    """At most `factor` times the worst error of the reference in the same precision (`own`), plus two units in the last
    place of the largest element, plus what the caller derives for this op (`more`)."""
    finite = np.isfinite(exact)
    scale = np.abs(exact[finite]).max(initial=0).astype(np.float32)
    worst = float(np.abs(own.astype(np.float64) - exact)[finite].max(initial=0))
    return assert_within(got, exact, factor * worst + 2 * float(np.spacing(scale)) + more, what)
