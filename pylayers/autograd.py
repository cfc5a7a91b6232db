"""The tape: backward walks the records of what was computed in reverse, and adds up gradients in the leaves."""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from typing import Any

import numpy as np

from pylayers import arrays, dtypes
from pylayers.errors import expected
from pylayers.operations.array import as_operand, sum_to
from pylayers.tape.accumulate import accumulate, run_hooks
from pylayers.tape.function import Function
from pylayers.tape.grad_mode import enable_grad, is_grad_enabled, no_grad, set_grad_enabled
from pylayers.tape.record import Array, Edge, Record, applied, increment_version
from pylayers.tape.tensor import Tensor

__all__ = [
    "Function", "Record", "Tensor", "applied", "backward", "enable_grad", "increment_version", "is_grad_enabled",
    "no_grad", "set_grad_enabled",
]  # fmt: skip


def backward(x: Tensor, gradient: Any = None, retain_graph: bool = False, create_graph: bool = False) -> None:
    """Adds the gradient of x, times `gradient` (1 for one element), to `grad` of every leaf it was computed from.

    `retain_graph` keeps what was saved for another backward. RuntimeError, in torch's words, for a tensor without
    history, a second backward, a changed array, or a missing gradient; ValueError for a gradient of another shape.
    """
    if create_graph:
        raise NotImplementedError("backward: create_graph=True, gradients of gradients, is not available")
    if not x.requires_grad:
        raise RuntimeError("element 0 of tensors does not require grad and does not have a grad_fn")
    if gradient is None:
        if x.array.size != 1:
            raise RuntimeError("grad can be implicitly created only for scalar outputs")
        dx = arrays.namespace(x.array).ones_like(x.array)
    else:
        dx = gradient.array if isinstance(gradient, Tensor) else as_operand("backward", gradient)
        if not arrays.is_array(dx) or dx.shape != x.shape:
            raise expected("backward", "gradient", f"an array of shape {x.shape}", getattr(dx, "shape", dx))
        if dx.dtype not in dtypes.FLOATING:
            raise expected("backward", "gradient", "a floating dtype", dx.dtype.name, error=TypeError)
    with no_grad(), np.errstate(all="ignore"):
        for leaf, held in _sweep((x.grad_fn or x, x.output_index, x.shape, x.dtype), dx, retain_graph).values():
            run_hooks(leaf.hooks, held)
            accumulate(leaf, held)


def _sweep(root: Edge, dx: Array, retain_graph: bool) -> dict[int, tuple[Tensor, list[Array]]]:
    """Runs the records from the latest to the earliest; the gradients of the leaves, each in a list of one."""
    leaves: dict[int, tuple[Tensor, list[Array]]] = {}
    pending: dict[Record, list[Array | None]] = {}
    queue: list[tuple[int, Record]] = []
    edges: Sequence[Edge | None] = (root,)
    gradients: tuple[Array | None, ...] = (dx,)
    node = None
    while True:
        for edge, dx in zip(edges, gradients, strict=True):
            if edge is None or dx is None:
                continue
            target, index, shape, dtype = edge
            if shape is None:
                shape, dtype = target.array.shape, target.array.dtype  # type: ignore[union-attr]
            if type(dx) is not np.ndarray and isinstance(dx, np.generic):
                dx = np.asarray(dx)
            if dx.shape != shape or dx.dtype != dtype:
                dx = _fitted(dx, shape, dtype, node)
            if isinstance(target, Tensor):
                slots, index = leaves.setdefault(id(target), (target, [None]))[1], 0
            elif target in pending:
                slots = pending[target]
            else:
                slots = pending[target] = [None] * max(1, len(target.outputs))
                heapq.heappush(queue, (-target.sequence_number, target))
            total = dx if slots[index] is None else slots[index] + dx
            slots[index] = total if shape else np.asarray(total) if isinstance(total, np.generic) else total
        if not queue:
            return leaves
        node = heapq.heappop(queue)[1]
        gradients, edges = _gradients(node, pending.pop(node)), node.edges
        if not retain_graph and node._saved:
            node._saved = None


def _gradients(node: Record, dys: list[Array | None]) -> tuple[Array | None, ...]:
    """What `backward` of the node returns, one for each argument."""
    for index, hooks in (node.hooks or {}).items():
        if dys[index] is not None:
            held = [dys[index]]
            run_hooks(hooks, held)
            dys[index] = held[0]
    for index, reference in (node.retained or {}).items():
        output = reference()
        if output is not None and dys[index] is not None:
            accumulate(output, [dys[index]])
    for index, (shape, dtype) in enumerate(node.outputs):
        if dys[index] is None and dtype in dtypes.FLOATING:
            xp = arrays.namespace(next(dy for dy in dys if dy is not None))
            dys[index] = xp.broadcast_to(xp.zeros((), dtype), shape)
    result = node.backward(node, *dys)
    if type(result) is not tuple and not any(node.needs_input_grad[1:]):
        result = (result,) + (None,) * (len(node.edges) - 1)
    if type(result) is not tuple or len(result) != len(node.edges):
        count = f"{len(result)} gradients" if type(result) is tuple else "one gradient"
        raise RuntimeError(f"{type(node).__name__}.backward returned {count} for {len(node.edges)} arguments")
    return result


def _fitted(dx: Array, shape: tuple[int, ...], dtype: Any, node: Record | None) -> Array:
    """The gradient of what was broadcast or promoted on its way in."""
    summed = sum_to(dx, shape)
    if summed.shape != shape:
        raise RuntimeError(f"{type(node).__name__}.backward returned a gradient of shape {dx.shape} for shape {shape}")
    return summed.astype(dtype, copy=False)
