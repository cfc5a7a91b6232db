"""Calls of tensor functions that are refused: exception and message."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import pylayers

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
     "add: argument 'dtype': expected a dtype among bool, uint8"),
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
    (lambda x: x @ x.T.double(), TypeError, "matmul: argument 'b': expected dtype float32 as 'a' has, got float64;"
     " cast it: b.to(pylayers.float32), or b.astype('float32') of an array"),
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
    (lambda x: x.sum().split(1), ValueError, "split: argument 'tensor': expected at least 1 axis, got a scalar"),
    (lambda x: x.sum().chunk(1), ValueError, "chunk: argument 'input': expected at least 1 axis, got a scalar"),
    (lambda x: x.sum().unbind(), ValueError, "unbind: argument 'input': expected at least 1 axis, got a scalar"),
    (lambda x: x.long() @ x.long(), ValueError, "matmul: argument 'b': expected 3 rows as 'a' has columns, got shape"),
    (lambda x: x.long() @ x.long().sum(), ValueError, "matmul: argument 'b': expected at least one axis, got a scalar"),
    (lambda x: x.long().expand(2, 2, 3) @ x.T.long().expand(3, 3, 2), ValueError,
     "matmul: argument 'b': expected leading axes that broadcast with (2,), got (3,)"),
    (lambda x: pylayers.mm(x.long(), x.long()), ValueError, "mm: argument 'mat2': expected 3 rows as 'input' has"),
    (lambda x: pylayers.allclose(x, x.T), ValueError,
     "allclose: argument 'other': expected a shape that broadcasts with (2, 3), got (3, 2)"),
    (lambda x: (x > 0).sign(), TypeError, "sign: argument 'input': expected numbers, got bool"),
    (lambda x: -(x > 0), TypeError, "negative: argument 'input': expected numbers, got bool; use ~ or logical_not"),
    (lambda x: pylayers.clamp(x), ValueError, "clamp: argument 'min': expected a bound here or in 'max', got None"),
    (lambda x: pylayers.clamp({}, 0), TypeError, "expected a tensor, an array or a number, got dict"),
    (lambda x: x.clamp(max="1"), TypeError, "expected a tensor, an array or a number, got str"),
    (lambda x: pylayers.nn.init.zeros_(x.numpy()), TypeError,
     "init: argument 'tensor': expected a Tensor, got ndarray"),
    (lambda x: pylayers.nn.init.kaiming_normal_(x.numpy()), TypeError,
     "init: argument 'tensor': expected a Tensor, got ndarray"),
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
