"""What this place can do at most, measured in the same run: bytes and dense products in a second."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from .ceilings import Ceilings
from .contract import Array
from .places import HostPlace
from .results import Row
from .timing import sample

HOW = "the quickest of several: copies (read + write) and sums (read) of arrays beyond the cache; square products"
DTYPES = {
    "cpu": ("float32", "float64"),
    "cuda": ("bfloat16", "float16", "float8_e4m3fn", "int8", "tf32", "float32", "float64"),
}
SIDES = {"cpu": (512, 1024), "cuda": (4096, 8192)}
REPEATS = 8
SECOND_LOOKS = 3
# Ceilings measured twice differ by less. A CPU's clock, and what else runs on it, change from one second to the next.
GUARD = {"cpu": 1.25, "cuda": 1.05}


class Roofline:
    """The ceilings of one place."""

    def __init__(self, place: HostPlace) -> None:
        self.place, self.kind = place, "cuda" if place.device.asynchronous else "cpu"
        self.copy_bytes_per_s = self.read_bytes_per_s = 0.0
        self.flop_per_s: dict[str, float] = {}

    def measure(self) -> Roofline:
        """Measures everything."""
        with self.place.current():
            self.measure_bytes()
            for dtype in DTYPES[self.kind]:
                self.measure_products(dtype)
        return self

    def measure_bytes(self) -> None:
        """Bandwidths; once more, it keeps the larger of both."""
        place = self.place
        size = max(4 * place.cache_bytes, 1 << 28 if self.kind == "cuda" else 0) // 4
        x = place.normal((size,), "float32")
        copies, reads = byte_calls(place, x, place.xp.empty_like(x))
        self.copy_bytes_per_s = max(self.copy_bytes_per_s, *(2 * x.nbytes / self._quickest(call) for call in copies))
        self.read_bytes_per_s = max(self.read_bytes_per_s, *(x.nbytes / self._quickest(call) for call in reads))

    def measure_products(self, dtype: str) -> None:
        """The rate of a dtype; once more, it keeps the larger of both."""
        rates = [self.flop_per_s.get(dtype, 0.0)]
        for side in SIDES[self.kind]:
            shape, stored = (side, side), "float32" if dtype == "tf32" else dtype
            with contextlib.suppress(NotImplementedError):  # without torch there are no numbers of 8 bits on a GPU
                a, b = (self.place.normal(shape, stored, 16.0 if dtype == "int8" else 1.0) for _ in range(2))
                for product in products(self.place, a, b, dtype):
                    with contextlib.suppress(Exception):  # who cannot multiply these sets no ceiling
                        rates.append(2 * side**3 / self._quickest(product))
        self.flop_per_s[dtype] = max(rates)

    def _quickest(self, call: Callable[[], Any]) -> float:
        call()
        self.place.device.synchronize()
        return min(sample(self.place.device, [lambda: [call()]], [0, 0])[0].device_s for _ in range(REPEATS))

    def least_s(self, row: Row) -> float:
        """The roofline's time for the row."""
        return Ceilings.of(self.record()).least_s(row)

    def beyond(self, row: Row, call_s: float) -> float:
        """0, or the least time where `call_s` is below it even after the ceilings were measured again."""
        for _ in range(SECOND_LOOKS):
            if call_s * GUARD[self.kind] >= self.least_s(row):
                return 0.0
            if row.cold:
                self.measure_bytes()
            name = Ceilings.of(self.record()).name(row)
            if name in self.flop_per_s:
                self.measure_products(name)
        least = self.least_s(row) / GUARD[self.kind]
        return least if call_s < least else 0.0

    def record(self) -> dict[str, Any]:
        """As a line of the results."""
        bandwidths = {"copy_bytes_per_s": self.copy_bytes_per_s, "read_bytes_per_s": self.read_bytes_per_s}
        return {"kind": "roofline", "place": self.place.name, **bandwidths, "flop_per_s": self.flop_per_s, "how": HOW}


def byte_calls(place: HostPlace, x: Array, y: Array) -> tuple[list[Callable[[], Any]], list[Callable[[], Any]]]:
    """Calls that copy x to y, and calls that read x."""
    copies: list[Callable[[], Any]] = []
    reads: list[Callable[[], Any]] = []
    if place.xp is np:
        count = os.cpu_count() or 1
        pool = ThreadPoolExecutor(count)
        parts = list(zip(np.array_split(x, count), np.array_split(y, count)))
        copies.append(lambda: list(pool.map(lambda part: np.copyto(part[1], part[0]), parts)))
        reads.append(lambda: list(pool.map(lambda part: part[0].sum(), parts)))
    else:
        copies.append(lambda: place.xp.copyto(y, x))
        reads.append(x.sum)
    if place.torch_module() is not None:
        s, t = place.torch(x), place.torch(y)
        copies.append(lambda: t.copy_(s))
        reads.append(s.sum)
    return copies, reads


def products(place: HostPlace, a: Array, b: Array, dtype: str) -> Iterator[Callable[[], Any]]:
    """Calls that multiply two matrices; "tf32" is a way to multiply float32."""
    if dtype in ("float16", "float32", "float64"):
        yield lambda: place.xp.matmul(a, b)
    torch = place.torch_module()
    if torch is None:
        return
    s, t = place.torch(a), place.torch(b)
    if dtype == "int8":
        yield lambda: torch._int_mm(s, t.t())  # as tensor cores of 8 bits read it: both along k
    elif dtype == "float8_e4m3fn":
        one = torch.ones((), device=s.device)
        yield lambda: torch._scaled_mm(s, t.t(), one, one, out_dtype=torch.bfloat16)
    else:

        def multiply() -> Any:
            before = torch.get_float32_matmul_precision()
            torch.set_float32_matmul_precision("high" if dtype == "tf32" else "highest")
            try:
                return torch.mm(s, t)
            finally:
                torch.set_float32_matmul_precision(before)

        yield multiply
