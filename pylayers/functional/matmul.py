"""Products of matrices, vectors and batches of them, and einsum."""

from __future__ import annotations

from typing import Any

from pylayers import arrays
from pylayers.autograd import Record, Tensor
from pylayers.errors import expected
from pylayers.functional.array import operator, tensor_method
from pylayers.functional.shape import as_tensor
from pylayers.operations.array import as_operand
from pylayers.operations.einsum import (
    Arithmetic,
    contract,
    contract_backward,
    evaluate,
    integer_einsum,
    parse,
    require_equation,
)
from pylayers.operations.matmul import add_matmul, add_matmul_backward, is_integer, matmul_backward
from pylayers.operations.matmul import matmul as multiply

Array = Any


class Matmul(Record):
    """a @ b."""

    allocates = True

    @staticmethod
    def forward(ctx: Any, a: Array, b: Array, op: str) -> Array:
        needs = ctx.needs_input_grad
        y = multiply(a, b, op)
        if needs[0] or needs[1]:
            ctx.save(a, b)
        return y

    @staticmethod
    def backward(ctx: Any, dy: Array) -> tuple[Array | None, ...]:
        a, b = ctx.saved
        return *matmul_backward(dy, a, b, ctx.needs_input_grad[:2]), None


class AddMatmul(Record):
    """beta x + alpha a @ b."""

    allocates = True

    @staticmethod
    def forward(ctx: Any, op: str, x: Array, a: Array, b: Array, beta: float, alpha: float) -> Array:
        y = add_matmul(op, x, a, b, beta, alpha)
        ctx.shape, ctx.beta, ctx.alpha = x.shape, beta, alpha
        ctx.save(a, b)
        return y

    @staticmethod
    def backward(ctx: Any, dy: Array) -> tuple[Array | None, ...]:
        a, b = ctx.saved
        dx = add_matmul_backward(dy, ctx.shape, ctx.beta) if ctx.needs_input_grad[1] else None
        return None, dx, *matmul_backward(dy, a, b, ctx.needs_input_grad[2:4], ctx.alpha), None, None


class Contract(Record):
    """The sum of a b over the axes whose names the result does not have."""

    allocates = True

    @staticmethod
    def forward(ctx: Any, a: Array, b: Array, la: str, lb: str, out: str) -> Array:
        y = contract(a, b, la, lb, out)
        ctx.labels = la, lb, out
        ctx.save(a, b)
        return y

    @staticmethod
    def backward(ctx: Any, dy: Array) -> tuple[Array | None, ...]:
        a, b = ctx.saved
        la, lb, out = ctx.labels
        return *contract_backward(dy, a, b, la, lb, out, ctx.needs_input_grad[:2]), None, None, None


@tensor_method
def matmul(input: Any, other: Any) -> Tensor:
    """input (..., m, k) @ other (..., k, n) -> (..., m, n): leading axes broadcast, vectors are a row and a column.

    TypeError unless both have one dtype, ValueError for shapes that disagree.
    """
    return Matmul.apply(input, other, "matmul")


operator("__matmul__", "__rmatmul__")(matmul)


@tensor_method
def mm(input: Any, mat2: Any) -> Tensor:
    """input (m, k) @ mat2 (k, n) -> (m, n); errors as `matmul`, and ValueError for other ranks."""
    return Matmul.apply(input, mat2, "mm")


@tensor_method
def bmm(input: Any, mat2: Any) -> Tensor:
    """input (b, m, k) @ mat2 (b, k, n) -> (b, m, n), nothing broadcast; errors as `mm`."""
    return Matmul.apply(input, mat2, "bmm")


@tensor_method
def mv(input: Any, vec: Any) -> Tensor:
    """input (m, k) @ vec (k,) -> (m,); errors as `mm`."""
    return Matmul.apply(input, vec, "mv")


@tensor_method
def dot(input: Any, other: Any) -> Tensor:
    """The sum of input other over one axis: (k,), (k,) -> (); errors as `mm`."""
    return Matmul.apply(input, other, "dot")


@tensor_method
def addmm(input: Any, mat1: Any, mat2: Any, *, beta: float = 1, alpha: float = 1) -> Tensor:
    """beta input + alpha mat1 (m, k) @ mat2 (k, n) -> (m, n), `input` broadcasts; one product with its sum.

    With beta = 0 what `input` holds does not matter. TypeError unless all have one dtype, ValueError for shapes.
    """
    return AddMatmul.apply("addmm", input, mat1, mat2, beta, alpha)


@tensor_method
def baddbmm(input: Any, batch1: Any, batch2: Any, *, beta: float = 1, alpha: float = 1) -> Tensor:
    """beta input + alpha batch1 (b, m, k) @ batch2 (b, k, n) -> (b, m, n), `input` broadcasts; errors as `addmm`."""
    return AddMatmul.apply("baddbmm", input, batch1, batch2, beta, alpha)


def einsum(equation: str, *operands: Any) -> Tensor:
    """Sums of products as the equation says: ``einsum('bij,bjk->bik', x, y)``; operands may also come as one list.

    '...' stands for axes that broadcast; without '->' the letters that stand once are kept, in alphabetical order.
    Each product of two operands is one gemm. TypeError unless all have one dtype, ValueError for an equation that does
    not fit the shapes, NotImplementedError for a letter repeated in one operand.
    """
    require_equation(equation)
    if len(operands) == 1 and isinstance(operands[0], (list, tuple)):
        operands = tuple(operands[0])
    for index, x in enumerate(operands):
        if not isinstance(x, Tensor) and not arrays.is_array(as_operand("einsum", x)):
            raise expected("einsum", f"operands[{index}]", "a tensor or an array", type(x).__name__, error=TypeError)
    tensors = [as_tensor("einsum", x) for x in operands]
    terms = parse(equation, [x.shape for x in tensors])
    if tensors and all(is_integer(x.array) for x in tensors):
        return Tensor(integer_einsum(terms, [x.array for x in tensors]))
    return evaluate(terms, tensors, TAPE)


TAPE = Arithmetic(
    lambda x, axes: x.sum(axes), lambda x, axes: x.squeeze(axes), lambda x, axes: x.permute(axes), Contract.apply
)
