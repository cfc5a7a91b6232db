"""What ops.linear hands to a compiled module without checks of its own: computed as on the reference, or refused so."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import emulated
import fake_cuda
import numpy as np
import pytest
from subject import Subject

import pylayers
from pylayers import backends, ops
from pylayers.dtypes import DTYPES

Draw = Callable[..., np.ndarray]


@pytest.fixture
def integers(rng: np.random.Generator) -> Draw:
    """Integers of this shape, whose products are exact."""

    def draw(*shape: int, dtype: Any = "float32") -> np.ndarray:
        return rng.integers(-3, 4, shape).astype(dtype)

    return draw


@pytest.fixture
def served(integers: Draw) -> Iterator[None]:
    """The emulated backend, which has served a linear before: no call of a test is the first."""
    emulated.load()
    with pylayers.backend("emulated"):
        ops.linear(integers(2, 3), integers(4, 3))
        assert np.ndarray in backends.compiled["emulated"]
        yield


@pytest.fixture
def gpu(integers: Draw) -> Iterator[fake_cuda.FakeCuda]:
    with fake_cuda.installed() as fake:
        ops.linear(fake.array(integers(2, 3)), fake.array(integers(4, 3)))
        fake.launches()
        fake.allocations.clear()
        yield fake


def outcome(*args: Any) -> Any:
    """The result, or what was raised."""
    try:
        return ops.linear(*args)
    except Exception as error:
        return error


SHAPES = [
    ((2, 3), (4, 3), (4,)), ((2, 3), (4, 5), (4,)), ((2, 3), (3, 4), (4,)), ((2, 3), (3,), None),
    ((2, 3), (1, 4, 3), None), ((1, 2, 3), (1, 4, 3), None), ((1, 2, 3), (4, 3), (4,)), ((), (4, 3), None),
    ((3,), (4, 3), (4,)), ((4,), (4, 3), None), ((2, 3), (4, 3), (3,)), ((2, 3), (4, 3), (1,)),
    ((2, 3), (4, 3), (1, 4)), ((2, 3), (4, 3), ()), ((2, 3), (), None), ((2, 1), (4, 3), None), ((2, 3), (4, 1), None),
    ((0, 3), (4, 3), (4,)), ((2, 0), (4, 0), (4,)), ((2, 0), (4, 3), None), ((5, 2, 3), (4, 4), None),
    ((1,) * 9 + (3,), (4, 3), None), ((2, 3), (1,) * 9, None),
]  # fmt: skip


@pytest.mark.parametrize("shapes", SHAPES, ids=str)
@pytest.mark.parametrize("activation", [None, "relu", "swish", 3, ()])
def test_shapes_and_words(integers: Draw, served: None, shapes: Any, activation: Any) -> None:
    args = [None if shape is None else integers(*shape) for shape in shapes]
    got = outcome(*args, activation)
    with pylayers.backend("reference"):
        want = outcome(*args, activation)
    assert type(got) is type(want) and str(got) == str(want)


def test_dtypes(integers: Draw, served: None) -> None:
    """All combinations of three: refused in the reference's words; what it computes and kernels cannot, with theirs."""
    computed, refused = 0, 0
    kinds = [np.dtype(dtype) for dtype in DTYPES.values()] + [np.dtype(">f4"), np.dtype("c8"), np.dtype("O")]
    for dtypes in itertools.product(kinds, repeat=3):
        args = [integers(*shape, dtype=dtype) for shape, dtype in zip(((2, 3), (4, 3), (4,)), dtypes, strict=True)]
        got = outcome(*args)
        with pylayers.backend("reference"):
            want = outcome(*args)
        if isinstance(want, Exception):
            assert type(got) is type(want) and str(got) == str(want), dtypes
            refused += 1
        elif dtypes[0] == np.float64:
            assert isinstance(got, NotImplementedError) and "float64" in str(got)
        else:
            assert got.dtype == want.dtype
            np.testing.assert_array_equal(got, want)
            computed += 1
    assert computed == 3 and refused == len(kinds) ** 3 - 4


@pytest.mark.parametrize("other", [[[1.0] * 3] * 4, None, "weight", 3.0, np.float32(3)], ids=repr)
def test_what_is_no_array(integers: Draw, served: None, other: Any) -> None:
    x, weight = integers(2, 3), integers(4, 3)
    for args in ((other, weight), (x, other), (x, weight, other)):
        got = outcome(*args)
        with pylayers.backend("reference"):
            want = outcome(*args)
        assert type(got) is type(want) and str(got) == str(want)


VIEWS = {
    "vector": lambda x: x[0, 0, 0, 0],
    "vector backwards": lambda x: x[0, 0, 0, 0, ::-1],
    "matrix": lambda x: x[0, 0, 0],
    "every other row": lambda x: x[0, 0, 0, ::2],
    "batch": lambda x: x[0, 0],
    "turned": lambda x: x[0, 0].swapaxes(0, 1),
    "rows of a batch": lambda x: x[0, 0, :, ::2],
    "batch backwards": lambda x: x[0, 0, ::-1],
    "shared by a batch": lambda x: np.broadcast_to(x[0, 0, 0], (3, *x.shape[3:])),
    "one row repeated": lambda x: np.broadcast_to(x[0, 0, 0, :1], (3, 5, x.shape[-1])),
    "four axes": lambda x: x[0],
    "four axes, one batch": lambda x: x[0, :, :, ::2],
    "four axes, turned": lambda x: x[0].transpose(2, 0, 1, 3),
    "four axes, heads": lambda x: x[0].swapaxes(0, 1),
    "four axes, every other": lambda x: x[0, ::2, ::2, ::2],
    "five axes": lambda x: x,
    "five axes, turned": lambda x: x.transpose(3, 0, 1, 2, 4),
    "ones between": lambda x: x[:, None, :, None, 0],
    "columns apart": lambda x: x[0, ..., ::2],
    "nothing": lambda x: x[:, :0],
    "nothing, turned": lambda x: x[0, :, :, :0].swapaxes(0, 1),
}
COPIES = {"four axes, heads", "four axes, every other"}  # which lie like no batch of matrices


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("view", VIEWS)
def test_every_rank_and_stride(integers: Draw, kernels: Subject, view: str, dtype: str) -> None:
    """The module refuses the views that take a copy; the op computes all of them."""
    x = VIEWS[view](integers(2, 3, 4, 5, 16, dtype=DTYPES[dtype]))
    weight, bias = integers(6, x.shape[-1], dtype=x.dtype), integers(6, dtype=x.dtype)
    wide = np.maximum(x.astype(int) @ weight.astype(int).T + bias.astype(int), 0)
    if view in COPIES:
        with pytest.raises(NotImplementedError, match="expected axes that lie like those of at most one batch"):
            kernels("linear", x, weight, bias, "relu", "float32")
    else:
        np.testing.assert_array_equal(kernels("linear", x, weight, bias, "relu", "float32"), wide.astype(x.dtype))
    with pylayers.backend(kernels.name):
        y = ops.linear(*map(kernels.place, (x, weight, bias)), "relu")
    assert y.dtype == x.dtype and y.flags.c_contiguous
    np.testing.assert_array_equal(kernels.take(y), wide.astype(x.dtype))


@pytest.mark.parametrize("view", sorted(set(VIEWS) - COPIES))
def test_one_launch_and_no_copy(integers: Draw, gpu: fake_cuda.FakeCuda, view: str) -> None:
    x = VIEWS[view](integers(2, 3, 4, 5, 16))
    y = ops.linear(gpu.array(x), gpu.array(integers(6, x.shape[-1])))
    assert y.shape == (*x.shape[:-1], 6)
    assert len(gpu.launches()) == (x.size > 0) and [shape for shape, *_ in gpu.allocations] == [y.shape]


def test_devices(integers: Draw, gpu: fake_cuda.FakeCuda) -> None:
    """Memory of another place is refused before anything is launched, whichever operand it is."""
    host = [integers(2, 3), integers(4, 3), integers(4)]
    for odd, elsewhere in itertools.product(range(3), (lambda x: gpu.array(x, 1), np.array)):
        args = [elsewhere(x) if place == odd else gpu.array(x) for place, x in enumerate(host)]
        with pytest.raises(TypeError, match="linear: argument 'device': expected all arrays on one device, got"):
            ops.linear(*args)
        assert not gpu.launches()
    y = ops.linear(*(gpu.array(x, 1) for x in host))
    assert y.device.id == 1 and [r.device for r in gpu.launches()] == [1]


def test_every_operand_of_a_product_lies_beside_it(integers: Draw, gpu: fake_cuda.FakeCuda) -> None:
    """Said by the launcher itself: nobody else stands between these arrays and a kernel."""
    native: Any = backends.load("cuda")
    shapes = {"bias": (4,), "residual": (2, 4), "saved": (2, 4), "scale_a": (1,), "scale_b": (4,)}
    a, b = (gpu.array(integers(*shape)) for shape in ((2, 3), (3, 4)))
    for name, shape in shapes.items():
        x = integers(*shape)
        how = {"activation": "relu"} if name == "saved" else {}
        native.gemm(a, b, **{name: gpu.array(x)}, **how)
        assert len(gpu.launches()) == 1
        for elsewhere, words in ((gpu.array(x, 1), "the memory of GPU 1"), (x, "host memory")):
            with pytest.raises(
                ValueError, match=f"'{name}': expected an array in the memory of GPU 0, as y, got one in {words}"
            ):
                native.gemm(a, b, **{name: elsewhere}, **how)
            assert not gpu.launches()
    with pytest.raises(ValueError, match="'b': expected an array in the memory of GPU 0"):
        native.gemm(a, integers(3, 4))


def test_the_backend_is_that_of_the_block(integers: Draw, served: None) -> None:
    x, weight = integers(2, 3, dtype="float64"), integers(4, 3, dtype="float64")
    with pytest.raises(NotImplementedError):
        ops.linear(x, weight)
    with pylayers.backend("reference"):
        np.testing.assert_array_equal(ops.linear(x, weight), x @ weight.T)
    backends.forget()
    with pytest.raises(NotImplementedError):
        ops.linear(x, weight)
    np.testing.assert_array_equal(ops.linear(integers(2, 3), integers(4, 3)).shape, (2, 4))


def test_precision_reaches_the_module(integers: Draw, gpu: fake_cuda.FakeCuda) -> None:
    x, weight = gpu.array(integers(64, 64)), gpu.array(integers(64, 64))
    kernels = []
    for word in ("highest", "high", "highest"):
        pylayers.set_float32_matmul_precision(word)
        ops.linear(x, weight)
        kernels += [r.kernel for r in gpu.launches()]
    assert "GemmSimt" in kernels[0] and "GemmSm90" in kernels[1] and kernels[2] == kernels[0]
