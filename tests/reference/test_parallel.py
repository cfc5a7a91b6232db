"""Parts of an operation on several threads: same results, errors that arrive, children that live."""

from __future__ import annotations

import os
import threading

import numpy as np
import pytest
from oracle import reference

from pylayers.backends.contract import AdamRates, SgdRates
from pylayers.backends.reference import blas, conv, optimizer, parallel, pool, products, rows


@pytest.fixture(autouse=True)
def _three_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parallel, "_threads", 3)
    for module, name in (
        (parallel, "FLAT_PART"),
        (rows, "FLAT_PART"),
        (pool, "PART"),
        (conv, "MOST"),
        (conv, "MOST"),
        (optimizer, "WORTH"),
        (products, "WORTH"),
    ):
        monkeypatch.setattr(module, name, 1000)


def everything() -> list[np.ndarray]:
    """Results of every operation that works in parts."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((9, 3, 12, 14)).astype(np.float32)
    weight, bias = rng.standard_normal((4, 3, 3, 3)).astype(np.float32), rng.standard_normal(4).astype(np.float32)
    geometry = (1, 1), ((1, 1), (1, 1)), (1, 1), 1
    y = reference.conv_forward(x, weight, bias, *geometry, "gelu")
    pooling = (2, 2), (2, 2), (0, 0), (1, 1)
    best, indices = reference.max_pool_forward(y, *pooling, (6, 7))
    mean = (3, 3), (2, 2), (1, 1)
    p, m, v = (rng.random(x.shape).astype(np.float32) for _ in range(3))
    reference.adam([p], [x], [m], [v], [np.zeros(2, np.int32)], AdamRates(0.1, 0.9, 0.99, 1e-8, 0.1))
    logits, table = x.reshape(108, 42), rng.standard_normal((2, 42)).astype(np.float32)
    labels = rng.integers(0, 42, 108)
    loss, _, dlogits = reference.cross_entropy_forward(logits, labels, None, 3, 0.1, "none", "logits", True)
    normal, mean_of_rows, rstd = reference.layer_norm_forward(logits, *table, 1e-5)
    q = p.copy()
    reference.sgd([q], [x], [m], [np.ones(2, np.int32)], SgdRates(0.1, 0.9, 0.0, 0.1, True))
    return [
        y, best, indices, p, m, v, q,
        reference.conv_input_gradient(y, weight, x.shape, *geometry),
        reference.conv_weight_gradient(y, x, weight.shape, *geometry),
        reference.max_pool_backward(best, indices, y.shape, *pooling),
        reference.average_pool_forward(x, *mean, (6, 7), False),
        reference.average_pool_backward(best, y.shape, *mean, False),
        reference.activation_forward(x, "silu"),
        reference.activation_backward(x, p, "silu"),
        reference.dropout(x, 0.5, 1, 2),
        loss, dlogits, reference.cross_entropy_backward(loss, dlogits, np.ones(1, np.float32)),
        normal, mean_of_rows, rstd, *reference.layer_norm_backward(normal, logits, mean_of_rows, rstd, table[0]),
        *(reference.gemm(a, a.T, rng.standard_normal(len(a)).astype(np.float32), "relu") for a in (logits, logits.T)),
        reference.gemm(x[:, 0], x[:, 1], transpose_b=True),
        *reference.attention_forward(x, x, x, None, 0.3, 0),
        reference.column_sum(y.reshape(9, 4, -1)),
        *(reference.softmax_forward(logits, log) for log in (False, True)),
        *(reference.softmax_backward(logits, normal, log) for log in (False, True)),
    ]  # fmt: skip


def test_results_do_not_depend_on_the_number_of_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    several = [everything() for _ in range(3)]
    monkeypatch.setattr(parallel, "_threads", 1)
    alone = everything()
    for results in several:
        for got, want in zip(results, alone, strict=True):
            np.testing.assert_array_equal(got, want)


def test_each_part_runs_once_and_threads_share_the_work() -> None:
    seen: list[tuple[slice, str]] = []
    together = threading.Barrier(3, timeout=30)

    def work(part: slice) -> None:
        if part.start < 3:
            together.wait()  # passes only if three threads work at once
        seen.append((part, threading.current_thread().name))

    parallel.run(work, parallel.parts(40, 1, 1))
    assert sorted(part.start for part, _ in seen) == list(range(40))
    assert len({name for _, name in seen}) == 3


def test_blas_stays_on_the_thread_that_calls_it() -> None:
    found = blas.counters()
    if found is None:
        pytest.skip("NumPy's BLAS is not OpenBLAS")
    get, put = found
    before = get()
    try:
        put(2)
        seen: list[int] = []
        parallel.run(lambda part: parallel.run(lambda inner: seen.append(get()), [part, part]), parallel.parts(9, 1, 1))
        assert seen == [1] * 18
        assert get() == 2
        with pytest.raises(ZeroDivisionError), blas.one_thread():
            raise ZeroDivisionError
        assert get() == 2
    finally:
        put(before)


def test_errors_arrive() -> None:
    def work(part: slice) -> None:
        if part.start == 30:
            raise ZeroDivisionError("part 30")

    with pytest.raises(ZeroDivisionError, match="part 30"):
        parallel.run(work, parallel.parts(40, 1, 1))
    parallel.run(lambda part: None, parallel.parts(40, 1, 1))


def test_threads_are_as_quiet_as_their_caller(recwarn: pytest.WarningsRecorder) -> None:
    x = np.full((10_000,), np.inf, np.float32)
    assert np.isnan(reference.activation_forward(-x, "silu")).all()
    assert not recwarn.list


@pytest.mark.parametrize(
    "count, size, most, want", [(0, 5, 9, 0), (7, 5, 9, 7), (7, 3, 9, 3), (7, 0, 9, 1), (7, 99, 9, 7)]
)
def test_parts_cover_everything(count: int, size: int, most: int, want: int) -> None:
    parts = list(parallel.parts(count, size, most))
    assert len(parts) == want
    assert [i for part in parts for i in range(count)[part]] == list(range(count))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")
def test_a_forked_child_gets_threads_of_its_own() -> None:
    want = reference.activation_forward(np.linspace(-3, 3, 10_000), "tanh")
    child = os.fork()
    if child == 0:
        ok = np.array_equal(reference.activation_forward(np.linspace(-3, 3, 10_000), "tanh"), want)
        os._exit(0 if ok else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_the_environment_limits_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    for value, want in (("1", 1), ("3,2", 3)):
        monkeypatch.setenv("OMP_NUM_THREADS", value)
        assert parallel.usable_cores() == want
    for value in ("", "0", "many"):
        monkeypatch.setenv("OMP_NUM_THREADS", value)
        assert 1 <= parallel.usable_cores() <= (os.cpu_count() or 1)
    parallel.set_num_threads(0)
    assert parallel._threads == 1
