"""Functions and methods of Tensor against torch, in values and gradients, against goldens by hand, and their errors."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
from tensor_cases import CASES, PLAIN_CASES

import pylayers

pytestmark = pytest.mark.filterwarnings("error")  # torch warns of no overflow and no division by zero either


def inputs(dtype: str, seed: int) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    # Away from 0 and from one another, where the functions have kinks and poles.
    values = rng.permutation(np.linspace(-2, 2, 40)) + 0.013
    return [
        values[:12].reshape(3, 4).astype(dtype),
        values[12:16].astype(dtype),
        values[16:].reshape(2, 3, 4).astype(dtype),
    ]


def close(found: np.ndarray, wanted: np.ndarray) -> bool:
    if wanted.dtype == np.float64:
        tolerance = 1e-10
    else:
        tolerance = 1e-5 * max(1.0, np.nanmax(np.abs(wanted), initial=0.0))
    return bool(np.nanmax(np.abs(found - wanted), initial=0.0) <= tolerance) and np.array_equal(
        np.isnan(found), np.isnan(wanted)
    )


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("case", CASES)
def test_against_torch(case: str, dtype: str) -> None:
    torch = pytest.importorskip("torch")
    arrays = inputs(dtype, len(case))
    ours = [pylayers.tensor(x, requires_grad=True) for x in arrays]
    theirs = [torch.tensor(x, requires_grad=True) for x in arrays]
    found, wanted = CASES[case](pylayers, *ours), CASES[case](torch, *theirs)
    assert found.shape == tuple(wanted.shape)
    assert f"torch.{found.dtype.name}" == str(wanted.dtype)
    assert close(found.detach().numpy(), wanted.detach().numpy())
    cotangent = np.random.default_rng(1).standard_normal(found.shape).astype(found.dtype)
    found.backward(pylayers.tensor(cotangent))
    wanted.backward(torch.tensor(cotangent))
    used = 0
    for mine, reference in zip(ours, theirs, strict=True):
        assert (mine.grad is None) == (reference.grad is None)
        if mine.grad is not None:
            used += 1
            assert mine.grad.dtype == mine.dtype
            assert close(mine.grad.numpy(), reference.grad.numpy())
    assert used


def flat(results: Any) -> list[Any]:
    return [y for x in results for y in (flat(x) if isinstance(x, (tuple, list)) else [x])]


@pytest.mark.parametrize("case", PLAIN_CASES)
def test_without_gradients_against_torch(case: str) -> None:
    torch = pytest.importorskip("torch")
    x, n = np.array([-1.5, 0.25, 2.0, 3.0, 0.5], np.float32), np.array([1, 4, 2, 3, 2])
    found = flat(PLAIN_CASES[case](pylayers, pylayers.tensor(x), pylayers.tensor(n)))
    wanted = flat(PLAIN_CASES[case](torch, torch.tensor(x), torch.tensor(n)))
    assert len(found) == len(wanted)
    for place, (mine, reference) in enumerate(zip(found, wanted, strict=True)):
        if not isinstance(reference, torch.Tensor):
            assert mine == reference, place
            continue
        assert mine.shape == tuple(reference.shape), place
        assert f"torch.{mine.dtype.name}" == str(reference.dtype), place
        np.testing.assert_allclose(
            mine.double().numpy(), reference.double().numpy(), rtol=2e-7, atol=0, err_msg=str(place)
        )


def test_power_where_it_has_no_slope() -> None:
    x, y = pylayers.tensor([0.0, 0.0, 2.0], requires_grad=True), pylayers.tensor([0.0, 2.0, 3.0], requires_grad=True)
    (x**y).backward(pylayers.tensor([1.0, 1.0, 10.0]))
    assert x.grad.tolist() == [0, 0, 120]
    np.testing.assert_allclose(y.grad.numpy(), [0, 0, 80 * np.log(2)], rtol=1e-6)


@pytest.mark.parametrize("name", ["maximum", "minimum"])
def test_extremes_of_nan(name: str) -> None:
    """A NaN on either side gives the whole gradient to both, as in torch."""
    torch = pytest.importorskip("torch")
    nan, grads = float("nan"), []
    for lib in (pylayers, torch):
        x, y = (
            lib.tensor([nan, 1.0, nan, 2, 3], requires_grad=True),
            lib.tensor([1, nan, nan, 2, 1], requires_grad=True),
        )
        getattr(lib, name)(x, y).backward(lib.tensor([1.0, 10.0, 100.0, 1000.0, 10000.0]))
        grads.append((x.grad.tolist(), y.grad.tolist()))
    assert grads[0] == grads[1]


@pytest.mark.parametrize("as_tensors", [False, True])
@pytest.mark.parametrize("bounds", [(-1.0, 1.0), (1.0, -1.0), (1.0, 1.0), (None, 1.0), (-1.0, None), (np.nan, 1.0)])
def test_clamp_at_its_bounds(bounds: tuple[Any, Any], as_tensors: bool) -> None:
    """x on a bound keeps its gradient, bounds that meet or cross share it as torch's do."""
    torch = pytest.importorskip("torch")
    results = []
    for lib in (pylayers, torch):
        values = [-2.0, -1.0, 0.0, 1.0, 2.0, float("nan"), float("inf")]
        x = lib.tensor(values, requires_grad=True)
        ends = [lib.tensor([b] * 7, requires_grad=True) if as_tensors and b is not None else b for b in bounds]
        y = x.clamp(*ends)
        y.backward(lib.tensor([1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0]))
        results.append(
            [t.tolist() for t in (y.detach(), x.grad, *(e.grad for e in ends if as_tensors and e is not None))]
        )
    np.testing.assert_array_equal(*results)


@pytest.mark.parametrize("dtype", ["float32", "float16", "int64"])
def test_cumsum_of_a_scalar(dtype: str) -> None:
    torch = pytest.importorskip("torch")
    results = []
    for lib in (pylayers, torch):
        x = lib.tensor(3, dtype=getattr(lib, dtype), requires_grad=dtype != "int64")
        y = x.cumsum(-1)
        assert y is not x and tuple(y.shape) == ()
        if dtype != "int64":
            (y * 2).backward()
            assert tuple(x.grad.shape) == ()
        results.append((y.item(), dtype == "int64" or x.grad.item()))
    assert results[0] == results[1]


def test_long_cumsums() -> None:
    """Summed in float64 and rounded: float32 alone would stick at 2^24, and so would the gradient."""
    size = (1 << 24) + 1000
    x = pylayers.ones(size, requires_grad=True)
    y = x.cumsum(0)
    assert y[-1].item() == size
    y.backward(pylayers.ones(1).expand(size))
    assert x.grad[0].item() == size and x.grad[-1].item() == 1


def test_arithmetic_by_hand() -> None:
    x, y = (
        pylayers.tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True),
        pylayers.tensor([10.0, 20.0], requires_grad=True),
    )
    z = x * y + x / 2 - y
    assert z.tolist() == [[0.5, 21.0], [21.5, 62.0]]
    z.backward(pylayers.tensor([[1.0, 2.0], [3.0, 4.0]]))
    assert x.grad.tolist() == [[10.5, 41.0], [31.5, 82.0]]
    assert y.grad.tolist() == [0 + 6, 2 + 12]


def test_index_arrays_may_change_before_backward() -> None:
    x, rows = pylayers.ones(3, requires_grad=True), pylayers.tensor([0, 0])
    mask = pylayers.tensor([True, False, True])
    y, z, w = x[rows], x.gather(0, rows), x[mask]
    rows.fill_(2)
    mask.fill_(True)
    (y + z * 10 + w * 100).backward(pylayers.ones(2))
    assert x.grad.tolist() == [122, 0, 100]


def test_index_by_hand() -> None:
    x = pylayers.tensor([1.0, 2.0, 3.0], requires_grad=True)
    x[[0, 0, 2]].backward(pylayers.tensor([1.0, 10.0, 100.0]))
    assert x.grad.tolist() == [11, 0, 100]
    row = pylayers.tensor([5, 7])
    alias = row[1:]
    row[pylayers.tensor([False, True])] = 9
    assert (row.tolist(), alias.tolist()) == ([5, 9], [9])


def test_matmul_by_hand() -> None:
    a, b = pylayers.tensor([[1.0, 2.0]], requires_grad=True), pylayers.tensor([[3.0], [4.0]], requires_grad=True)
    (a @ b).backward(pylayers.tensor([[2.0]]))
    assert (a.grad.tolist(), b.grad.tolist()) == ([[6, 8]], [[2], [4]])
    assert (pylayers.tensor([[1, 2], [3, 4]]) @ pylayers.tensor([1, 1])).tolist() == [3, 7]
    assert (np.float32([[1, 1]]) @ b).tolist() == [[7]]


def test_extremes_by_hand() -> None:
    x = pylayers.tensor([[1.0, 5.0, 5.0], [2.0, 0.0, 2.0]], requires_grad=True)
    values, indices = x.max(dim=1)
    assert (values.tolist(), indices.tolist(), indices.dtype) == ([5, 2], [1, 0], pylayers.int64)
    values.backward(pylayers.tensor([1.0, 10.0]))
    assert x.grad.tolist() == [[0, 1, 0], [10, 0, 0]]
    x.grad = None
    x.max().backward()
    assert x.grad.tolist() == [[0, 0.5, 0.5], [0, 0, 0]]


def test_views_share_memory_and_copies_do_not() -> None:
    x = pylayers.arange(12).reshape(3, 4)
    for view in (
        x.T,
        x[1:],
        x[0, 0],
        x.view(-1),
        x.unsqueeze(0),
        x.expand(2, 3, 4),
        x.detach(),
        x.squeeze(),
        x.split(2)[0],
        x.mT,
    ):
        assert np.shares_memory(view.array, x.array)
    for copied in (
        x.clone(),
        x.T.contiguous(),
        x[[0]],
        x.T.reshape(-1),
        x.repeat(1, 1),
        pylayers.tensor(x),
        x + 0,
        x.float(),
    ):
        assert not np.shares_memory(copied.array, x.array)
    assert x.contiguous() is x and x.to("cpu") is x and x.long() is x and x.cpu() is x
    assert x.to(pylayers.int64, copy=True) is not x


def test_array_protocols() -> None:
    x = pylayers.tensor([[1.0, 2.0]])
    assert np.asarray(x) is x.array and np.shares_memory(np.from_dlpack(x), x.array)
    assert x.numpy() is x.array and x.__dlpack_device__() == (1, 0)
    assert np.array(x, dtype=np.float64).dtype == np.float64
    for y in (np.ones((2, 2), np.float32) * x, np.float32(2) * x, np.float64(2) * x, np.int64(2) + x, np.ones(2) - x):
        assert isinstance(y, pylayers.Tensor)
    assert isinstance(np.ones(2) < x, pylayers.Tensor) and isinstance(np.ones((1, 1)) @ x.double(), pylayers.Tensor)
    torch = pytest.importorskip("torch")
    shared = torch.from_dlpack(x)
    shared[0, 0] = 7
    assert x.tolist() == [[7, 2]]
    assert (x + torch.ones(2)).tolist() == [[8, 3]]
    assert (x.bfloat16() + torch.ones(2, dtype=torch.bfloat16)).dtype == pylayers.bfloat16


def test_conversion_to_python() -> None:
    x = pylayers.tensor([[2.5]])
    assert (x.item(), float(x), int(x), bool(x), len(x)) == (2.5, 2.5, 2, True, 1)
    assert isinstance(pylayers.tensor(3).item(), int) and isinstance(pylayers.tensor(True).item(), bool)
    assert list(range(5))[pylayers.tensor(3)] == 3
    assert [row.tolist() for row in pylayers.arange(4).view(2, 2)] == [[0, 1], [2, 3]]
    assert pylayers.tensor([1.5], dtype="bfloat16").tolist() == [1.5]
    assert hash(x) == hash(x) and len({x, x.clone()}) == 2
    assert 3 in pylayers.arange(5) and 7 not in pylayers.arange(5)


def test_properties() -> None:
    x = pylayers.zeros(2, 3).T
    assert (x.shape, x.size(), x.size(-1), x.ndim, x.dim(), x.numel(), x.nelement()) == ((3, 2), (3, 2), 2, 2, 2, 6, 6)
    assert (x.stride(), x.stride(0), x.is_contiguous(), x.element_size(), x.device) == ((1, 3), 1, False, 4, "cpu")
    assert x.is_floating_point() and not x.long().is_floating_point() and x.is_leaf and x.grad_fn is None


def test_deepcopy() -> None:
    x = pylayers.tensor([1.0, 2.0], requires_grad=True)
    (x * x).backward(pylayers.ones(2))
    y = copy.deepcopy(x)
    assert y.requires_grad and y.is_leaf and y.grad.tolist() == [2, 4] and y.tolist() == [1, 2]
    assert not np.shares_memory(x.array, y.array) and y.version is not x.version
    with pytest.raises(RuntimeError, match="Only Tensors created explicitly by the user support the deepcopy protocol"):
        copy.deepcopy(x * 2)
