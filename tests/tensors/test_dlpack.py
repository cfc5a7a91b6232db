"""Arrays of libraries unknown here: in by DLPack or __cuda_array_interface__, back by their own from_dlpack."""

from __future__ import annotations

import sys
import types
from collections.abc import Iterator
from typing import Any

import fake_cuda
import numpy as np
import pytest
from oracle import reference

import pylayers
import pylayers.nn.functional as F
from pylayers import ops
from pylayers.arrays import exchange
from pylayers.backends.contract import SgdRates

HOST, CUDA = (1, 0), (2, 1)  # DLPack's device type and number


class Foreign:
    """An array that offers nothing but DLPack."""

    def __init__(self, array: Any, device: tuple[int, int] = HOST) -> None:
        self.array, self.device = array, device
        self.streams: list[Any] = []

    def __dlpack__(self, stream: Any = None, **options: Any) -> Any:
        self.streams.append(stream)
        return self.array.__dlpack__(**options)

    def __dlpack_device__(self) -> tuple[int, int]:
        return self.device


class Standard(Foreign):
    """An array of the array API standard, which says where its functions are."""

    def __array_namespace__(self) -> Any:
        return types.SimpleNamespace(from_dlpack=lambda x: Standard(np.from_dlpack(x)))


@pytest.fixture
def library(monkeypatch: pytest.MonkeyPatch) -> types.ModuleType:
    """A library of `Foreign` arrays with a from_dlpack of its own."""
    module: Any = types.ModuleType("a_library")
    module.from_dlpack = lambda x: Foreign(np.from_dlpack(x))
    monkeypatch.setitem(sys.modules, "a_library", module)
    monkeypatch.setattr(Foreign, "__module__", "a_library.arrays")
    return module


def f32(*shape: int) -> np.ndarray:
    return np.random.default_rng(len(shape)).standard_normal(shape).astype(np.float32)


def test_in_without_a_copy_and_back_by_the_modules_from_dlpack(
    library: types.ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[np.ndarray] = []
    original = reference.linear
    monkeypatch.setattr(reference, "linear", lambda a, b, *rest: seen.extend((a, b)) or original(a, b, *rest))
    x, w = f32(2, 3), f32(4, 3)
    y = ops.linear(Foreign(x), Foreign(w))  # type: ignore[arg-type]
    assert type(y) is Foreign
    assert np.shares_memory(seen[0], x) and np.shares_memory(seen[1], w)
    np.testing.assert_array_equal(y.array, ops.linear(x, w))


def test_back_by_the_arrays_own_namespace() -> None:
    y, mean = ops.layer_norm(Standard(f32(4, 3)), 3)  # type: ignore[arg-type]
    assert type(y) is Standard and all(type(m) is Standard for m in mean)
    np.testing.assert_array_equal(y.array, ops.layer_norm(f32(4, 3), 3)[0])


def test_without_a_from_dlpack_results_are_numpys() -> None:
    y = ops.softmax(Foreign(f32(3, 4)))  # type: ignore[arg-type]
    assert type(y) is np.ndarray
    np.testing.assert_array_equal(y, ops.softmax(f32(3, 4)))


def test_lists_and_the_first_foreign_library_decides(library: types.ModuleType) -> None:
    norm = ops.gradient_norm([Foreign(f32(3)), f32(4)])  # type: ignore[list-item]
    assert type(norm) is Foreign
    assert type(ops.linear(Foreign(f32(2, 3)), f32(4, 3))) is Foreign  # type: ignore[arg-type]


def test_what_may_not_be_written_is_not(library: types.ModuleType) -> None:
    """Arrays that a library exports as read-only are refused where an op would change them."""
    frozen = f32(3)
    frozen.flags.writeable = False
    steps = [np.zeros(2, np.int32)]
    with pytest.raises(TypeError, match=r"sgd: argument 'parameters\[0\]': expected memory that may be written, got a"):
        ops.sgd([frozen], [f32(3)], [None], steps, SgdRates(0.1))
    p = f32(3)
    before = p.copy()
    ops.sgd([p], [Foreign(f32(3))], [None], steps, SgdRates(0.1))  # type: ignore[list-item]
    np.testing.assert_allclose(p, before - np.float32(0.1) * f32(3), rtol=1e-6)


def test_what_dlpack_cannot_carry() -> None:
    class Broken(Foreign):
        def __dlpack__(self, stream: Any = None, **options: Any) -> Any:
            raise BufferError("this dtype has no code")

    with pytest.raises(
        TypeError, match="linear: argument 'x': expected an array that DLPack can carry, got Broken: this"
    ):
        ops.linear(Broken(f32(2, 3)), f32(4, 3))  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="an array that DLPack can carry"):
        F.linear(Broken(f32(2, 3)), f32(4, 3))


def test_functional_takes_them_and_tensors_give_themselves(library: types.ModuleType) -> None:
    y = F.relu(Foreign(f32(2, 3)))
    assert isinstance(y, pylayers.Tensor)
    np.testing.assert_array_equal(np.from_dlpack(y), np.maximum(f32(2, 3), 0))


def test_jax() -> None:
    jax = pytest.importorskip("jax")
    x, w = jax.numpy.ones((2, 3)), jax.numpy.ones((4, 3))
    y = ops.linear(x, w)
    assert isinstance(y, jax.Array) and y.tolist() == [[3.0] * 4] * 2


# ------------------------------------------------------------------------------------------------------------- GPU


@pytest.fixture
def gpu() -> Iterator[fake_cuda.FakeCuda]:
    with fake_cuda.installed() as fake:
        yield fake


def test_gpu_arrays_enter_by_cupy_on_its_stream(gpu: fake_cuda.FakeCuda, library: Any) -> None:
    """CuPy's from_dlpack speaks the protocol about streams; results leave by the producer's own."""
    cupy: Any = sys.modules["cupy"]
    gpu.streams = {1: 222}
    taken: list[Any] = []

    def from_dlpack(x: Foreign) -> Any:
        taken.append(x)
        return gpu.array(x.array, 1)

    cupy.from_dlpack = from_dlpack
    library.from_dlpack = lambda y: ("back", y)
    x, w = Foreign(f32(2, 3), CUDA), Foreign(f32(4, 3), CUDA)
    word, y = ops.linear(x, w)  # type: ignore[arg-type]
    assert taken == [x, w] and word == "back" and isinstance(y, fake_cuda.FakeArray)
    assert {(r.stream, r.device) for r in gpu.launches()} == {(222, 1)}


def test_cuda_array_interface_enters_without_a_copy(gpu: fake_cuda.FakeCuda) -> None:
    cupy: Any = sys.modules["cupy"]
    cupy.asarray = lambda x: gpu.array(x.array, 0)

    class Interface:
        __cuda_array_interface__: dict[str, Any] = {"version": 3}

        def __init__(self, array: np.ndarray) -> None:
            self.array = array

    x = f32(3, 4)
    y = ops.activation_forward(Interface(x), "relu")
    assert isinstance(y, fake_cuda.FakeArray) and y.shape == (3, 4)
    assert len(gpu.launches()) == 1


def test_numpy_and_cupy_take_the_short_way(gpu: fake_cuda.FakeCuda, monkeypatch: pytest.MonkeyPatch) -> None:
    """After the first call of a type nothing is looked into any more."""
    ops.linear(gpu.array(f32(2, 3)), gpu.array(f32(4, 3)))
    assert {np.ndarray, fake_cuda.FakeArray} <= exchange.NATIVE
    monkeypatch.setattr(exchange, "_exchange", None)
    ops.linear(gpu.array(f32(2, 3)), gpu.array(f32(4, 3)), activation="relu")
    assert type(ops.linear(f32(2, 3), weight=f32(4, 3))) is np.ndarray
