"""Calls of tensor functions, each written once and run on both libraries."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

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
    "repeat_as_often_as_long": lambda lib, x, y, z: x[:2].repeat(2, 4) ** 2 + z[0, :2].repeat(2, 4).sin(),
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
    "gather_scalar": lambda lib, x, y, z: x[0, 0].gather(0, x.argmax() * 0) * y[1].gather(0, y.argsort()[:1] * 0)[0],
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
    "nonzero_scalar": lambda lib, x, n: [x[0].nonzero(), (x[0] * 0).nonzero(), *x[0].nonzero(as_tuple=True)],
    "gather_scalar": lambda lib, x, n: [lib.gather(x[0], 0, n[0] * 0), x[0].gather(-1, n * 0), x.gather(0, n[0])],
    "sign": lambda lib, x, n: [n.sign(), lib.sign(-x)],
    "integer_products": lambda lib, x, n: [n @ n, n[:, None] @ n[None], (n[None, None] @ n[:, None].expand(3, 5, 2))],
    "close": lambda lib, x, n: [lib.allclose(x, x[:1]), lib.allclose(x, x + 1e-7)],
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
