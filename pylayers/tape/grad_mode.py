"""no_grad, enable_grad and set_grad_enabled: whether the tape records, for a block of code or a function."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

from pylayers.context import grad_enabled
from pylayers.errors import expected


class GradMode:
    """A context manager, which may be entered again inside itself, and a decorator of functions."""

    def __init__(self, mode: bool) -> None:
        self.mode = mode
        self.entered = False  # set_grad_enabled acts before `with` is reached
        self.previous: list[bool] = []

    def __enter__(self) -> None:
        if not self.entered:
            self.previous.append(grad_enabled.get())
            grad_enabled.set(self.mode)
        self.entered = False

    def __exit__(self, *error: object) -> None:
        grad_enabled.set(self.previous.pop())

    def __call__(self, function: Callable[..., Any]) -> Callable[..., Any]:
        if inspect.isgeneratorfunction(function):
            hint = "open the block inside the generator"
            raise expected("no_grad", "function", "a plain function", f"generator {function.__name__}", hint, TypeError)
        if self.entered:
            self.entered = False
            self.__exit__()

        @functools.wraps(function)
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            with GradMode(self.mode):
                return function(*args, **kwargs)

        return wrapped


def no_grad(function: Callable[..., Any] | None = None) -> Any:
    """Nothing is recorded in the block or the decorated function: ``with no_grad():``, ``@no_grad()``, ``@no_grad``."""
    return GradMode(False) if function is None else GradMode(False)(function)


def enable_grad(function: Callable[..., Any] | None = None) -> Any:
    """Records again inside `no_grad`; used like it."""
    return GradMode(True) if function is None else GradMode(True)(function)


def set_grad_enabled(mode: bool) -> GradMode:
    """Switches recording on or off at once, and back at the end of the block when used with ``with``."""
    block = GradMode(bool(mode))
    block.__enter__()
    block.entered = True
    return block


def is_grad_enabled() -> bool:
    """Whether the tape records in this thread or context."""
    return grad_enabled.get()
