"""An update by Adam, AdamW or SGD with momentum on lists of tensors: ours beside torch (fused, foreach), NumPy, CuPy.

The tensors of a list are parts of one array, each at a multiple of 256 bytes, as an allocator would lay them.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Sequence
from typing import Any

from pylayers import ops
from pylayers.backends.contract import AdamRates, SgdRates

from ...harness import peers, truth
from ...harness.contract import Absent, Array, Arrays, Call, Case, Deviation, Place
from ...harness.dtypes import SIZE
from .cases import CASES, LISTS, RULES

name = "optim"
cases: Sequence[Case] = CASES
changed: Sequence[str] = ("parameters", "moments", "steps")

ALIGNMENT = 256  # bytes
RATE, DECAY, MOMENTUM, EPS, BETAS = 1e-3, 1e-2, 0.9, 1e-8, (0.9, 0.999)
# So late that the corrections of the moments are 1 in every precision, whichever call of a run is looked at.
STEPS = 100_000
MANY = 1000  # tensors, from which on one launch for each operation and tensor is no contender
CHECKED = 2**17  # elements that a check looks at, and the ends of every tensor


@functools.cache
def starts(case_list: str, dtype: str) -> tuple[int, ...]:
    """Where each tensor of the list begins in the array, and the array's length at the end."""
    unit = ALIGNMENT // SIZE[dtype]
    return tuple(itertools.accumulate((-(-size // unit) * unit for size in LISTS[case_list]), initial=0))


def inputs(case: Case, place: Place) -> Arrays:
    """Parameters, gradients, moments (moments, elements) and ours' counters of steps (tensors, 2)."""
    sizes, length = LISTS[case.params["list"]], starts(case.params["list"], case.dtype)[-1]
    arrays = {
        "parameters": place.normal((length,), case.dtype),
        "gradients": place.normal((length,), case.dtype, 1e-2),
        "moments": place.normal((RULES[case.params["rule"]], length), case.dtype, 1e-2),
        "steps": place.xp.zeros((len(sizes), 2), "int32"),
    }
    arrays["steps"][:, 0] = STEPS
    if len(arrays["moments"]) == 2:  # of squares, and not far below the square of the first
        square = abs(place.normal((length,), "float32", 1e-4)) + place.xp.float32(1e-4)
        arrays["moments"][1] = truth.rounded(place, square, case.dtype)
    return arrays


def parts(case: Case, x: Any) -> list[Any]:
    """The tensors of a list in one row of the array."""
    sizes, begin = LISTS[case.params["list"]], starts(case.params["list"], case.dtype)
    return [x[start : start + size] for start, size in zip(begin, sizes)]


def contenders(case: Case, place: Place) -> list[peers.Entry]:
    """Ours, torch's fused and foreach forms, NumPy or CuPy."""
    absent = peers.too_much(case, place)
    if absent:
        return absent
    op = "sgd" if case.params["rule"] == "sgd" else "adam"
    found = [peers.ours(place, arithmetic(case), lambda x: our_call(case, x), op, dtype=case.dtype)]
    for form in ("fused", "foreach"):
        reason = wrong_in_torch(case, place, form)
        prepare = functools.partial(torch_call, case, form)
        label = f"torch {form}"
        found.append(Absent(label, reason) if reason else peers.with_torch(place, arithmetic(case), prepare, label))
    return [*found, array_entry(case, place)]


def wrong_in_torch(case: Case, place: Place, form: str) -> str:
    """Why this form is no peer here; empty if it is."""
    if case.dtype == "float32":
        return ""
    if form == "foreach":
        return f"it rounds to {case.dtype} between its operations"
    if place.name == "cpu" and case.params["rule"] == "sgd":
        return "on a CPU it leaves most 16-bit elements as they were (pytorch/pytorch#191763)"
    return ""


def arithmetic(case: Case) -> str:
    """The same for every contender."""
    return f"{case.dtype} parameters, gradients and moments, float32 between"


def our_call(case: Case, x: Arrays) -> Call:
    """pylayers.ops.adam or sgd."""
    parameters, gradients = parts(case, x["parameters"]), parts(case, x["gradients"])
    moments, steps = [parts(case, m) for m in x["moments"]], list(x["steps"])
    results = x["parameters"], x["moments"]
    if case.params["rule"] == "sgd":
        rates = SgdRates(RATE, momentum=MOMENTUM, weight_decay=DECAY)

        def descend() -> Sequence[Array]:
            ops.sgd(parameters, gradients, moments[0], steps, rates, known=True)
            return results

        return descend
    adam_rates = AdamRates(RATE, *BETAS, EPS, DECAY, decoupled=case.params["rule"] == "adamw")

    def adapt() -> Sequence[Array]:
        ops.adam(parameters, gradients, moments[0], moments[1], steps, adam_rates, known=True)
        return results

    return adapt


def torch_call(case: Case, form: str, torch: Any, x: dict[str, Any]) -> Call:
    """torch.optim's own step, its state on the memory of the moments."""
    parameters = [torch.nn.Parameter(p) for p in parts(case, x["parameters"])]
    for p, gradient in zip(parameters, parts(case, x["gradients"])):
        p.grad = gradient
    rule, how = case.params["rule"], {form: True}
    if rule == "sgd":
        optimizer = torch.optim.SGD(parameters, RATE, momentum=MOMENTUM, weight_decay=DECAY, **how)
    else:
        kind = torch.optim.AdamW if rule == "adamw" else torch.optim.Adam
        optimizer = kind(parameters, RATE, BETAS, EPS, DECAY, **how)
    names = ("momentum_buffer",) if rule == "sgd" else ("exp_avg", "exp_avg_sq")
    for key, moment in zip(names, x["moments"]):
        for p, m in zip(parameters, parts(case, moment)):
            optimizer.state[p][key] = m
    if rule != "sgd":
        where = x["parameters"].device if form == "fused" else "cpu"  # as torch makes them itself
        for p in parameters:
            optimizer.state[p]["step"] = torch.tensor(float(STEPS), device=where)
    results = x["parameters"], x["moments"]

    def call() -> Sequence[Array]:
        optimizer.step()
        return results

    return call


def array_entry(case: Case, place: Place) -> peers.Entry:
    """The rule in operations of NumPy or CuPy, one tensor after the other."""
    library, reason = peers.library_name(place), ""
    if case.dtype != "float32":
        reason = f"{library} rounds to {case.dtype} between its operations"
    elif library == "CuPy" and len(LISTS[case.params["list"]]) >= MANY:
        reason = "one launch for each operation and tensor"

    def prepare(xp: Any, x: Arrays) -> Call:
        tensors = [parts(case, row) for row in (x["parameters"], x["gradients"], *x["moments"])]
        together, results = list(zip(*tensors)), (x["parameters"], x["moments"])

        def call() -> Sequence[Array]:
            for parameter, gradient, *moments in together:
                update(xp, case.params["rule"], parameter, gradient, moments)
            return results

        return call

    return peers.with_arrays(place, arithmetic(case), prepare, reason)


def update(xp: Any, rule: str, parameter: Array, gradient: Array, moments: list[Array]) -> None:
    """In place, in the dtype of the arrays; both corrections are 1."""
    if rule == "adamw":
        parameter *= 1 - RATE * DECAY
    else:
        gradient = gradient + DECAY * parameter
    if rule == "sgd":
        moments[0] *= MOMENTUM
        moments[0] += gradient
        parameter -= RATE * moments[0]
        return
    m, v = moments
    m *= BETAS[0]
    m += (1 - BETAS[0]) * gradient
    v *= BETAS[1]
    v += (1 - BETAS[1]) * xp.square(gradient)
    parameter -= RATE * m / (xp.sqrt(v) + EPS)


# ------------------------------------------------------------------------------------------------------------ truth


def deviation(case: Case, place: Place, inputs: Arrays, results: Sequence[Array]) -> Deviation:
    """Parameters and moments after a step from `inputs`: the ends of every tensor, what lies between, a sample."""
    length = starts(case.params["list"], case.dtype)[-1]
    count = RULES[case.params["rule"]]
    found = truth.results_of(place, results, ((length,), case.dtype), ((count, length), case.dtype))
    if found is None:
        return truth.WRONG_FORM
    xp, (chosen, inside) = place.xp, looked_at(case, place)
    p, g = truth.wide(place, inputs["parameters"], chosen), truth.wide(place, inputs["gradients"], chosen)
    moments = [truth.wide(place, m, chosen) for m in inputs["moments"]]
    before = [p, *moments]
    after = [x.copy() for x in before]
    update(xp, case.params["rule"], after[0], g, after[1:])
    got = [truth.wide(place, found[0], chosen), *(truth.wide(place, m, chosen) for m in found[1])]
    bounds = rounding(case, xp, before, g, after)
    # Between the tensors nothing may change.
    return truth.deviation(
        place,
        (
            (have, xp.where(inside, want, old), xp.where(inside, bound, 0.0))
            for have, old, want, bound in zip(got, before, after, bounds)
        ),
    )


def looked_at(case: Case, place: Place) -> tuple[Array, Array]:
    """Indices of elements, and which of them lie in a tensor."""
    xp, begin = place.xp, starts(case.params["list"], case.dtype)
    first = xp.asarray(begin[:-1])
    ends = first + xp.asarray(LISTS[case.params["list"]])
    between = ends[ends < xp.asarray(begin[1:])]
    chosen = xp.concatenate([truth.sample(place, begin[-1], CHECKED), first, ends - 1, between])
    return chosen, chosen < ends[xp.searchsorted(first, chosen, side="right") - 1]


def rounding(case: Case, xp: Any, before: list[Array], g: Array, after: list[Array]) -> list[Array]:
    """By how much p and each moment may differ: some units of float32 of all that enters, and one of the dtype."""
    unit, p, m, rule = truth.UNIT[case.dtype], before[0], before[1], case.params["rule"]
    gradient = xp.abs(g) + (0 if rule == "adamw" else DECAY * xp.abs(p))
    off_m = 4 * truth.U * (xp.abs(m) + gradient)
    if rule == "sgd":
        move = RATE * xp.abs(after[1])
        bounds = [RATE * off_m, off_m]
    else:
        root = xp.sqrt(after[2]) + EPS
        move = RATE * xp.abs(after[1]) / root
        bounds = [RATE * off_m / root, off_m, 8 * truth.U * (before[2] + gradient**2)]
    bounds[0] = bounds[0] + 4 * truth.U * (xp.abs(p) + 4 * move)
    return [bound + unit * xp.abs(x) for bound, x in zip(bounds, after)]
