"""Adam, AdamW, SGD and the norm of gradients over lists of tensors of any sizes, dtypes and alignments."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from bounds import UNIT, reference
from subject import Subject

from pylayers.backends.contract import AdamRates, SgdRates

SIZES = [0, 1, 3, 4095, 4097, 100_003]
BF16 = ml_dtypes.bfloat16
ADAM = {
    "adam": AdamRates(0.01, weight_decay=0.1),
    "adamw": AdamRates(0.01, eps=0.1, weight_decay=0.1, decoupled=True),
    "keras": AdamRates(0.01, eps=1e-2, bias_correction="folded"),
    "uncorrected": AdamRates(0.01, maximize=True, bias_correction="none"),
    "ascent": AdamRates(0.01, eps=0.1, weight_decay=0.1, maximize=True),  # eps: decay may cancel a gradient
    "decoupled_ascent": AdamRates(0.01, eps=0.1, weight_decay=0.1, decoupled=True, maximize=True),
}
SGD = {
    "plain": SgdRates(0.01),
    "momentum": SgdRates(0.01, momentum=0.9, dampening=0.1, weight_decay=0.01, maximize=True),
    "nesterov": SgdRates(0.01, momentum=0.9, weight_decay=0.01, nesterov=True),
}
Rates = AdamRates | SgdRates


class Lists:
    """Parameters, gradients and state of an optimizer in the memory of a backend."""

    def __init__(
        self,
        on: Subject | None,
        sizes: list[int],
        dtypes: list[tuple[Any, Any]],
        moments: int,
        misaligned: bool = False,
    ):
        rng = np.random.default_rng(len(sizes))
        place: Callable = on.place if on else np.array
        kinds = [dtypes[i % len(dtypes)] for i in range(len(sizes))]

        def tensors(values: Callable[[int], np.ndarray], which: int) -> list:
            made = []
            for n, kind in zip(sizes, kinds, strict=True):
                x = values(n).astype(kind[which])
                made.append(place(np.concatenate([np.zeros(1, x.dtype), x]))[1:] if misaligned else place(x))
            return made

        self.parameters = tensors(rng.standard_normal, 0)
        self.gradients = tensors(rng.standard_normal, 0)
        self.moments = [tensors(np.zeros, 1) for _ in range(moments)]
        self.steps = [place(np.zeros(2, np.int32)) for _ in sizes]

    def everything(self, on: Subject | None) -> list[np.ndarray]:
        lists = [self.parameters, *self.moments, self.steps]
        return [np.array(on.take(x) if on else x) for tensors in lists for x in tensors]

    def step(self, backend: Any, rates: Rates, norm: Any = None) -> None:
        if isinstance(rates, AdamRates):
            backend.adam(self.parameters, self.gradients, *self.moments, self.steps, rates, norm)
        else:
            momenta = self.moments[0] if rates.momentum else [None] * len(self.parameters)
            backend.sgd(self.parameters, self.gradients, momenta, self.steps, rates, norm)


def moments(rates: Rates) -> int:
    return 2 if isinstance(rates, AdamRates) else 1


def check(on: Subject, rates: Rates, sizes: list[int], dtypes: list, misaligned: bool = False, count: int = 4) -> None:
    """A few steps equal those of the reference in the same dtypes, up to their roundings; everything has moved."""
    ours = Lists(on, sizes, dtypes, moments(rates), misaligned)
    theirs = Lists(None, sizes, dtypes, moments(rates))
    before = theirs.everything(None)
    for _ in range(count):
        ours.step(on.backend, rates)
        theirs.step(reference, rates)
    got, want = ours.everything(on), theirs.everything(None)
    for g, w in zip(got, want, strict=True):
        assert g.dtype == w.dtype and g.shape == w.shape
        if w.dtype == np.int32:
            np.testing.assert_array_equal(g, [count, 0])
            continue
        unit = UNIT[str(w.dtype)]
        g, w = g.astype(np.float64), w.astype(np.float64)
        # Each step rounds the element once to its dtype, and its update of at most 0.1 a few times in float32. In 16
        # bits a float32 difference may tip that rounding to the neighbour, which is two units away.
        bound = 2 * count * unit * np.abs(w) + 8 * count * UNIT["float32"] * np.maximum(np.abs(w), 0.1)
        assert (np.abs(g - w) <= bound).all()
    for b, g in zip(before[: len(sizes)], got, strict=False):
        if b.dtype == np.float32:  # in 16 bits a small step may round to nothing
            assert b.size == 0 or (b != g).mean() > 0.999


FLOATS = [(np.float32, np.float32)]
MIXED = [(np.float32, np.float32), (BF16, BF16), (np.float16, np.float16), (BF16, np.float32), (np.float16, np.float32)]


@pytest.mark.parametrize("rates", [*ADAM.values(), *SGD.values()], ids=[*ADAM, *SGD])
@pytest.mark.parametrize("misaligned", [False, True])
def test_awkward_sizes(on: Subject, rates: Rates, misaligned: bool) -> None:
    check(on, rates, SIZES, FLOATS, misaligned, count=2)


@pytest.mark.parametrize("rates", [ADAM["adamw"], SGD["momentum"]])
@pytest.mark.parametrize("count", [1, 2, 300])
def test_list_lengths(on: Subject, rates: Rates, count: int) -> None:
    sizes = [[7, 0, 4097, 33, 1][i % 5] for i in range(count)]
    check(on, rates, sizes, FLOATS)
    check(on, rates, [0, *sizes, 0], MIXED, misaligned=True)


@pytest.mark.parametrize("rates", [ADAM["adamw"], SGD["momentum"]], ids=["adamw", "momentum"])
def test_a_tensor_of_more_than_a_million_elements(on: Subject, rates: Rates) -> None:
    """More than 256 chunks, between others."""
    check(on, rates, [3, 2**20 + 4097, 5000], FLOATS, count=2)


@pytest.mark.parametrize("rates", [ADAM["adamw"], SGD["nesterov"]])
def test_only_empty_tensors(on: Subject, rates: Rates) -> None:
    check(on, rates, [0, 0], FLOATS)
    empty = Lists(on, [], FLOATS, 2)
    empty.step(on.backend, rates)  # an empty list is no step at all


@pytest.mark.parametrize("rates", [ADAM["adam"], ADAM["keras"], SGD["momentum"]])
def test_a_thousand_steps_in_float32(on: Subject, rates: Rates) -> None:
    """The drift against float64 stays within what the same steps in NumPy's float32 show, twice over."""
    runs = {}
    for name, dtype, backend in [
        ("ours", np.float32, on),
        ("float32", np.float32, None),
        ("float64", np.float64, None),
    ]:
        lists = Lists(backend, [50], [(dtype, dtype)], moments(rates))
        for _ in range(1000):
            lists.step(backend.backend if backend else reference, rates)
        runs[name] = lists.everything(backend)[0].astype(np.float64)
    drift = np.abs(runs["float32"] - runs["float64"]).max()
    place = np.spacing(np.float32(np.abs(runs["float64"]).max()))
    assert np.abs(runs["ours"] - runs["float64"]).max() <= 2 * drift + 4 * place


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("rates", [ADAM["adamw"], SGD["momentum"]])
def test_a_gradient_that_is_not_finite_leaves_everything_untouched(on: Subject, rates: Rates, bad: float) -> None:
    for where in [0, 2, 5]:
        lists = Lists(on, SIZES, MIXED[:3], moments(rates))
        lists.step(on.backend, rates)
        before = lists.everything(on)
        norm = on.backend.gradient_norm(lists.gradients)
        assert on.take(norm)[1] == 0
        if lists.gradients[where].size:
            lists.gradients[where][-1] = bad
            norm = on.backend.gradient_norm(lists.gradients)
            assert on.take(norm)[1] == 1 and np.isnan(on.take(norm)[0])
            lists.step(on.backend, rates, norm)
            for x, y in zip(before, lists.everything(on), strict=True):
                assert x.tobytes() == y.tobytes()
            lists.gradients[where][-1] = 1
            norm = on.backend.gradient_norm(lists.gradients)
        lists.step(on.backend, rates, norm)
        assert all((step == [2, 0]).all() for step in lists.everything(on)[-len(SIZES) :])


@pytest.mark.parametrize(
    "sizes, dtypes",
    [([0], FLOATS), ([1], FLOATS), (SIZES, FLOATS), (SIZES, MIXED), ([5] * 300, MIXED), ([2**20 + 4097, 3], FLOATS)],
)
def test_gradient_norm(on: Subject, sizes: list[int], dtypes: list) -> None:
    lists = Lists(on, sizes, dtypes, 0, misaligned=True)
    got = on.take(on.backend.gradient_norm(lists.gradients))
    want = np.sqrt(sum(np.square(on.take(g).astype(np.float64)).sum() for g in lists.gradients))
    assert got.dtype == np.float32 and abs(got[0] - want) <= 2 * UNIT["float32"] * want and got[1] == 0


def test_gradient_norm_of_huge_and_tiny_gradients(on: Subject) -> None:
    """float32 holds neither their squares nor, from norms of 1.8e19 on, the sums of them; in one tensor and in many."""
    for size in (1e-30, 1e17, 6e17, 1e30):
        for dtype, counts in itertools.product((np.float32, BF16), ([1000], [1], [5000, 0, 1, 300])):
            gradients = [np.full(n, size, dtype) for n in counts]
            got = on.take(on.backend.gradient_norm([on.place(g) for g in gradients]))
            want = np.sqrt(sum(counts)) * float(gradients[0][0])
            assert abs(got[0] - want) <= 1e-6 * want and got[1] == 0


def test_gradients_and_parameters_of_different_memory_order(on: Subject) -> None:
    rng = np.random.default_rng(3)
    p, g = (rng.standard_normal((5, 7)).astype(np.float32) for _ in range(2))
    results = []
    for order in ("C", "F"):
        tensors = [on.place(np.array(x)) for x in (p, np.zeros_like(p), np.zeros_like(p))]
        gradient, steps = on.place(np.array(g, order=order)), on.place(np.zeros(2, np.int32))
        lists = [[x] for x in (tensors[0], gradient, *tensors[1:], steps)]
        on.backend.adam(*lists, AdamRates(0.1))
        results.append(on.take(tensors[0]))
    np.testing.assert_array_equal(*results)


def test_kernels_refuse_what_they_have_no_code_for(kernels: Subject) -> None:
    wide = Lists(kernels, [3], [(np.float64, np.float64)], 2)
    refused = r"adam: argument 'parameters': expected float32, bfloat16 or float16, got \(3,\) float64"
    with pytest.raises(NotImplementedError, match=refused):
        wide.step(kernels.backend, ADAM["adam"])
    mixed = Lists(kernels, [3], FLOATS, 2)
    mixed.gradients = [g.astype(np.float16) for g in mixed.gradients]
    with pytest.raises(ValueError, match="adam: argument 'gradients': expected the dtype of the parameter"):
        mixed.step(kernels.backend, ADAM["adam"])


def test_schedules(scheduled: Subject) -> None:
    check(scheduled, ADAM["adamw"], [5000, 0, 3], MIXED, count=2)
    check(scheduled, SGD["nesterov"], [5000, 0, 3], MIXED, count=2)
    lists = Lists(scheduled, [9000, 3], MIXED, 0)
    want = reference.gradient_norm([np.array(g) for g in lists.gradients])
    np.testing.assert_array_equal(scheduled.backend.gradient_norm(lists.gradients), want)
