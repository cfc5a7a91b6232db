"""torch tensors in ops: on their own memory, results as tensors in memory of torch's allocator, on torch's stream."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Iterator
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from fake_torch import FakeTorch, GpuTensor, installed
from open_calls import CALLS, GLUE, NO_KERNEL
from oracle import reference
from subject import map_arrays

import pylayers
import pylayers.nn.functional as F
from pylayers import arrays, ops
from pylayers.arrays import torch_tensors
from pylayers.arrays.torch_tensors import TorchArray
from pylayers.backends.contract import SgdRates

torch = pytest.importorskip("torch")


def tensor(x: np.ndarray) -> Any:
    """A copy in torch's own memory, with the strides of x."""
    made = torch.empty_strided(x.shape, [s // x.itemsize for s in x.strides], dtype=torch_tensors.torch_dtype(x.dtype))
    torch_tensors.host_view(made)[...] = x
    return made


def mapped(change: Any, value: Any) -> Any:
    """`subject.map_arrays` inside dataclasses too."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dataclasses.replace(value, **{f.name: mapped(change, getattr(value, f.name))
                                             for f in dataclasses.fields(value)})  # fmt: skip
    if type(value) in (list, tuple):
        return type(value)(mapped(change, item) for item in value)
    return map_arrays(change, value)


def leaves(value: Any) -> list[Any]:
    """The arrays and tensors in a result."""
    if dataclasses.is_dataclass(value):
        return leaves([getattr(value, field.name) for field in dataclasses.fields(value)])
    if isinstance(value, (list, tuple)):
        return [x for item in value for x in leaves(item)]
    return [value] if isinstance(value, (np.ndarray, torch.Tensor)) else []


def test_every_function_has_a_call() -> None:
    assert set(CALLS) | set(NO_KERNEL) == {
        name for name in vars(ops) if not name.startswith("_") and name != "annotations"
    }


@pytest.mark.parametrize("name", [*CALLS, *NO_KERNEL])
def test_host_tensors_in_tensors_out(name: str) -> None:
    """Every function, lists, tuples and dataclasses of arrays too; what it changes in place is the caller's memory."""
    args = mapped(np.copy, {**CALLS, **NO_KERNEL}[name])
    given = mapped(tensor, args)
    want, got = getattr(ops, name)(*args), getattr(ops, name)(*given)
    expected, found = leaves(want), leaves(got)
    assert len(found) == len(expected)
    assert all(type(y) is torch.Tensor for y in found)
    for y, other in zip(found + leaves(given), expected + leaves(args), strict=True):
        assert y.dtype == torch_tensors.torch_dtype(other.dtype)
        np.testing.assert_array_equal(y.numpy(), other)


@pytest.mark.parametrize("name", sorted(set(CALLS) - {"sgd", "adam", "problem"}))
def test_results_lie_in_memory_of_torchs_allocator(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    args = mapped(tensor, CALLS[name])
    made: list[Any] = []
    original = torch.empty
    monkeypatch.setattr(torch, "empty", lambda *a, **k: made.append(original(*a, **k)) or made[-1])
    results = leaves(getattr(ops, name)(*args))
    places = [(x.untyped_storage().data_ptr(), x.untyped_storage().nbytes()) for x in made + leaves(args)]
    assert results
    for y in results:
        assert any(start <= y.data_ptr() <= start + size for start, size in places)


def test_inputs_and_results_are_not_copied(rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[np.ndarray] = []
    original = reference.linear

    def linear(x: np.ndarray, weight: np.ndarray, *rest: Any) -> np.ndarray:
        y = original(x, weight, *rest)
        seen.extend((x, weight, y))
        return y

    monkeypatch.setattr(reference, "linear", linear)
    x, w = tensor(rng.standard_normal((3, 4))), tensor(rng.standard_normal((4, 5))).T
    y = ops.linear(x, w)
    assert [a.__array_interface__["data"][0] for a in seen] == [x.data_ptr(), w.data_ptr(), y.data_ptr()]
    assert torch.equal(y, torch.from_numpy(original(seen[0], seen[1], None, None, "float32")))


@pytest.mark.parametrize("name", ["float16", "bfloat16", "float32", "float64"])
def test_floating_dtypes(rng: np.random.Generator, name: str) -> None:
    dtype = np.dtype(getattr(ml_dtypes, name, name))
    x, w, b = (rng.standard_normal(shape).astype(dtype) for shape in ((3, 4), (5, 4), (5,)))
    y = ops.linear(tensor(x), tensor(w), tensor(b))
    assert y.dtype == getattr(torch, name)
    np.testing.assert_array_equal(torch_tensors.host_view(y), ops.linear(x, w, b))
    assert torch_tensors.host_view(y.T).strides == ops.linear(x, w, b).T.strides


@pytest.mark.parametrize("name", ["int64", "int32", "uint8", "int8", "int16"])
def test_integers_and_bool(name: str) -> None:
    a, b = torch.arange(6).reshape(2, 3).to(getattr(torch, name)), torch.ones(3, 2, dtype=getattr(torch, name))
    got = ops.matmul(a, b)
    assert got.dtype == a.dtype and torch.equal(got, a @ b)
    mask = torch.tensor([[True, False], [True, True]])
    q = torch.randn(1, 2, 4)
    o, _ = ops.attention(ops.problem(q, q, q, mask))
    want = torch.nn.functional.scaled_dot_product_attention(q, q, q, mask)
    assert float((o - want).abs().max()) <= 1e-6


def test_float8_keeps_its_bits() -> None:
    x = torch.tensor([0.5, -1.0, 240.0]).to(torch.float8_e4m3fn)
    view = torch_tensors.host_view(x)
    assert view.dtype == ml_dtypes.float8_e4m3fn and view.tolist() == [0.5, -1.0, 240.0]
    back = torch_tensors.host_tensor(view)
    assert back.dtype == x.dtype and back.data_ptr() == x.data_ptr()


def test_optimizers_change_the_callers_tensors_and_tell_torch() -> None:
    p, g, m = torch.ones(3), torch.full((3,), 2.0), torch.zeros(3)
    leaf = torch.ones(3, requires_grad=True)
    square = (p * leaf).sum()
    ops.sgd([p], [g], [m], [torch.zeros(2, dtype=torch.int32)], SgdRates(0.5, 0.9))
    assert p.tolist() == [0.0] * 3 and m.tolist() == [2.0] * 3
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        square.backward()
    assert g._version == 0
    ops.sgd(parameters=[p], gradients=[g], momenta=[None], steps=[torch.zeros(2, dtype=torch.int32)],
            rates=SgdRates(1.0))  # fmt: skip
    assert p.tolist() == [-2.0] * 3 and p._version == 2


def test_beside_numpy_the_tensors_win() -> None:
    y = ops.linear(np.ones((2, 3), np.float32), torch.ones(4, 3))
    assert type(y) is torch.Tensor and y.tolist() == [[3.0] * 4] * 2
    assert type(ops.linear(np.ones((2, 3)), np.ones((4, 3)))) is np.ndarray
    assert ops.matmul(np.ones(3), torch.ones(3, dtype=torch.float64)).shape == ()


def refused() -> Iterator[tuple[str, Any, str]]:
    ones = torch.ones(2, 3)
    yield "requires grad", torch.ones(2, 3, requires_grad=True), "without history, got one that requires grad; detach"
    yield "parameter", torch.nn.Parameter(ones), "use pylayers.torch, which records on torch's own tape"
    yield "computed", torch.ones(2, 3, requires_grad=True) * 2, "pylayers.torch"
    yield "sparse", ones.to_sparse(), r"expected a dense torch tensor, got torch.sparse_coo; x.to_dense\(\)"
    yield "meta", ones.to("meta"), "expected a torch tensor on the CPU or a CUDA device, got meta"
    yield "negated", torch.tensor([[1j]]).conj().imag, "a lazily negated or conjugated view; x.resolve_conj"
    yield "complex", ones.to(torch.complex64), "expected a dtype among bool, .*, got torch.complex64"
    yield "uint16", ones.to(torch.uint16), "got torch.uint16"


@pytest.mark.parametrize(
    "name, x, words", list(refused()), ids=lambda v: v if isinstance(v, str) and " " not in v else ""
)
def test_refused(name: str, x: Any, words: str) -> None:
    with pytest.raises(TypeError, match=f"linear: argument 'x': .*{words}"):
        ops.linear(x, torch.ones(4, 3))
    with pytest.raises(TypeError, match=words):
        ops.gradient_norm([torch.ones(3), x])
    with pytest.raises(TypeError, match=words):
        F.linear(x, np.ones((4, 3), np.float32))


def test_functional_takes_tensors_and_returns_tensors_of_ours() -> None:
    x = torch.randn(2, 3)
    y = F.relu(x)
    assert isinstance(y, pylayers.Tensor) and np.array_equal(y.numpy(), x.relu().numpy())
    with pytest.raises(TypeError, match="linear: argument 'x': expected an array, got Tensor"):
        ops.linear(y, np.ones((4, 3), np.float32))  # type: ignore[arg-type]


# ---------------------------------------------------------------------------------------------------- GPU memory


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeTorch]:
    with installed(monkeypatch) as fake:
        yield fake


def on_gpu(gpu: FakeTorch, name: str) -> Any:
    return getattr(ops, name)(*mapped(lambda x: gpu.array(np.copy(x), 1), CALLS[name]))


LAUNCHING = sorted(set(CALLS) - {"problem", *GLUE})


@pytest.mark.parametrize("name", LAUNCHING)
def test_gpu_stream_device_and_allocator(gpu: FakeTorch, name: str) -> None:
    gpu.streams = {0: 111, 1: 222}
    results = leaves(on_gpu(gpu, name))
    launches = gpu.launches()
    assert launches and {(r.stream, r.device) for r in launches} == {(222, 1)}
    assert all(isinstance(y, GpuTensor) and y.number == 1 for y in results)
    assert gpu.allocations and {device for *_, device in gpu.allocations} == {1}


@pytest.mark.parametrize("name", LAUNCHING)
def test_gpu_every_allocation_may_fail(gpu: FakeTorch, name: str) -> None:
    on_gpu(gpu, name)
    whole, count = len(gpu.launches()), len(gpu.allocations)
    for number in range(count):
        gpu.allocations, gpu.fail_at = [], number
        with pytest.raises(MemoryError, match="out of memory"):
            on_gpu(gpu, name)
        assert len(gpu.launches()) < whole
    gpu.fail_at = None
    on_gpu(gpu, name)
    assert len(gpu.launches()) == whole


def test_gpu_tensors_of_two_libraries_are_refused(gpu: FakeTorch) -> None:
    import cupy

    x, w = gpu.array(np.ones((2, 3), np.float32), 0), cupy.empty((4, 3), np.float32)
    with pytest.raises(
        TypeError, match="GPU arrays of one library, which has one stream, got FakeArray and TorchArray"
    ):
        ops.linear(x, w)
    with pytest.raises(TypeError, match="expected all arrays on one device, got cpu and cuda:0"):
        ops.linear(x, np.ones((4, 3), np.float32))


def test_gpu_glue_is_numpys(rng: np.random.Generator) -> None:
    """The names that ops use of an array mean the same on a torch tensor (in host memory here)."""

    def wrap(x: np.ndarray) -> TorchArray:
        return TorchArray(tensor(x))

    for name in GLUE:
        for kind in ("mse", "l1", "binary_cross_entropy", "binary_cross_entropy_with_logits"):
            x, t, dy = (np.asarray(rng.random((3, 4)), np.float32) for _ in range(3))
            args = (x, t, kind) if name == "elementwise_loss" else (dy, x, t, kind)
            want = leaves(getattr(ops, name)(*args))
            inner = getattr(sys.modules["pylayers.operations.loss"], name)
            got = inner(*map_arrays(wrap, args))
            for y, other in zip(got if isinstance(got, tuple) else (got,), want, strict=True):
                assert y.dtype == other.dtype
                assert float(np.abs(y.get() - other).max()) <= 1e-5 * float(np.abs(other).max())
    x = np.asarray(rng.standard_normal((2, 3, 4)), np.float32)
    y = wrap(x)
    for view in (
        lambda a: a.T, lambda a: a.transpose(1, 0, 2), lambda a: a.transpose([2, 0, 1]), lambda a: a.reshape(6, 4),
        lambda a: a.reshape((2, -1)), lambda a: a.swapaxes(0, 2), lambda a: a[None, 1:], lambda a: a[..., None, :],
        lambda a: a[:, :1].squeeze((1,)), lambda a: a.sum(axis=(0, 2), keepdims=True), lambda a: a.sum(axis=1),
        lambda a: a.astype(np.float64), lambda a: arrays.namespace(a).moveaxis(a, 1, -1),
        lambda a: arrays.namespace(a).broadcast_to(a[:, :1], (5, 2, 3, 4)),
    ):  # fmt: skip
        got, want = view(y), view(x)
        assert got.shape == want.shape and got.dtype == want.dtype and got.size == want.size
        assert got.strides == want.strides or want.flags.c_contiguous
        assert float(np.abs(got.get() - want).max()) <= 1e-6 * float(np.abs(want).max())
    mask, xp = np.array([True, False]), arrays.namespace(y)
    chosen = xp.where(wrap(mask), xp.zeros((), np.dtype("f4")), xp.full((), -np.inf, np.dtype("f4")))
    np.testing.assert_array_equal(chosen.get(), np.array([0, -np.inf], np.float32), strict=True)
    with pytest.raises(NotImplementedError, match="have no 'sort' here; with CuPy installed they do"):
        arrays.namespace(y).sort(y)
