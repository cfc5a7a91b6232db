"""Functions and methods of Tensor against torch, in values and gradients, against goldens by hand, and their errors."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import pylayers

pytestmark = pytest.mark.filterwarnings("error")  # torch warns of no overflow and no division by zero either

MASK = np.array([[True, False, True, True], [False, True, False, True], [True, True, False, False]])
ROWS = np.array([2, 0, 2])

# Each is run with both libraries: lib is pylayers or torch, x (3, 4), y (4,), z (2, 3, 4) require grad.
CASES: dict[str, Callable[..., Any]] = {
    "add": lambda lib, x, y, z: x + y + z + 2 + 1.5,
    "radd": lambda lib, x, y, z: 2 + x,
    "add_alpha": lambda lib, x, y, z: x.add(y, alpha=-0.5),
    "sub": lambda lib, x, y, z: z - x - y - 1,
    "rsub": lambda lib, x, y, z: 1 - x,
    "mul": lambda lib, x, y, z: x * y * z * 3,
    "mul_self": lambda lib, x, y, z: x * x * x,
    "div": lambda lib, x, y, z: z / x / 2,
    "rdiv": lambda lib, x, y, z: 2 / x,
    "neg": lambda lib, x, y, z: -x,
    "abs": lambda lib, x, y, z: abs(x) + y.abs(),
    "square": lambda lib, x, y, z: x**2,
    "cube": lambda lib, x, y, z: x**3,
    "power_0": lambda lib, x, y, z: x**0,
    "power_half": lambda lib, x, y, z: x.abs() ** 0.5,
    "power_negative": lambda lib, x, y, z: x**-2,
    "power_tensor": lambda lib, x, y, z: x.abs() ** y,
    "rpow": lambda lib, x, y, z: 2**x,
    "remainder": lambda lib, x, y, z: x % y + x % 0.7,
    "exp": lambda lib, x, y, z: x.exp(),
    "expm1": lambda lib, x, y, z: lib.expm1(x),
    "log": lambda lib, x, y, z: lib.log(x.abs()),
    "log1p": lambda lib, x, y, z: x.abs().log1p(),
    "log2": lambda lib, x, y, z: x.abs().log2() + x.abs().log10(),
    "sqrt": lambda lib, x, y, z: x.abs().sqrt(),
    "sin": lambda lib, x, y, z: x.sin() + x.cos(),
    "reciprocal": lambda lib, x, y, z: x.reciprocal() + y.square(),
    "steps": lambda lib, x, y, z: x * (x.floor() + x.ceil() + x.round() + x.trunc() + x.sign()),
    "maximum": lambda lib, x, y, z: lib.maximum(x, y) + lib.minimum(x, y) * 2,
    "maximum_of_equals": lambda lib, x, y, z: lib.maximum(x, x.detach()) * lib.minimum(x, x * 1),
    "clamp": lambda lib, x, y, z: x.clamp(-0.5, 0.7) + x.clamp(min=0) + x.clip(max=0.1),
    "clamp_tensor": lambda lib, x, y, z: lib.clamp(z, y - 0.3, x),
    "reshape": lambda lib, x, y, z: x.reshape(2, -1) * z.reshape(4, 6)[:2],
    "view": lambda lib, x, y, z: z.view(-1, 4) @ y.view(4, 1),
    "flatten": lambda lib, x, y, z: z.flatten(1) @ x.flatten(),
    "flatten_middle": lambda lib, x, y, z: lib.flatten(z, 0, 1) * 2,
    "squeeze": lambda lib, x, y, z: x.unsqueeze(0).unsqueeze(-1).squeeze() + x.unsqueeze(1).squeeze(1).squeeze(0),
    "permute": lambda lib, x, y, z: z.permute(2, 0, 1) + lib.permute(z, (-1, 0, 1)),
    "transpose": lambda lib, x, y, z: z.transpose(0, -1) * x.T.unsqueeze(-1),
    "mT": lambda lib, x, y, z: x @ z.mT,
    "t": lambda lib, x, y, z: x.t() + y.t().unsqueeze(1),
    "expand": lambda lib, x, y, z: y.expand(3, 4) * x + y.unsqueeze(0).expand(3, -1) + y.expand(2, 3, 4)[1],
    "expand_as": lambda lib, x, y, z: x.unsqueeze(0).expand_as(z) * z,
    "repeat": lambda lib, x, y, z: x.repeat(2, 3) ** 2,
    "repeat_axes": lambda lib, x, y, z: y.repeat(2, 1, 2) ** 2,
    "contiguous": lambda lib, x, y, z: x.T.contiguous().view(-1) ** 2,
    "clone": lambda lib, x, y, z: x.clone() * x,
    "sum": lambda lib, x, y, z: x.sum() * x.sum(0) + x.sum((0, 1)) * y,
    "sum_keepdim": lambda lib, x, y, z: z.sum(-1, keepdim=True) * z.sum(dim=(0, 2), keepdim=True),
    "mean": lambda lib, x, y, z: z.mean() * z.mean(1) + x.mean(dim=1, keepdim=True).mean(),
    "var": lambda lib, x, y, z: x.var() * x.var(0) + x.var(dim=0, unbiased=False),
    "std": lambda lib, x, y, z: z.std() + z.std(-1, correction=0, keepdim=True),
    "std_of_equals": lambda lib, x, y, z: (x * 0).std(1) + x.std(1),
    "norm": lambda lib, x, y, z: x.norm() * x.norm(dim=1) + (x * 0).norm() + y.norm(3),
    "cumsum": lambda lib, x, y, z: x.cumsum(1) * lib.cumsum(x, 0),
    "max": lambda lib, x, y, z: x.max() * x,
    "max_dim": lambda lib, x, y, z: x.max(1)[0] + x.max(dim=1, keepdim=True).values,
    "max_other": lambda lib, x, y, z: lib.max(x, y) + x.min(y),
    "max_of_equals": lambda lib, x, y, z: (x * 0 + y[0]).max() + (y * 0 + x[0, 0]).max(0).values,
    "min": lambda lib, x, y, z: z.min() + z.min(1).values,
    "amax": lambda lib, x, y, z: z.amax((0, 2)) + z.amin(1, keepdim=True)[:, :, :3] + (z.amax() * 2),
    "matmul": lambda lib, x, y, z: x @ x.T,
    "matmul_vectors": lambda lib, x, y, z: y @ y + (x @ y).sum() + (y @ x.T)[0],
    "matmul_batches": lambda lib, x, y, z: lib.matmul(z, x.T) @ z + (z.permute(0, 2, 1) @ x)[:, :3],
    "matmul_broadcast": lambda lib, x, y, z: z.unsqueeze(1) @ z.permute(0, 2, 1).unsqueeze(0),
    "matmul_shared": lambda lib, x, y, z: x @ z.permute(0, 2, 1) + (z @ y).unsqueeze(-1),
    "cat": lambda lib, x, y, z: lib.cat([x, y.view(1, 4), x * 2], dim=0),
    "cat_last": lambda lib, x, y, z: lib.cat((z, z**2, z[:, :, :1]), -1),
    "stack": lambda lib, x, y, z: lib.stack([x, x * y], 1) + lib.stack((y, y), dim=-1)[:, 0],
    "where": lambda lib, x, y, z: lib.where(x > 0, x * y, -1.0) + lib.where(x > y, y, x),
    "masked_fill": lambda lib, x, y, z: x.masked_fill(x < 0, -5.0) * x,
    "split": lambda lib, x, y, z: x.split(3, dim=1)[0] * x.split([1, 3], 1)[1],
    "chunk": lambda lib, x, y, z: x.chunk(2, 1)[0] * lib.chunk(x, 2, -1)[1],
    "unbind": lambda lib, x, y, z: z.unbind(1)[2] * lib.unbind(z, 1)[0],
    "gather": lambda lib, x, y, z: x.gather(1, x.argsort(1)[:, :2]) * x.gather(0, x.argmax(0, keepdim=True)).sum(),
    "triangles": lambda lib, x, y, z: lib.tril(z) + z.triu(1) * 2 + x.tril(-1),
    "sort": lambda lib, x, y, z: x.sort(1).values * x.sort(0, descending=True)[0],
    "topk": lambda lib, x, y, z: x.topk(2).values + lib.topk(x, 2, dim=1, largest=False)[0],
    "index_int": lambda lib, x, y, z: x[1] * x[-1, 2] + z[0, 1],
    "index_slice": lambda lib, x, y, z: z[:, 1:, ::2] * z[..., None, :2, 0:1][0],
    "index_rows": lambda lib, x, y, z: x[ROWS] * x[[0, 0, 1]],
    "index_tensor": lambda lib, x, y, z: x[x.argmax(0)] + x[x.argmax()// 4],
    "index_pairs": lambda lib, x, y, z: x[[0, 1, 0, 0], [1, 2, 1, 3]] * y,
    "index_mixed": lambda lib, x, y, z: z[:, ROWS, 1:3] + z[:, ROWS, 0].unsqueeze(-1),
    "index_mask": lambda lib, x, y, z: x[MASK] * x[x == x].sum(),
    "iterate": lambda lib, x, y, z: sum(row * (i + 1) for i, row in enumerate(x)),
    "to": lambda lib, x, y, z: (x.double() * y.to(lib.float64)).float() + x.type_as(x.double()),
    "used_twice": lambda lib, x, y, z: (x * y + x.exp()) * x.sum() + x,
    "in_place": lambda lib, x, y, z: (x * 1).add_(y).mul_(x).sub_(1, alpha=2).div_(y).clamp_(-3, 3),
    "in_place_operators": lambda lib, x, y, z: in_place_operators(x, y),
    "in_place_kept": lambda lib, x, y, z: in_place_kept(x, y),
    "set_item": lambda lib, x, y, z: set_item(lib, x, y),
    "set_constant": lambda lib, x, y, z: set_constant(x),
    "fill": lambda lib, x, y, z: (x * 1).zero_() + (x * 1).fill_(3.0) + (x * 2).copy_(y) + x,
}  # fmt: skip


def in_place_operators(x: Any, y: Any) -> Any:
    h = x * 2
    h += y
    h *= x
    h -= 1
    h /= y
    h **= 2
    return h


def in_place_kept(x: Any, y: Any) -> Any:
    """Product and quotient need their operands from before the change."""
    h = x * y
    h *= x
    h /= h.detach() + 9
    return h


def set_item(lib: Any, x: Any, y: Any) -> Any:
    h = lib.zeros(3, 4, dtype=x.dtype)
    h[0] = y
    h[1:, :2] = x[:2, 2:] * 2
    h[2] += x[0]
    h[:, 3:] = y[:1].view(1, 1)
    return h * x


def set_constant(x: Any) -> Any:
    h = x * 2
    h[MASK] = 7.0
    h[1, 2:] = h[0, :2]
    return h * h


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


PLAIN_CASES: dict[str, Callable[..., Any]] = {
    "compare": lambda lib, x, n: [x > n, x >= 2, n < x, n >= 2, x == n, n != x, x == None],  # noqa: E711
    "logic": lambda lib, x, n: [(x > 0) & (n > 1), (x > 0) | True, (x > 1) ^ (n > 1), ~(x > 0), ~n, n & 3, 6 | n],
    "logical": lambda lib, x, n: [lib.logical_and(x, n), lib.logical_or(x, n), n.logical_xor(x), x.logical_not()],
    "floor_divide": lambda lib, x, n: [x // 0.3, x // n, n // 2, -7 // n, n // -2, 7.5 // x],
    "remainder": lambda lib, x, n: [n % 3, -n % 3, n % -3, 7 % n, x % -0.4],
    "integers": lambda lib, x, n: [n * n - 3, n**2, 2**n, -n, abs(-n), n / 2, n.sum(), n.float().mean(), n.cumsum(0)],
    "bool": lambda lib, x, n: [(n > 2) + (n > 1), (n > 2) * n, (n > 2).sum(), (n > 2).float().mean(), (n > 2) / 2],
    "nan": lambda lib, x, n: [lib.maximum(x.log(), x), x.log().max(), x.log().min(0), x.log().argmax()],
    "infinite": lambda lib, x, n: [(x / 0).clamp(-9, 9), (x / 0).sum(), (x * 0).sqrt() / 0, x // 0, x % 0],
    "finite": lambda lib, x, n: [lib.isfinite(x / 0), lib.isnan(x.log()), lib.isfinite(n)],
    "argmax": lambda lib, x, n: [n.argmax(), n.argmin(0), x.argmax(dim=0, keepdim=True), (n > 2).float().argmax(0)],
    "extremes": lambda lib, x, n: [n.max(), n.min(dim=0), n.max(0, keepdim=True)[1], n.amax(0), (n * 0).max(0).indices],
    "all_any": lambda lib, x, n: [n.all(), (n > 1).any(), lib.all(x > -9, 0), n.any(0, keepdim=True)],
    "where": lambda lib, x, n: [lib.where(x > 0, *y) for y in ((1, 0), (x, n), (n, 0.5), ())],
    "nonzero": lambda lib, x, n: [(x > 0).nonzero(), lib.nonzero(n)],
    "sort": lambda lib, x, n: [(n // 2).sort(stable=True), x.argsort(descending=True)],
    "convert": lambda lib, x, n: [x.long(), x.int(), n.float(), n.double().half(), n.bool(), n.to(lib.uint8), x.to(n)],
    "halves": lambda lib, x, n: [x.half() * 3 + 0.1, x.bfloat16() / 3, x.bfloat16().sum(), x.half().exp()],
    "full": lambda lib, x, n: [lib.zeros_like(x), lib.ones_like(n), lib.full_like(x, 3)],
    "repeat": lambda lib, x, n: [n.repeat(2, 2), n.expand(2, n.shape[0]).contiguous(), lib.stack([n, n]).T.flatten()],
    "empty": lambda lib, x, n: [n[:0].sum(), x[:0].mean(), n[:0].all(), lib.cat([n, n[:0]])],
    "triangle": lambda lib, x, n: [lib.tril(lib.ones(3, 3)), lib.ones(2, 3, dtype=lib.bool).triu(1)],
    "scalars": lambda lib, x, n: [x[0].max(0), x[0].sum(0), x[0].flatten(), x[0].unsqueeze(0), x[0].sort()],
    "sizes": lambda lib, x, n: [x.numel(), x.dim(), x.size(0), x[::2].stride(), len(n)],
}  # fmt: skip


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


ERRORS: list[tuple[Callable[[Any], Any], type[Exception], str]] = [
    (lambda x: x.view(4), ValueError, "shape '[4]' is invalid for input of size 6"),
    (lambda x: x.view(4), RuntimeError, "shape '[4]' is invalid for input of size 6"),
    (lambda x: x.reshape(-1, 4), ValueError, "shape '[-1, 4]' is invalid for input of size 6"),
    (lambda x: x.reshape(-2, 3), ValueError, "shape '[-2, 3]' is invalid for input of size 6"),
    (lambda x: x.reshape(-1, -1), ValueError, "only one dimension can be inferred"),
    (lambda x: x[:0].reshape(-1, 0), ValueError, "cannot reshape tensor of 0 elements into shape [-1, 0] because"),
    (lambda x: x.T.view(6), ValueError, "view size is not compatible with input tensor's size and stride (at least one"
     " dimension spans across two contiguous subspaces). Use .reshape(...) instead."),
    (lambda x: x.reshape(2.0, 3), TypeError, "reshape: argument 'shape': expected an integer, got 2.0 of type float"),
    (lambda x: x + pylayers.ones(4), ValueError,
     "add: argument 'other': expected a shape that broadcasts with (2, 3), got (4,)"),
    (lambda x: x + "1", TypeError, "unsupported operand type(s) for +: 'Tensor' and 'str'"),
    (lambda x: [1] * x, TypeError, "only integer tensors of a single element can be converted to an index"),
    (lambda x: x.add("1"), TypeError, "add: argument 'other': expected a tensor, an array or a number, got str"),
    (lambda x: x.mul_([1.0]), TypeError,
     "multiply: argument 'other': expected a tensor, an array or a number, got list"),
    (lambda x: x + np.zeros(3, np.uint16), TypeError,
     "add: argument 'dtype': expected dtypes with a common type, got float32 and"),
    (lambda x: pylayers.add(1, 2), TypeError, "arrays: argument 'x': expected a NumPy or CuPy array, got NoneType"),
    (lambda x: x > None, TypeError, "'>' not supported between instances of 'Tensor' and 'NoneType'"),
    (lambda x: 1 - (x > 0), TypeError,
     "sub: argument 'other': expected numbers, got bool; use ^ or logical_not for bool"),
    (lambda x: x.long() // 0, ZeroDivisionError, "floor_divide: an integer is divided by zero"),
    (lambda x: x.long() % pylayers.tensor([1, 0, 1]), ZeroDivisionError, "remainder: an integer is divided by zero"),
    (lambda x: x.long() ** -1, ValueError, "Integers to negative integer powers are not allowed."),
    (lambda x: x & 1, TypeError, "bitwise_and: argument 'input': expected integers or bool, got floating numbers"),
    (lambda x: x[2], IndexError,
     "getitem: argument 'index': expected positions inside shape (2, 3), got index 2 is out of"),
    (lambda x: x[0, 0, 0], IndexError,
     "getitem: argument 'index': expected positions inside shape (2, 3), got too many indices"),
    (lambda x: x[pylayers.tensor([0, 5])], IndexError,
     "getitem: argument 'index': expected positions inside shape (2, 3)"),
    (lambda x: x[pylayers.tensor([1.0])], TypeError,
     "getitem: argument 'index': expected integers or bool, got dtype float32"),
    (lambda x: x[np.zeros(2, np.uint8)], TypeError,
     "getitem: argument 'index': expected integers or bool, got dtype uint8; cast it"),
    (lambda x: x.__setitem__(5, 0), IndexError, "setitem: argument 'index': expected positions inside shape (2, 3)"),
    (lambda x: x.__setitem__(0, [1.0, 2.0]), TypeError,
     "Tensor: argument 'array': expected a NumPy or CuPy array, got list"),
    (lambda x: x.__setitem__(0, np.ones(2)), ValueError,
     "setitem: argument 'value': expected a shape that broadcasts to the place"),
    (lambda x: x.sum(2), IndexError, "sum: argument 'dim': expected an axis in [-2, 1], got 2"),
    (lambda x: x.sum((0, -2)), ValueError, "sum: argument 'dim': expected each axis once, got (0, -2)"),
    (lambda x: x.long().mean(), TypeError,
     "mean: argument 'input': expected a floating dtype, got int64; cast it with .float()"),
    (lambda x: x[:0].max(), ValueError,
     "max: argument 'input': expected at least one element to choose from, got shape (0, 3)"),
    (lambda x: x[:0].argmin(0), ValueError,
     "argmin: argument 'input': expected at least one element to choose from, got shape (0,)"),
    (lambda x: x.permute(0), ValueError, "permute: argument 'dims': expected each of 2 axes once, got (0,)"),
    (lambda x: x.permute(0, 0), ValueError, "permute: argument 'dims': expected each of 2 axes once, got (0, 0)"),
    (lambda x: x.transpose(0, 2), IndexError, "transpose: argument 'dim1': expected an axis in [-2, 1], got 2"),
    (lambda x: x.unsqueeze(4), IndexError, "unsqueeze: argument 'dim': expected an axis in [-3, 2], got 4"),
    (lambda x: x.unsqueeze(0).t(), ValueError, "t: argument 'input': expected at most 2 axes, got (1, 2, 3)"),
    (lambda x: x.flatten(1, 0), ValueError,
     "flatten: argument 'start_dim': expected an axis not after end_dim 0, got 1"),
    (lambda x: x.expand(2, 4), ValueError,
     "expand: argument 'shape': expected sizes that the shape (2, 3) can be stretched to"),
    (lambda x: x.expand(-1, 2, 3), ValueError,
     "expand: argument 'shape': expected sizes that the shape (2, 3) can be stretched to"),
    (lambda x: x.repeat(2), ValueError, "repeat: argument 'counts': expected at least 2 numbers >= 0, got (2,)"),
    (lambda x: x.size(2), IndexError, "size: argument 'dim': expected an axis in [-2, 1], got 2"),
    (lambda x: x @ x, ValueError, "matmul: argument 'b': expected 3 rows"),
    (lambda x: x @ x.T.double(), TypeError, "matmul: argument 'b': expected dtype float32"),
    (lambda x: pylayers.cat([]), ValueError, "cat: argument 'tensors': expected at least one tensor, got none"),
    (lambda x: pylayers.cat([x, x.T]), ValueError,
     "cat: argument 'tensors': expected shapes that agree outside axis 0, got"),
    (lambda x: pylayers.cat([x.sum(), x.sum()]), ValueError,
     "cat: argument 'tensors': expected tensors with axes, got a scalar"),
    (lambda x: pylayers.stack([x, x.T]), ValueError,
     "stack: argument 'tensors': expected at least one tensor, all of one shape"),
    (lambda x: pylayers.where(x, x, x), TypeError, "where: argument 'condition': expected dtype bool, got float32"),
    (lambda x: pylayers.where(x > 0, x, pylayers.ones(4)), ValueError,
     "where: argument 'input': expected shapes that broadcast"),
    (lambda x: x.long().masked_fill(x > 0, 0.5), TypeError,
     "masked_fill: argument 'value': expected a number that int64 holds"),
    (lambda x: x.split([1, 2]), ValueError,
     "split: argument 'split_size_or_sections': expected sizes that sum to 2, got [1, 2]"),
    (lambda x: x.gather(1, x), TypeError, "gather: argument 'index': expected integers, got dtype float32"),
    (lambda x: x.gather(1, x.long() + 9), IndexError,
     "gather: argument 'index': expected positions in [0, 3), got 9 to 14"),
    (lambda x: x.topk(4), ValueError, "topk: argument 'k': expected a number in [0, 3], got 4"),
    (lambda x: x.sum().tril(), ValueError, "tril: argument 'input': expected at least 2 axes, got ()"),
    (lambda x: x.long().add_(0.5), TypeError, "add_: argument 'other': expected a result that fits int64, got float32"),
    (lambda x: x[0].add_(x), ValueError,
     "add_: argument 'other': expected a shape that broadcasts to (3,), got a result of shape (2, 3)"),
    (lambda x: x.expand(2, 2, 3).add_(1), RuntimeError,
     "unsupported operation: more than one element of the written-to tensor"),
    (lambda x: x.to("gpu"), ValueError,
     "device: argument 'device': expected 'cpu', 'cuda' or 'cuda:<number>', got 'gpu'"),
    (lambda x: x.to(dtype="float7"), TypeError, "to: argument 'dtype': expected one of bool, uint8"),
    (lambda x: x.item(), RuntimeError, "a Tensor with 6 elements cannot be converted to Scalar"),
    (lambda x: bool(x), RuntimeError, "Boolean value of Tensor with more than one value is ambiguous"),
    (lambda x: bool(x[:0]), RuntimeError, "Boolean value of Tensor with no values is ambiguous"),
    (lambda x: range(3)[x[0, 0]], TypeError, "only integer tensors of a single element can be converted to an index"),
    (lambda x: len(x.sum()), TypeError, "len() of a 0-d tensor"),
    (lambda x: iter(x.sum()), TypeError, "iteration over a 0-d tensor"),
    (lambda x: pylayers.Tensor([1.0]), TypeError,
     "Tensor: argument 'array': expected a NumPy or CuPy array, got list; pylayers.tensor"),
    (lambda x: pylayers.Tensor(np.zeros(2, complex)), TypeError,
     "Tensor: argument 'array': expected a dtype among bool, uint8"),
    (lambda x: pylayers.Tensor(np.zeros(2, ">f4")), TypeError, "got >f4; cast it with astype"),
    (lambda x: x.add(1, 2), TypeError, "positional argument"),
]  # fmt: skip


@pytest.mark.parametrize("number", range(len(ERRORS)))
def test_errors(number: int) -> None:
    function, error, message = ERRORS[number]
    x = pylayers.arange(6).reshape(2, 3).float()
    with pytest.raises(error, match=re.escape(message)):
        function(x)
    assert x.tolist() == [[0, 1, 2], [3, 4, 5]]


def test_cuda_without_cupy_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    from pylayers import arrays

    monkeypatch.setitem(__import__("sys").modules, "cupy", None)
    arrays.cupy_library.cache_clear()
    for move in (
        lambda: pylayers.ones(2).to("cuda"),
        lambda: pylayers.ones(2).cuda(),
        lambda: pylayers.ones(2).cuda(1),
    ):
        with pytest.raises(ModuleNotFoundError, match=re.escape("pip install 'pylayers[cuda13]'")):
            move()


def test_torch_tensor_that_requires_grad_is_refused() -> None:
    torch = pytest.importorskip("torch")
    theirs = torch.ones(2, requires_grad=True)
    for use in (lambda: pylayers.tensor(theirs), lambda: pylayers.ones(2) + theirs, lambda: pylayers.exp(theirs)):
        with pytest.raises(
            TypeError, match=r"expected a torch tensor without history, got one that requires grad; .*pylayers\.torch"
        ):
            use()
    assert (pylayers.ones(2) + theirs.detach()).tolist() == [2, 2]


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: pylayers.tensor([1.0, 2.5]), "tensor([1.0000, 2.5000])"),
        (lambda: pylayers.tensor([[1.0, -2.0]], requires_grad=True), "tensor([[ 1., -2.]], requires_grad=True)"),
        (lambda: pylayers.tensor(3), "tensor(3)"),
        (lambda: pylayers.tensor([True, False]), "tensor([ True, False])"),
        (lambda: pylayers.tensor([1.0], dtype="float64"), "tensor([1.], dtype=float64)"),
        (lambda: pylayers.zeros(0), "tensor([])"),
        (lambda: pylayers.zeros(2, 0), "tensor([], size=(2, 0))"),
        (lambda: pylayers.tensor(1.0, requires_grad=True) * 2, "tensor(2., grad_fn=<MulBackward>)"),
    ],
)
def test_repr(make: Callable[[], Any], text: str) -> None:
    assert repr(make()) == text


@pytest.mark.parametrize(
    "values",
    [
        [1.0, 2.5], [1e-5, 1.0], [1e9, 1.0], [float("nan"), 1.5], [float("inf"), -1.0], [[0.001, 123.4567]], [1e-6],
        [0.0], [100000.5, 1.0],
        np.arange(24.0).reshape(2, 3, 4) / 7, np.arange(100), np.arange(2000.0), np.arange(4000).reshape(2, 4, 500),
        np.arange(30.0) - 15, 1234567.0, [[[1, -2]]], np.random.default_rng(0).standard_normal((3, 12)),
    ],
)  # fmt: skip
def test_repr_against_torch(values: Any) -> None:
    torch = pytest.importorskip("torch")
    x = np.asarray(values)
    x = x.astype(np.float32) if x.dtype == np.float64 else x
    assert repr(pylayers.tensor(x)) == repr(torch.tensor(x))


def test_deepcopy() -> None:
    x = pylayers.tensor([1.0, 2.0], requires_grad=True)
    (x * x).backward(pylayers.ones(2))
    y = copy.deepcopy(x)
    assert y.requires_grad and y.is_leaf and y.grad.tolist() == [2, 4] and y.tolist() == [1, 2]
    assert not np.shares_memory(x.array, y.array) and y.version is not x.version
    with pytest.raises(RuntimeError, match="Only Tensors created explicitly by the user support the deepcopy protocol"):
        copy.deepcopy(x * 2)
