"""Row operations in float64 and by how much a result in float32 arithmetic may differ, roundings of the dtype included.

Gradients are judged on whole rows: the first, the last and one of each strip; sums over rows on such columns.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from ...harness import truth
from ...harness.contract import Array, Arrays, Case, Deviation, Place
from ...harness.peers import special
from ...harness.truth import U, growth, sum_bound

Part = tuple[Array, Array, Array]  # result, truth, bound
Judge = Callable[[Case, Place, Arrays, list[Array]], Iterator[Part]]

EPS = 1e-5  # of layer norm
DROPPED = 0.1  # the share that dropout sets to 0
CHECKED = 2**24  # elements that a check looks at, about
STRIPS = 64


def deviation(case: Case, place: Place, inputs: Arrays, results: Sequence[Array]) -> Deviation:
    """Each result against float64."""
    op, shape = case.params["op"], (case.params["rows"], case.params["columns"])
    forms: list[tuple[Sequence[int], str]] = [(shape, case.dtype)]
    if op.startswith("cross_entropy"):
        forms.insert(0, ((), case.dtype))
        forms = forms[: 2 if op == "cross_entropy_and_gradient" else 1]
    elif op == "layer_norm_backward":
        forms += [(shape[1:], case.dtype)] * 2
    found = truth.results_of(place, results, *forms)
    if found is None:
        return truth.WRONG_FORM
    judge = JUDGES.get(op, elementwise)
    return truth.deviation(place, judge(case, place, inputs, found))


def chosen(case: Case, place: Place) -> Array:
    """The rows that are looked at."""
    rows, columns = case.params["rows"], case.params["columns"]
    return truth.sample(place, rows, max(STRIPS, CHECKED // columns))


def unit(case: Case) -> float:
    """Half a unit in the last place of 1."""
    return truth.UNIT[case.dtype]


def shifted(xp: Any, x: Array) -> tuple[Array, Array]:
    """x minus the largest of its row, and the logarithm of the sum of exponentials of that."""
    shift = x - x.max(axis=1, keepdims=True)
    return shift, xp.log(xp.exp(shift).sum(axis=1, keepdims=True))


def softmax(case: Case, place: Place, arrays: Arrays, results: list[Array]) -> Iterator[Part]:
    """y = exp(x - max) / sum: relative errors of the sum, of exp, and of its argument; or the logarithm of that."""
    xp, rows = place.xp, chosen(case, place)
    shift, total = shifted(xp, truth.wide(place, arrays["x"], rows))
    relative = growth(shift.shape[1]) + 2 * U * xp.abs(shift)
    want = shift - total
    if case.params["op"] == "log_softmax":
        bound = relative + (2 * U + unit(case)) * xp.abs(want)
    else:
        want = xp.exp(want)
        bound = (relative + unit(case)) * want
    yield truth.wide(place, results[0], rows), want, bound


def softmax_backward(case: Case, place: Place, arrays: Arrays, results: list[Array]) -> Iterator[Part]:
    """dx = y (dy - s) with s = sum(y dy)."""
    xp, rows = place.xp, chosen(case, place)
    dy, y = truth.wide(place, arrays["dy"], rows), truth.wide(place, arrays["y"], rows)
    terms = y * dy
    s = terms.sum(axis=1, keepdims=True)
    off = sum_bound(xp, s, (terms**2).sum(axis=1, keepdims=True), y.shape[1])
    want = y * (dy - s)
    bound = y * (off + 4 * U * (xp.abs(dy) + xp.abs(s))) + unit(case) * xp.abs(want)
    yield truth.wide(place, results[0], rows), want, bound


def layer_norm(case: Case, place: Place, arrays: Arrays, results: list[Array]) -> Iterator[Part]:
    """y = (x - mean) rstd weight + bias."""
    xp, rows = place.xp, chosen(case, place)
    x, weight, bias = (
        truth.wide(place, arrays["x"], rows),
        truth.wide(place, arrays["weight"]),
        truth.wide(place, arrays["bias"]),
    )
    mean = x.mean(axis=1, keepdims=True)
    rstd = 1 / xp.sqrt(x.var(axis=1, keepdims=True) + EPS)
    normal = (x - mean) * rstd
    want = normal * weight + bias
    # The mean is off by parts of the root of the mean square, rstd by parts of itself.
    root = rstd * xp.sqrt((x**2).mean(axis=1, keepdims=True))
    bound = xp.abs(weight) * growth(x.shape[1]) * (xp.abs(normal) + root) + 4 * U * xp.abs(bias)
    yield truth.wide(place, results[0], rows), want, bound + unit(case) * xp.abs(want)


def layer_norm_backward(case: Case, place: Place, arrays: Arrays, results: list[Array]) -> Iterator[Part]:
    """dx = rstd (dn - mean(dn) - n mean(dn n)) with dn = dy weight; dweight = sum of dy n, dbias = sum of dy."""
    xp, rows, every = place.xp, chosen(case, place), slice(None)
    count, columns = case.params["rows"], case.params["columns"]

    def normalized(*index: Any) -> tuple[Array, Array]:
        mean, rstd = (truth.wide(place, arrays[key], index[0])[:, None] for key in ("mean", "rstd"))
        return truth.wide(place, arrays["dy"], *index), (truth.wide(place, arrays["x"], *index) - mean) * rstd

    dy, normal = normalized(rows)
    rstd = truth.wide(place, arrays["rstd"], rows)[:, None]
    dnormal = dy * truth.wide(place, arrays["weight"])
    first, second = dnormal.mean(axis=1, keepdims=True), (dnormal * normal).mean(axis=1, keepdims=True)
    want = rstd * (dnormal - first - normal * second)
    roots = (
        xp.sqrt((dnormal**2).mean(axis=1, keepdims=True)),
        xp.sqrt(((dnormal * normal) ** 2).mean(axis=1, keepdims=True)),
    )
    bound = rstd * (16 * U * xp.abs(dnormal) + growth(columns) * (roots[0] + xp.abs(normal) * roots[1]))
    yield truth.wide(place, results[0], rows), want, bound + unit(case) * xp.abs(want)

    some = truth.sample(place, columns, max(STRIPS, CHECKED // count))
    dy, normal = normalized(every, some)
    for got, terms in ((results[1], dy * normal), (results[2], dy)):
        want, squares = terms.sum(axis=0), (terms**2).sum(axis=0)
        bound = sum_bound(xp, want, squares, count) + 8 * U * xp.sqrt(squares) + unit(case) * xp.abs(want)
        yield truth.wide(place, got, some), want, bound


def cross_entropy(case: Case, place: Place, arrays: Arrays, results: list[Array]) -> Iterator[Part]:
    """The mean over rows of log(sum(exp(x))) - x[label], all of them, and dx = (softmax - one hot) / rows."""
    xp, count, columns = place.xp, case.params["rows"], case.params["columns"]
    labels, total, size = arrays["labels"], 0.0, 0.0
    step = max(1, CHECKED // columns)
    for start in range(0, count, step):
        part = slice(start, start + step)
        shift, sums = shifted(xp, truth.wide(place, arrays["x"], part))
        losses = sums[:, 0] - shift[xp.arange(len(shift)), labels[part]]
        total += float(losses.sum())
        size += float((xp.abs(losses) + xp.abs(shift).max(axis=1)).sum())
    want = xp.asarray(total / count)
    # Of a row the logarithm of its sum and two differences; of the rows a sum of one sign, by blocks at least.
    bound = growth(columns) + 2 * U * size / count + (growth(count) / 4 + unit(case)) * abs(total / count)
    yield truth.wide(place, results[0]), want, xp.asarray(bound)
    if len(results) == 1:
        return
    rows = chosen(case, place)
    shift, sums = shifted(xp, truth.wide(place, arrays["x"], rows))
    likely, hit = xp.exp(shift - sums), xp.zeros_like(shift)
    hit[xp.arange(len(rows)), labels[rows]] = 1
    want = likely - hit
    # Between forward and backward torch rounds log(softmax) and 1 / rows to the dtype.
    relative = growth(columns) + 2 * U * xp.abs(shift) + unit(case) * xp.abs(shift - sums)
    bound = relative * likely + (2 * U + unit(case)) * (likely + hit)
    yield truth.wide(place, results[1], rows), want / count, bound / count


def elementwise(case: Case, place: Place, arrays: Arrays, results: list[Array]) -> Iterator[Part]:
    """Activations and their gradients, right to some units of float32 of what enters, and one rounding."""
    xp, rows, (kind, _, backward) = place.xp, chosen(case, place), case.params["op"].partition("_")
    x = truth.wide(place, arrays["y" if "y" in arrays else "x"], rows)
    if kind == "relu":
        want, slope = xp.maximum(x, 0), (x > 0).astype(x.dtype)
    elif kind == "silu":
        gate = 1 / (1 + xp.exp(-x))
        want, slope = x * gate, gate * (1 + x * (1 - gate))
    else:
        below = special(place).ndtr(x)
        want, slope = x * below, below + x * xp.exp(-(x**2) / 2) / (2 * xp.pi) ** 0.5
    size = xp.abs(x)
    if backward:
        dy = truth.wide(place, arrays["dy"], rows)
        want, size = dy * slope, xp.abs(dy) * (1 + xp.abs(x))
    yield truth.wide(place, results[0], rows), want, 8 * U * size + unit(case) * xp.abs(want)


def dropout(case: Case, place: Place, arrays: Arrays, results: list[Array]) -> Iterator[Part]:
    """Every element is 0 or x / (1 - p), and so many are 0 as chance allows: p of them to 5 standard deviations."""
    xp, rows = place.xp, chosen(case, place)
    x, y = truth.wide(place, arrays["x"], rows), truth.wide(place, results[0], rows)
    kept = y != 0
    want = xp.where(kept, x / (1 - DROPPED), 0.0)
    yield y, want, (2 * U + unit(case)) * xp.abs(want)
    spread = (DROPPED * (1 - DROPPED) / x.size) ** 0.5
    yield 1 - kept.mean(keepdims=True), xp.full((1, 1), DROPPED), xp.asarray(5 * spread)


JUDGES: dict[str, Judge] = {
    "softmax": softmax,
    "log_softmax": softmax,
    "softmax_backward": softmax_backward,
    "layer_norm": layer_norm,
    "layer_norm_backward": layer_norm_backward,
    "cross_entropy": cross_entropy,
    "cross_entropy_and_gradient": cross_entropy,
    "dropout": dropout,
}
