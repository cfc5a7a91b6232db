"""The families of the benchmark as the tests see them: their small cases, places for them."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from bench_package import module

places, Absent = module("harness.places"), module("harness.contract").Absent

Array = Any
Arrays = dict[str, Array]
FAMILIES: dict[str, Any] = {family.name: family for family in module("harness.run").load(["all"])}


def small_cases() -> list[Any]:
    """Every tiny or quick case; what is not tiny is left out of the quick run of the tests."""
    return [
        pytest.param(family, case, id=f"{name}-{case.name}", marks=[] if tiny(case) else pytest.mark.slow)
        for name, family in FAMILIES.items()
        for case in family.cases
        if case.quick or tiny(case)
    ]


def tiny(case: Any) -> bool:
    """Whether a call takes no time."""
    return case.group == "tiny" and case.bytes < 2**18


def tiny_cases(*dtypes: str) -> list[Any]:
    """The smallest of each family."""
    return [
        pytest.param(family, case, id=f"{name}-{case.name}")
        for name, family in FAMILIES.items()
        for case in family.cases
        if tiny(case) and (not dtypes or case.dtype in dtypes)
    ]


def host(case: Any, backend: str = "reference", seed: int = 0) -> Any:
    """A place whose numbers follow from the case's name."""
    return places.HostPlace(backend, zlib.crc32(f"{case.name} {seed}".encode()))


def copied(arrays: Arrays) -> Arrays:
    """New memory."""
    return {name: x.copy() for name, x in arrays.items()}


def own_results(family: Any, case: Any, place: Any, arrays: Arrays) -> list[Array]:
    """What the reference makes of a copy of the arrays, in memory of its own."""
    ours = family.contenders(case, place)[0]
    if isinstance(ours, Absent):
        pytest.skip(ours.reason)
    return [np.array(place.array(y)) for y in ours.prepare(copied(arrays))()]


def ratio(family: Any, case: Any, place: Any, arrays: Arrays, results: Sequence[Array]) -> float:
    """Of the worst error to its bound."""
    return family.deviation(case, place, arrays, results).ratio


def ten_bits(x: Array) -> Array:
    """float32 with the mantissa of TF32, to the nearest."""
    if x.dtype != np.float32:
        return x
    return ((x.view(np.uint32) + np.uint32(0x1000)) & np.uint32(0xFFFFE000)).view(np.float32)
