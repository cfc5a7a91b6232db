"""Record: one record of the tape, and how a call of it is recorded."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from pylayers import dtypes
from pylayers.context import grad_enabled
from pylayers.operations.array import PLAIN, as_operand
from pylayers.tape.history import DETACHED, Version, begin, root_of, seen
from pylayers.tape.tensor import Hook, Tensor

Array = Any
# To whom, which output, its shape and dtype; a leaf tells its own.
Edge = tuple["Record | Tensor", int, tuple[int, ...] | None, Any]

SECOND_TIME = (
    "Trying to backward through the graph a second time (or directly access saved tensors after they have already been"
    " freed). Saved intermediate values of the graph are freed when you call .backward(). Specify retain_graph=True if"
    " you need to backward through the graph a second time or if you need to access saved tensors after calling"
    " backward."
)

STALE = (
    "the memory of this tensor was changed in place, with grad recorded, through another view of it: its own history"
    " would be wrong. Use the tensor that was changed, or take the view after the change"
)

_sequence_numbers = itertools.count()
new = object.__new__  # without the checks of the constructor


class Record:
    """One recorded operation; subclasses give `forward` and `backward` on plain arrays, as static methods.

    ``forward(ctx, *args)`` gets the plain array in place of each Tensor and returns an array or a tuple of them.
    ``backward(ctx, *dys)`` gets one gradient for each output, of any strides (None for an output of integers), and
    returns one gradient or None for each argument of forward. `ctx` is the record itself: `ctx.save` keeps arrays for
    `ctx.saved`, `ctx.needs_input_grad` says which arguments want a gradient; names not used in this class are free.
    """

    needs_input_grad: tuple[bool, ...]
    edges: Sequence[Edge | None]
    outputs: tuple[tuple[tuple[int, ...], Any], ...] = ()  # shape and dtype of each, only where there are several
    sequence_number: int  # what is computed later has the higher one
    allocates = False  # whether results never lie in the memory of an argument
    consumers = 0  # how many records took a result as their argument
    is_view = False  # whether a result lies in the memory of an argument
    hooks: dict[int, list[Hook]] | None = None  # what to call with the gradient of an output
    retained: dict[int, Callable[[], Tensor | None]] | None = (
        None  # weak references to outputs that keep their gradient
    )
    _saved: tuple[Array | None, ...] | None = ()
    _versions: Sequence[tuple[Version, int] | None] = ()

    @staticmethod
    def forward(ctx: Any, *args: Any) -> Any:
        """Computes the result from plain arrays."""
        raise NotImplementedError

    @staticmethod
    def backward(ctx: Any, *dys: Any) -> Any:
        """Computes the gradients of the arguments from those of the results."""
        raise NotImplementedError(f"the derivative of {type(ctx).__name__} is not implemented")

    def save(self, *saved: Array | None) -> None:
        """Keeps arrays until backward; those in the memory of the Tensors of `apply` are guarded against changes."""
        self._saved = saved

    def __repr__(self) -> str:
        return f"<{type(self).__name__}Backward>"

    @property
    def saved(self) -> tuple[Any, ...]:
        """What `save` was given; RuntimeError, in torch's words, after a change in place or when it was freed."""
        if self._saved is None:
            raise RuntimeError(SECOND_TIME)
        for array, known in zip(self._saved, self._versions, strict=False):
            if array is not None and known is not None and known[0].changes != known[1]:
                raise RuntimeError(
                    "one of the variables needed for gradient computation has been modified by an inplace operation:"
                    f" [{array.dtype.name} {list(array.shape)}], saved by {type(self).__name__}, is at version"
                    f" {known[0].changes}; expected version {known[1]} instead."
                )
        return self._saved

    @classmethod
    def apply(cls, *args: Any) -> Any:
        """Computes `forward` and, where an argument requires grad, records it; Tensors out."""
        return applied(cls, args)


def applied(op: type[Record], args: tuple[Any, ...]) -> Any:
    """`op.apply(*args)` for where each call counts: a tuple passes sooner than arguments that are gathered again."""
    ctx, recording, node = op(), grad_enabled.get(), None
    values: list[Any] = [ctx]
    edges: list[Edge | None] = []
    needs: list[bool] = []
    for x in args:
        if isinstance(x, Tensor):
            own = x._version
            if own is not None and own.recorded and x.history != own.recorded and x.history != DETACHED:
                raise NotImplementedError(STALE)
            values.append(x.array)
            if recording and x._requires_grad:
                node, source = ctx, x.grad_fn
                if source is None:
                    edges.append((x, 0, None, None))
                else:
                    edges.append((source, x.output_index, x.array.shape, x.array.dtype))
                    source.consumers += 1
                needs.append(True)
                continue
        elif type(x) in PLAIN:
            values.append(x)
        else:
            values.append(as_operand(op.__name__, x))
        if recording:
            edges.append(None)
            needs.append(False)
    ctx.edges, ctx.needs_input_grad = edges, tuple(needs) if recording else (False,) * len(args)
    result = op.forward(*values)
    sources = () if op.allocates else args
    if type(result) is not tuple:
        out = _output(result, sources, node)
        if node is not None:
            _record(node, (*args, out))
        return out
    outputs = [_output(y, sources, node) for y in result]
    if node is not None:
        _record(node, (*args, *outputs))
        node.outputs = tuple([(y.array.shape, y.array.dtype) for y in outputs])
        for index, y in enumerate(outputs):
            y.output_index = index
    return tuple(outputs)


def _record(node: Record, known: Sequence[Any]) -> None:
    """Puts the node on the tape; the Tensors among `known` are its arguments and results."""
    node.sequence_number = next(_sequence_numbers)
    saved = node._saved
    if saved:
        versions: list[tuple[Version, int] | None] = []
        for array in saved:
            found = None
            if array is not None:
                for x in known:
                    if isinstance(x, Tensor) and array is x.array:  # as `seen` finds it, without a call
                        version = x._version or x.version
                        found = version, version.changes
                        break
                else:
                    found = seen(array, [x for x in known if isinstance(x, Tensor)])
            versions.append(found)
        node._versions = versions


def _output(y: Array, sources: Sequence[Any], node: Record | None) -> Tensor:
    """A result as a Tensor; one that lies in the memory of a Tensor among the sources shares its version."""
    if type(y) is not np.ndarray and isinstance(y, np.generic):  # what NumPy makes of a result without axes
        y = np.asarray(y)
    if node is not None and y.dtype not in dtypes.FLOATING:
        node = None
    out = begin(new(Tensor), y, node)
    if sources:
        root = root_of(y)
        for x in sources:
            if isinstance(x, Tensor) and (y is x.array or root is root_of(x.array)):
                out._version, out.history = x.version, x.version.recorded
                if node is not None:
                    node.is_view = True
                break
    return out


def increment_version(x: Tensor) -> None:
    """Tells the tape that the array of x was changed in place."""
    x.version.changes += 1
