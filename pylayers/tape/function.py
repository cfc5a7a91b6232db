"""Function: an operation of a user's own, written on Tensors as torch.autograd.Function is."""

from __future__ import annotations

from typing import Any

from pylayers import arrays
from pylayers.errors import expected
from pylayers.tape.grad_mode import no_grad
from pylayers.tape.history import begin
from pylayers.tape.record import Record, applied
from pylayers.tape.tensor import Tensor

Array = Any


class Custom(Record):
    """The record of a Function, and the `ctx` that its methods get."""

    function: type[Function]
    constant: tuple[Array, ...] = ()  # results without a gradient

    @staticmethod
    def forward(ctx: Any, *args: Any) -> Any:
        function: type[Function] = ctx.function
        needs = ctx.needs_input_grad
        given = tuple(Tensor(x, need) if arrays.is_array(x) else x for x, need in zip(args, needs, strict=True))
        with no_grad():
            if function.setup_context is Function.setup_context:
                result = function.forward(ctx, *given)
            else:
                result = function.forward(*given)
                function.setup_context(ctx, given, result)
        for y in result if isinstance(result, tuple) else (result,):
            if not isinstance(y, Tensor):
                wanted = "a Tensor or a tuple of them"
                raise expected(function.__name__, "forward", wanted, type(y).__name__, error=TypeError)
        return tuple(y.array for y in result) if isinstance(result, tuple) else result.array

    @staticmethod
    def backward(ctx: Any, *dys: Any) -> Any:
        result = ctx.function.backward(ctx, *(None if dy is None else Tensor(dy) for dy in dys))
        if not isinstance(result, tuple):
            return _plain(result)
        return tuple(_plain(dx) for dx in result)

    def save_for_backward(self, *tensors: Tensor | None) -> None:
        """Keeps Tensors, or None, for `saved_tensors` in backward."""
        for index, x in enumerate(tensors):
            if x is not None and not isinstance(x, Tensor):
                kind = type(x).__name__
                raise TypeError(f"save_for_backward can only save variables, but argument {index} is of type {kind}")
        self.save(*map(_plain, tensors))

    @property
    def saved_tensors(self) -> tuple[Tensor | None, ...]:
        """What `save_for_backward` was given; RuntimeError after a change in place or when it was freed."""
        return tuple(None if x is None else Tensor(x) for x in self.saved)

    def mark_non_differentiable(self, *results: Tensor) -> None:
        """These results will not require grad; their gradient is 0 in backward."""
        self.constant = tuple(y.array for y in results)

    def mark_dirty(self, *args: Tensor) -> None:
        """NotImplementedError."""
        raise NotImplementedError(
            "mark_dirty: a function that changes its arguments is not there yet; return new tensors"
        )


class Function:
    """A function with a gradient of its own: subclasses give `forward` and `backward` on Tensors, as static methods.

    ``forward(ctx, *args)`` gets what `apply` got, Tensors without history, records nothing and returns a Tensor or a
    tuple of them. ``backward(ctx, *dys)`` gets a gradient for each, None for integers, and returns a gradient or None
    for each argument. `ctx` has ``save_for_backward``, ``saved_tensors``, ``needs_input_grad`` and
    ``mark_non_differentiable``; other attributes are free. ``setup_context(ctx, inputs, output)``, if there is one,
    gets the ctx in place of forward.
    """

    _operation: type[Custom]

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        cls._operation = type(cls.__name__, (Custom,), {"function": cls, "__doc__": cls.__doc__})

    @staticmethod
    def forward(*args: Any) -> Any:
        """Computes the result."""
        raise NotImplementedError("You must implement the forward function for custom autograd.Function.")

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        """Keeps what backward needs, for a forward without ctx."""

    @staticmethod
    def backward(ctx: Any, *dys: Any) -> Any:
        """Computes the gradients of the arguments from those of the results."""
        raise NotImplementedError("You must implement the backward function to use your custom autograd.Function.")

    @classmethod
    def apply(cls, *args: Any) -> Any:
        """Computes `forward` and, where an argument requires grad, records it."""
        result = applied(cls._operation, args)
        for y in result if isinstance(result, tuple) else (result,):
            if isinstance(y.grad_fn, Custom) and any(y.array is x for x in y.grad_fn.constant):
                begin(y, y.array)
        return result


def _plain(x: Any) -> Any:
    return x.array if isinstance(x, Tensor) else x
