"""How far a kernel may be from the truth, which is the reference backend in float64 on the kernel's own inputs.

Three things have one name each in all tests: `exact` is that truth, `own` is what the reference makes of the same
inputs in the kernel's precision, and `allowed` is the error that an element of the kernel's result may have.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from pylayers import backends
from pylayers.backends.reference.attention import scores

if TYPE_CHECKING:
    import gemm_cases

UNIT = {"float32": 2.0**-24, "float16": 2.0**-11, "bfloat16": 2.0**-8}  # half a unit in the last place of 1

reference = backends.load("reference")


def wide(value: Any) -> Any:
    """The value with every float array in it in float64."""
    if isinstance(value, (list, tuple)):
        return type(value)(map(wide, value))
    if isinstance(value, np.ndarray) and value.dtype.kind not in "iub":
        return value.astype(np.float64)
    return value


def truth(op: str, *args: Any, **options: Any) -> Any:
    """The op's result in float64."""
    return getattr(reference, op)(*wide(args), **{name: wide(value) for name, value in options.items()})


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


def as_good(exact: np.ndarray, own: np.ndarray, factor: float, more: Any = 0.0) -> Any:
    """Allowed: `factor` times the worst error of the reference in the same precision, plus two units in the last place
    of the largest element, plus what is derived for this op (`more`)."""
    finite = np.isfinite(exact)
    largest = np.abs(exact[finite]).max(initial=0).astype(np.float32)
    worst = float(np.abs(own.astype(np.float64) - exact)[finite].max(initial=0))
    return factor * worst + 2 * float(np.spacing(largest)) + more


def assert_as_good(got: np.ndarray, exact: np.ndarray, own: np.ndarray, factor: float, what: str = "") -> float:
    """Within `as_good`."""
    return assert_within(got, exact, as_good(exact, own, factor), what)


def layer_norm_forward(
    exact: tuple[np.ndarray, ...], own: tuple[np.ndarray, ...], weight: np.ndarray | None
) -> tuple[Any, Any, Any]:
    """Allowed for y, mean and rstd, with the reference's y, mean and rstd given.

    float32 holds the mean to u |mean| only. That shifts xhat = (x - mean) rstd by u |mean| rstd, and y = xhat weight
    by |weight| times as much. The reference takes the rest of its mean away again, so its own error does not show it.
    """
    _, mean, rstd = exact
    largest_weight = 1 if weight is None else np.abs(weight).max(initial=0)
    y_shift = xhat_shift(mean, rstd) * largest_weight
    return as_good(exact[0], own[0], 2, y_shift), as_good(mean, own[1], 2), as_good(rstd, own[2], 2)


def xhat_shift(mean: np.ndarray, rstd: np.ndarray) -> np.ndarray:
    """What the rounding of the mean to float32 adds to every xhat of a row, at most: (rows, 1)."""
    return (UNIT["float32"] * np.abs(mean) * rstd)[:, None]


def layer_norm_backward(
    exact: tuple[np.ndarray, ...],
    own: tuple[np.ndarray, ...],
    x: np.ndarray,
    dy: np.ndarray,
    moments: tuple[np.ndarray, np.ndarray],
    weight: np.ndarray | None,
) -> tuple[Any, Any, Any]:
    """Allowed for dx, dweight and dbias; `moments` are the exact mean and rstd.

    With g = dy weight, dx = rstd (g - mean(g) - xhat mean(g xhat)) and dweight = sum of dy xhat. A shift of xhat by
    e changes the last term of dx by at most rstd e (mean(|g| |xhat|) + |xhat| mean(|g|)), and dweight by e |dy| a row.
    """
    mean, rstd = moments
    shift, g = xhat_shift(mean, rstd), np.abs(dy) * (1 if weight is None else np.abs(weight).max(initial=0))
    xhat = np.abs(x - mean[:, None]) * rstd[:, None]
    in_dx = rstd[:, None] * shift * ((g * xhat).mean(1, keepdims=True) + xhat * g.mean(1, keepdims=True))
    in_dweight = (np.abs(dy) * shift).sum(0)
    return as_good(exact[0], own[0], 3, in_dx), as_good(exact[1], own[1], 3, in_dweight), as_good(exact[2], own[2], 3)


def attention_backward(exact: tuple[np.ndarray, ...], own: tuple[np.ndarray, ...], *args: Any) -> tuple[Any, ...]:
    """Allowed for dq, dk and dv; `args` are those of the op.

    The gradient of a score is weight (do . v - do . o). Each of these dot products adds up e numbers, which rounds by
    about u sqrt(e) of the root of their squares, while their difference may be as good as 0; sums over keys (dq) and
    queries (dk) carry that on. Where few keys are in sight the reference's own error may by chance be nothing.
    """
    do, q, k, v, o, lse, mask, scale, diagonal = wide(args)
    score = scores(q, k, mask, scale, diagonal)
    weights = np.exp(score - np.where(np.isneginf(lse), 0, lse)[..., None])
    squares = np.sqrt(np.matmul(do**2, np.swapaxes(v, -1, -2) ** 2)) + np.sqrt((do**2 * o**2).sum(-1, keepdims=True))
    rounded = scale * weights * UNIT["float32"] * np.sqrt(v.shape[-1]) * squares
    in_dq, in_dk = np.matmul(rounded, np.abs(k)), np.matmul(np.swapaxes(rounded, -1, -2), np.abs(q))
    return tuple(as_good(*pair, 3, more) for *pair, more in zip(exact, own, (in_dq, in_dk, 0), strict=True))


def product(row: gemm_cases.Row, a: np.ndarray, b: np.ndarray, exact: np.ndarray, dtype: str) -> np.ndarray:
    """Allowed for a @ b by this variant: rounding of the sums, what a tensor core cuts off, rounding of y.

    Sums of int8 are exact. Those of k floats round like any in float32 (`product_bound`). A tensor core adds the
    products of one instruction at once and cuts off, rather than rounds, what lies beyond the last place of the
    largest: one such loss for each of the k / instruction_k instructions, of sums kept to 24 bits. For fp8 the sums are
    kept to 14, but only over one tile of 128 k, after which they go to float32.
    """
    if row.a == "int8":
        return UNIT[dtype] * np.abs(exact) if dtype != "int32" else np.zeros_like(exact)
    a, b, k = a.astype(np.float64), b.astype(np.float64), a.shape[2]
    u = UNIT["float32"]
    sums = 4 * u * np.sqrt(k) * (np.sqrt(np.matmul(a**2, b**2)) + np.abs(exact))
    cut = 0.0
    if row.capability:
        fp8 = row.a.startswith("float8")
        last_place, span = (2.0**-13, 128) if fp8 else (2.0**-24, k)
        instructions = -(-k // row.instruction_k)
        cut = last_place * instructions * _largest_partial(a, b, row.instruction_k, span)
    return sums + UNIT[dtype] * np.abs(exact) + cut


def _largest_partial(a: np.ndarray, b: np.ndarray, step: int, length: int) -> float:
    """The largest sum on the way: of whole instructions of `step` k, begun anew every `length` k; or a product."""
    batches, m, k = a.shape
    pad = -k % step
    parts_a = np.pad(a, ((0, 0), (0, 0), (0, pad))).reshape(batches, m, -1, step).transpose(0, 2, 1, 3)
    parts_b = np.pad(b, ((0, 0), (0, pad), (0, 0))).reshape(batches, -1, step, b.shape[2])
    parts = np.matmul(parts_a, parts_b)
    count = max(-(-length // step), 1)
    sums = [
        np.abs(np.cumsum(parts[:, i : i + count], axis=1)).max(initial=0.0) for i in range(0, parts.shape[1], count)
    ]
    return max([*sums, float(np.abs(a).max(initial=0.0) * np.abs(b).max(initial=0.0))])


def epilogue(
    exact: np.ndarray, sums: np.ndarray, sums_allowed: np.ndarray, scale: Any, terms: list[np.ndarray], gradient: bool
) -> np.ndarray:
    """Allowed, before its rounding, for exact = f(scale sums + terms), or the product of that with a derivative.

    `sums` are those of a matrix product, each off by at most `sums_allowed`; `scale` is not negative.
    """
    # No activation is steeper than 1.2, and none of their derivatives larger: twice the error of what goes in.
    carried = 2 * scale * sums_allowed
    # Four float32 operations, each off by half a unit of what is added up; 1 for the activation's own value.
    rounded = 2.0**-22 * (scale * np.abs(sums) + sum(map(np.abs, terms)) + 1)
    # A derivative, as near as that, multiplies what may be larger than 1.
    return (carried + rounded) * (np.maximum(np.abs(exact), 1) if gradient else 1)


def rounding(exact: np.ndarray, dtype: str) -> np.ndarray:
    """What storing in this dtype adds: half a unit in the last place, of float16's subnormals 2^-25."""
    return UNIT[dtype] * np.abs(exact) + (2.0**-25 if dtype == "float16" else 0)
