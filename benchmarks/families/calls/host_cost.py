"""What one call of `linear` costs up to the recorded launch, item by item, beside numpy's and torch's own; in ns.

No GPU is needed: the compiled module only records. Two kinds of arrays stand for those of a GPU: NumPy's, and
`DeviceArray`, whose attributes are read as CuPy's are, at about their price (CuPy 14.2 beside it: data.ptr 44 ns, dtype
18, shape 72, strides 77), in memory from NumPy's allocator. What CuPy itself needs to make an array (2 us) and to name
the current stream and device is not in the figures. For a quiet machine:
`python -m benchmarks.families.calls.host_cost`.
"""

from __future__ import annotations

import contextlib
import importlib
import sys
import timeit
import types
from collections.abc import Callable, Iterable, Iterator
from operator import attrgetter
from typing import Any, NamedTuple

import numpy as np

import pylayers.nn.functional as F
from pylayers import arrays, backends, nn
from pylayers.autograd import Tensor, no_grad
from pylayers.context import backend
from pylayers.operations.linear import linear
from pylayers.ops import linear as open_linear

from .family import COLUMNS, INNER, ROWS

CALLS, REPEATS = 2000, 41


class Recorder:
    """The compiled module where it is not built: takes a launch and does nothing but allocate."""

    def linear(self, x: Any, weight: Any, *rest: Any) -> Any:
        """y = x weight^T, not computed."""
        empty, device, _ = rest[-1]
        return empty((x.shape[0], weight.shape[0]), x.dtype, device)


class Pointer:
    """Where memory lies."""

    __slots__ = ("device_id", "ptr")

    def __init__(self, ptr: int) -> None:
        self.ptr, self.device_id = ptr, 0


class DeviceArray:
    """What is asked of a CuPy array; shape and strides make new tuples, as there."""

    __slots__ = ("data", "dtype", "layout")
    shape, strides = property(attrgetter("layout.shape")), property(attrgetter("layout.strides"))
    ndim, size, itemsize = (property(attrgetter(f"layout.{name}")) for name in ("ndim", "size", "itemsize"))
    base = None

    def __init__(self, layout: np.ndarray) -> None:
        self.layout, self.dtype, self.data = layout, layout.dtype, POINTER


POINTER = Pointer(4096)


def empty(shape: tuple[int, ...], dtype: Any) -> DeviceArray:
    """New memory, from NumPy's own allocator."""
    return DeviceArray(np.empty(shape, dtype))


class CurrentStream(NamedTuple):
    """The default one."""

    ptr: int


def stand_in() -> types.ModuleType:
    """What pylayers uses of CuPy."""
    cupy: Any = types.ModuleType("cupy")
    cupy.ndarray, cupy.empty, stream = DeviceArray, empty, CurrentStream(0)
    runtime = types.SimpleNamespace(getDevice=int)
    cupy.cuda = types.SimpleNamespace(get_current_stream={0: stream}.__getitem__, runtime=runtime, Device=None)
    return cupy


@contextlib.contextmanager
def recorded() -> Iterator[str]:
    """Runs a block on the recording module and the stand-in; says which module that is."""
    try:
        module: Any = importlib.import_module("pylayers._cuda")
        module.record(True)
        name = "the compiled module in its recording mode"
    except ImportError:
        module, name = Recorder(), "a function that does nothing (the CUDA module is not built)"
    places = {"cupy": stand_in(), "pylayers._cuda": module, "pylayers._emulated": module}
    before = {name: sys.modules.get(name) for name in places}
    sys.modules.update(places)
    arrays.cupy_library.cache_clear()
    backends.forget()
    try:
        yield name
    finally:
        for place, found in before.items():
            if found is None:
                del sys.modules[place]
            else:
                sys.modules[place] = found
        arrays.libraries.pop(DeviceArray, None)
        arrays.cupy_library.cache_clear()
        backends.forget()
        if not isinstance(module, Recorder):
            module.take_records()
            module.record(False)


def cost(call: Callable[[], Any]) -> tuple[float, float]:
    """The least and the median of the repeats, in ns, without what calling a function that does nothing costs."""

    def times(function: Callable[[], Any]) -> list[float]:
        return sorted(seconds / CALLS * 1e9 for seconds in timeit.repeat(function, number=CALLS, repeat=REPEATS))

    own, none = times(call), times(lambda: None)
    return own[0] - none[0], own[REPEATS // 2] - none[REPEATS // 2]


def data() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """x (rows, inner), weight (columns, inner), bias (columns,)."""
    return tuple(np.ones(shape, np.float32) for shape in ((ROWS, INNER), (COLUMNS, INNER), (COLUMNS,)))  # type: ignore[return-value]


Place = Callable[[np.ndarray], Any]  # makes an array of one of the two kinds
Costs = Iterator[tuple[str, tuple[float, float]]]


def whole_calls(place: Place) -> Costs:
    """Calls as users make them, to the recorded launch."""
    x, weight, bias = map(place, data())
    tensor, constants = Tensor(x), (Tensor(weight), Tensor(bias))
    leaves = [Tensor(p, requires_grad=True) for p in (weight, bias)]
    layer = nn.Linear(INNER, COLUMNS)
    for parameter, array in ((layer.weight, weight), (layer.bias, bias)):
        assert parameter is not None
        parameter.array = array
    yield "functional.linear, with grad", cost(lambda: F.linear(tensor, *leaves))
    yield "nn.Linear, with grad", cost(lambda: layer(tensor))
    with no_grad():
        yield "functional.linear, without grad", cost(lambda: F.linear(tensor, *constants))
        yield "nn.Linear, without grad", cost(lambda: layer(tensor))
    yield "ops.linear", cost(lambda: open_linear(x, weight, bias))


def items(place: Place) -> Costs:
    """What `functional.linear` with grad is made of."""
    x, weight, bias = map(place, data())
    tensor, leaves = Tensor(x), [Tensor(p, requires_grad=True) for p in (weight, bias)]
    constants = Tensor(weight), Tensor(bias)
    native: Any = backends.of("linear", x, weight, bias)
    library, dtype = arrays.library(x), np.dtype(np.float32)
    caller = library.caller(x)

    plain = cost(lambda: linear(x, weight, bias))
    with no_grad():
        wrapped = cost(lambda: F.linear(tensor, *constants))
    product = cost(lambda: native.linear(x, weight, bias, None, "float32"))
    memory = cost(lambda: library.empty((ROWS, COLUMNS), dtype, caller[1]))
    launch = cost(lambda: native.module.linear(x, weight, bias, None, "float32", caller))
    yield "tape: the record", less(cost(lambda: F.linear(tensor, *leaves)), wrapped)
    yield "tape: tensors in and out", less(wrapped, plain)
    yield "ops: the module, precision, calls", less(plain, product)
    yield "native: library and stream, calls", less(product, launch)
    yield "native: allocation of y", memory
    yield "native: arrays across, plan, record", less(launch, memory)


def less(whole: tuple[float, float], *parts: tuple[float, float]) -> tuple[float, float]:
    """The whole without its parts."""
    return whole[0] - sum(least for least, _ in parts), whole[1] - sum(median for _, median in parts)


def peers() -> Costs:
    """The same of others, which compute it."""
    x, weight, bias = data()
    yield "numpy: x @ weight.T + bias", cost(lambda: x @ weight.T + bias)
    try:
        import torch
    except ImportError:
        return
    torch.set_num_threads(1)
    tensors = [torch.from_numpy(array) for array in (x, weight, bias)]
    yield "torch: functional.linear, without grad", cost(lambda: torch.nn.functional.linear(*tensors))
    leaves = [t.clone().requires_grad_() for t in tensors[1:]]
    yield "torch: functional.linear, with grad", cost(lambda: torch.nn.functional.linear(tensors[0], *leaves))
    layer = torch.nn.Linear(INNER, COLUMNS)
    yield "torch: nn.Linear, with grad", cost(lambda: layer(tensors[0]))


def show(title: str, *columns: Iterable[tuple[str, tuple[float, float]]]) -> None:
    """Prints rows with the least and the median of each column."""
    print(f"\n{title}")
    for rows in zip(*columns, strict=True):
        print(f"  {rows[0][0]:<40}" + "".join(f"{least:10.0f} {median:7.0f}" for _, (least, median) in rows))


def main() -> None:
    """Prints the tables."""
    numpys, others = {}, {}
    with recorded() as name:
        for table in (whole_calls, items):
            with backend("emulated"):
                numpys[table] = list(table(np.asarray))
            others[table] = list(table(DeviceArray))
    print(f"x ({ROWS}, {INNER}), weight ({COLUMNS}, {INNER}); launches go to {name}; ns, the least and the median")
    show("to the recorded launch: NumPy arrays, arrays as CuPy's", numpys[whole_calls], others[whole_calls])
    show("functional.linear with grad: the same", numpys[items], others[items])
    show("others, which compute it", peers())


if __name__ == "__main__":
    main()
