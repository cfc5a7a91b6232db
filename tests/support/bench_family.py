"""A family of one small product, its honest contender and the cheats that a harness has to find out."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
from bench_package import module
from simulated_device import FixedRoofline, later

family, measure, results = (module(f"harness.{name}") for name in ("contract", "measure", "results"))
SETTINGS = measure.Settings(rounds=5, fewest_rounds=5, sample_s=2e-4, case_s=60.0)
M, N, K = 24, 20, 512
CALL_S = 30e-6  # of the simulated kernel
# y = a b in float32, whatever the order of the sums: k u |a||b|
PERF_COUNTER = time.perf_counter
FLOP, BYTES = 2 * M * N * K, 4 * (M * K + K * N + M * N)
CASE = family.Case("product", f"float32 {M}x{N}x{K}", "small", "float32", FLOP, BYTES, {}, quick=True)
Prepare = Callable[[Any], Callable[[dict[str, np.ndarray]], Callable[[], Sequence[np.ndarray]]]]


def row(name: str, seconds: float, **about: Any) -> Any:
    """Five samples around so many seconds."""
    case = about.pop("case", CASE)
    known = {"place": "cpu", "backend": "reference", "status": "measured", "cold": True, "error": 1e-6}
    found = results.row_of(case, **({"contender": name, "ours": name == "pylayers"} | known | about))
    found.samples_s = found.wall_s = found.host_s = [seconds * (1 + 0.001 * step) for step in (-2, -1, 0, 1, 2)]
    return found


ROOFLINE = {"kind": "roofline", "place": "cpu", "copy_bytes_per_s": 1e10, "read_bytes_per_s": 2e10,
            "flop_per_s": {"float32": 1e11, "float64": 0.0}, "how": "made up"}  # fmt: skip


def product(a: np.ndarray, b: np.ndarray, y: np.ndarray) -> None:
    np.matmul(a, b, out=y)


def start(place: Any, work: Callable[[], Any], seconds: float = CALL_S, stream: str = "main") -> None:
    """A kernel: on the simulated device in a stream, on the host at once."""
    if place.device.asynchronous:
        place.device.launch(work, seconds, stream)
    else:
        work()


def contender(body: Callable[[Any, np.ndarray, np.ndarray, np.ndarray], Any]) -> Prepare:
    """`body(place, a, b, y)` starts what fills y, which is returned, or what the body returns in its place."""

    def for_place(place: Any) -> Any:
        def prepare(x: dict[str, np.ndarray]) -> Any:
            y = place.xp.zeros((M, N), np.float32)

            def call() -> Sequence[np.ndarray]:
                instead = body(place, x["a"], x["b"], y)
                return (y,) if instead is None else instead

            return call

        return prepare

    return for_place


def honest(place: Any, a: np.ndarray, b: np.ndarray, y: np.ndarray) -> None:
    start(place, lambda: product(a, b, y))


def empty_output(place: Any, a: np.ndarray, b: np.ndarray, y: np.ndarray) -> None:
    start(place, lambda: None)


def no_output(place: Any, a: np.ndarray, b: np.ndarray, y: np.ndarray) -> Any:
    start(place, lambda: None)
    return ()


def no_elements(place: Any, a: np.ndarray, b: np.ndarray, y: np.ndarray) -> Any:
    start(place, lambda: None)
    return (y[:0],)


def one_element_short(place: Any, a: np.ndarray, b: np.ndarray, y: np.ndarray) -> None:
    """As a kernel that drops its tail."""
    start(place, lambda: np.matmul(a[:-1], b, out=y[:-1]))


def zeroed_inputs(place: Any, a: np.ndarray, b: np.ndarray, y: np.ndarray) -> None:
    def work() -> None:
        a[...] = 0
        product(a, b, y)

    start(place, work)


def nan_output(place: Any, a: np.ndarray, b: np.ndarray, y: np.ndarray) -> None:
    start(place, lambda: y.fill(np.nan))


def constant_output(place: Any, a: np.ndarray, b: np.ndarray, y: np.ndarray) -> None:
    start(place, lambda: y.fill(0.25))


def half_sums(place: Any, a: np.ndarray, b: np.ndarray, y: np.ndarray) -> None:
    """Accumulates in float16."""

    def work() -> None:
        total = np.zeros((M, N), np.float16)
        for k in range(K):
            total += (a[:, k, None] * b[k]).astype(np.float16)
        y[...] = total

    start(place, work)


def side_stream(place: Any, a: np.ndarray, b: np.ndarray, y: np.ndarray) -> None:
    start(place, lambda: product(a, b, y), stream="side")


def deferred_thread(place: Any, a: np.ndarray, b: np.ndarray, y: np.ndarray) -> None:
    """The call leaves the work for a thread, which begins when nobody looks any more."""
    start(place, lambda: None)
    threading.Thread(target=later(lambda: product(a, b, y), 0.05)).start()


def lazy_output(place: Any, a: np.ndarray, b: np.ndarray, y: np.ndarray) -> Any:
    """Something that computes when it is looked at."""

    class Lazy(np.ndarray):
        """Not there yet."""

        def view(self, *how: Any) -> Any:
            product(a, b, y)
            return y.view(*how)

    start(place, lambda: None)
    return (y.view(Lazy),)


def turned_clock(place: Any, a: np.ndarray, b: np.ndarray, y: np.ndarray) -> None:
    """Time passes a tenth as quickly from here on."""
    start(place, lambda: product(a, b, y))
    if time.perf_counter is PERF_COUNTER:
        time.perf_counter = lambda: PERF_COUNTER() / 10


def zeroed_in_between(place: Any, a: np.ndarray, b: np.ndarray, y: np.ndarray) -> None:
    """Leaves zeros for others in one call of many."""
    start(place, lambda: product(a, b, y))
    if place.device.asynchronous and place.device.samples % 3 == 1:
        start(place, lambda: a.fill(0))


def every_other_call() -> Prepare:
    """Writes what it wrote the last time in every second call."""
    known: list[Any] = [None, 0]

    def body(place: Any, a: np.ndarray, b: np.ndarray, y: np.ndarray) -> None:
        known[1] += 1
        if known[1] % 2 or known[0] is None or known[1] <= 6:
            start(place, lambda: (product(a, b, y), known.__setitem__(0, y.copy())))
        else:
            start(place, lambda: y.__setitem__(..., known[0]), CALL_S / 10)

    return contender(body)


def memo() -> Prepare:
    """Remembers results by the numbers in the arguments."""
    known: dict[bytes, np.ndarray] = {}

    def body(place: Any, a: np.ndarray, b: np.ndarray, y: np.ndarray) -> None:
        key = a.tobytes() + b.tobytes()
        seconds = CALL_S / 10 if key in known else CALL_S
        if key not in known:
            known[key] = a @ b
        start(place, lambda: y.__setitem__(..., known[key]), seconds)

    return contender(body)


def background(seconds: float) -> Prepare:
    """The work is a thread's, which takes so long and has done it when the next call comes."""
    waiting: list[threading.Thread] = []

    def body(place: Any, a: np.ndarray, b: np.ndarray, y: np.ndarray) -> None:
        def work() -> None:
            end = PERF_COUNTER() + seconds
            while PERF_COUNTER() < end:
                product(a, b, y)

        if waiting:
            waiting.pop().join()
        product(a, b, y)  # this call's result is there at once; what it prepares is the next one's
        waiting.append(threading.Thread(target=work))
        waiting[0].start()

    return contender(body)


def cached(copies: bool) -> Prepare:
    """Remembers results by the addresses of the arguments, and gives the array away or a copy of it."""
    known: dict[tuple[int, int], np.ndarray] = {}

    def body(place: Any, a: np.ndarray, b: np.ndarray, y: np.ndarray) -> Any:
        key = a.ctypes.data, b.ctypes.data
        if key not in known:
            known[key] = a @ b
        start(place, lambda: y.__setitem__(..., known[key]))
        return None if copies else (known[key],)

    return contender(body)


def after(calls: int, cheat: Callable[..., Any]) -> Prepare:
    """Honest for so many calls, until it may believe that nobody looks any more."""
    seen = [0]

    def body(place: Any, a: np.ndarray, b: np.ndarray, y: np.ndarray) -> Any:
        seen[0] += 1
        return (honest if seen[0] <= calls else cheat)(place, a, b, y)

    return contender(body)


def deviation(case: Any, place: Any, inputs: dict[str, np.ndarray], results: Sequence[np.ndarray]) -> Any:
    """Against float64; a sum of k float32 products, in any order, is off by k u |a||b| at most."""
    a, b = inputs["a"].astype(np.float64), inputs["b"].astype(np.float64)
    wrong = np.abs(results[0] - a @ b)
    return family.Deviation(float(wrong.max()), float((wrong / (K * 2.0**-24 * (np.abs(a) @ np.abs(b)))).max()))


def product_family(**contenders: Prepare) -> Any:
    """The family with these contenders; "ours" is ours."""

    def entries(case: Any, place: Any) -> list[Any]:
        return [
            family.Contender(name, "1", "float32", make(place), ours=name == "ours")
            for name, make in contenders.items()
        ]

    def inputs(case: Any, place: Any) -> dict[str, np.ndarray]:
        return {"a": place.normal((M, K), "float32"), "b": place.normal((K, N), "float32")}

    return SimpleNamespace(
        name="product", cases=[CASE], changed=(), inputs=inputs, contenders=entries, deviation=deviation
    )


def rows(family: Any, place: Any, settings: Any = SETTINGS) -> list[Any]:
    """The rows of the family's case under ceilings that nothing reaches."""
    return measure.measure(family, family.cases[0], place, FixedRoofline(place, 1e13, 1e15), settings)
