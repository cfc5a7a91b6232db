"""Module: a tree of parameters, buffers and other modules, with a forward function."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from pylayers.arrays import namespace
from pylayers.autograd import Tensor
from pylayers.errors import expected
from pylayers.nn.parameter import Parameter
from pylayers.nn.state import IncompatibleKeys, load_state_dict, state_dict

Self = TypeVar("Self", bound="Module")
Hook = Callable[..., Any]

_hook_numbers = itertools.count()


class RemovableHandle:
    """Takes a hook out again: `handle.remove()`."""

    def __init__(self, hooks: dict[int, Hook], hook: Hook) -> None:
        self.hooks, self.number = hooks, next(_hook_numbers)
        hooks[self.number] = hook

    def remove(self) -> None:
        """Removes the hook; a second call does nothing."""
        self.hooks.pop(self.number, None)


class Module:
    """Base of all layers and networks: subclasses assign parameters and modules in `__init__` and define `forward`."""

    training: bool
    _parameters: dict[str, Parameter | None]
    _buffers: dict[str, Tensor | None]
    _modules: dict[str, Module | None]
    _transient: set[str]  # names of buffers that state_dict leaves out
    _pre_hooks: dict[int, Hook]
    _hooks: dict[int, Hook]

    if TYPE_CHECKING:  # parameters, buffers and modules, as they are assigned

        def __getattr__(self, name: str) -> Any: ...

    def __init__(self) -> None:
        vars(self).update(
            training=True, _parameters={}, _buffers={}, _modules={}, _transient=set(), _pre_hooks={}, _hooks={}
        )

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Computes the result; subclasses define it."""
        raise NotImplementedError(f'Module [{type(self).__name__}] is missing the required "forward" function')

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if not self._pre_hooks and not self._hooks:
            return self.forward(*args, **kwargs)
        for hook in tuple(self._pre_hooks.values()):
            changed = hook(self, args)
            if changed is not None:
                args = changed if isinstance(changed, tuple) else (changed,)
        result = self.forward(*args, **kwargs)
        for hook in tuple(self._hooks.values()):
            changed = hook(self, args, result)
            result = result if changed is None else changed
        return result

    def register_forward_pre_hook(self, hook: Hook) -> RemovableHandle:
        """Calls hook(module, args) before `forward`; what it returns, unless None, replaces the arguments."""
        return RemovableHandle(self._pre_hooks, hook)

    def register_forward_hook(self, hook: Hook) -> RemovableHandle:
        """Calls hook(module, args, result) after `forward`; what it returns, unless None, replaces the result."""
        return RemovableHandle(self._hooks, hook)

    # Names

    def register_parameter(self, name: str, param: Parameter | None) -> None:
        """Adds a parameter, or None for one that is absent."""
        self._register("_parameters", name, param, Parameter)

    def register_buffer(self, name: str, tensor: Tensor | None, persistent: bool = True) -> None:
        """Adds a tensor that is no parameter but moves with the module; `persistent` ones stand in `state_dict`."""
        self._register("_buffers", name, tensor, Tensor)
        (self._transient.discard if persistent else self._transient.add)(name)

    def register_module(self, name: str, module: Module | None) -> None:
        """Adds a module, or None for one that is absent."""
        self._register("_modules", name, module, Module)

    add_module = register_module

    def _register(self, table: str, name: str, value: Any, kind: type) -> None:
        if table not in vars(self):
            raise AttributeError(f"cannot assign {kind.__name__.lower()} before Module.__init__() call")
        if not isinstance(name, str) or not name or "." in name:
            raise expected("Module", "name", "a name without '.'", repr(name), error=KeyError)
        if value is not None and not isinstance(value, kind):
            raise expected("Module", name, f"a {kind.__name__} or None", type(value).__name__, error=TypeError)
        if name not in vars(self)[table] and hasattr(self, name):
            raise expected("Module", "name", "a name that is not taken", repr(name), error=KeyError)
        self._put(table, name, value)

    def _put(self, table: str, name: str, value: Any) -> None:
        # Also an ordinary attribute, so that reading it takes no search.
        vars(self)[table][name] = vars(self)[name] = value

    def __setattr__(self, name: str, value: Any) -> None:
        for table, kind in (("_parameters", Parameter), ("_modules", Module)):
            if isinstance(value, kind):
                if table not in vars(self):
                    raise AttributeError(f"cannot assign {kind.__name__.lower()} before Module.__init__() call")
                for other in ("_parameters", "_modules", "_buffers"):
                    if other != table:
                        vars(self)[other].pop(name, None)
                self._put(table, name, value)
                return
        for table, wanted in (("_parameters", Parameter), ("_modules", Module), ("_buffers", Tensor)):
            if name in vars(self).get(table, ()):
                if value is not None and not isinstance(value, wanted):
                    got = type(value).__name__
                    raise expected("Module", name, f"a {wanted.__name__} or None", got, error=TypeError)
                self._put(table, name, value)
                return
        super().__setattr__(name, value)

    def __delattr__(self, name: str) -> None:
        for table in ("_parameters", "_modules", "_buffers"):
            if name in vars(self)[table]:
                del vars(self)[table][name]
        super().__delattr__(name)

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *self._parameters, *self._modules, *self._buffers})

    # The tree

    def named_children(self) -> Iterator[tuple[str, Module]]:
        """The modules directly below, each once."""
        seen: set[int] = set()
        for name, module in self._modules.items():
            if module is not None and id(module) not in seen:
                seen.add(id(module))
                yield name, module

    def children(self) -> Iterator[Module]:
        """The modules directly below, each once."""
        return (module for _, module in self.named_children())

    def named_modules(self, memo: set[Module] | None = None, prefix: str = "") -> Iterator[tuple[str, Module]]:
        """This module and all below, each once, with dotted names."""
        memo = set() if memo is None else memo
        if self in memo:
            return
        memo.add(self)
        yield prefix, self
        for name, module in self._modules.items():
            if module is not None:
                yield from module.named_modules(memo, f"{prefix}.{name}" if prefix else name)

    def modules(self) -> Iterator[Module]:
        """This module and all below, each once."""
        return (module for _, module in self.named_modules())

    def _named(self, table: str, prefix: str, recurse: bool) -> Iterator[tuple[str, Any]]:
        seen: set[int] = set()
        for path, module in self.named_modules(prefix=prefix) if recurse else [(prefix, self)]:
            for name, value in vars(module)[table].items():
                if value is not None and id(value) not in seen:
                    seen.add(id(value))
                    yield (f"{path}.{name}" if path else name), value

    def named_parameters(self, prefix: str = "", recurse: bool = True) -> Iterator[tuple[str, Parameter]]:
        """Parameters with dotted names, each once."""
        return self._named("_parameters", prefix, recurse)

    def parameters(self, recurse: bool = True) -> Iterator[Parameter]:
        """Parameters, each once; what an optimizer takes."""
        return (parameter for _, parameter in self.named_parameters(recurse=recurse))

    def named_buffers(self, prefix: str = "", recurse: bool = True) -> Iterator[tuple[str, Tensor]]:
        """Buffers with dotted names, each once."""
        return self._named("_buffers", prefix, recurse)

    def buffers(self, recurse: bool = True) -> Iterator[Tensor]:
        """Buffers, each once."""
        return (buffer for _, buffer in self.named_buffers(recurse=recurse))

    def apply(self: Self, fn: Callable[[Module], Any]) -> Self:
        """Calls fn on every module, those below first."""
        for module in self.children():
            module.apply(fn)
        fn(self)
        return self

    # What acts on all of it

    def train(self: Self, mode: bool = True) -> Self:
        """Training mode (dropout acts) or, with mode=False, evaluation mode, for all modules."""
        if not isinstance(mode, bool):
            raise expected("train", "mode", "a bool", type(mode).__name__, error=TypeError)
        for module in self.modules():
            module.training = mode
        return self

    def eval(self: Self) -> Self:
        """Evaluation mode."""
        return self.train(False)

    def requires_grad_(self: Self, requires_grad: bool = True) -> Self:
        """Whether the tape records the parameters."""
        for parameter in self.parameters():
            parameter.requires_grad_(requires_grad)
        return self

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forgets the gradients, or sets them to 0 with set_to_none=False."""
        for parameter in self.parameters():
            if parameter.grad is not None:
                parameter.grad = (
                    None if set_to_none else Tensor(namespace(parameter.array).zeros_like(parameter.grad.array))
                )

    def to(self: Self, *args: Any, **kwargs: Any) -> Self:
        """Moves all parameters and buffers to a device and casts the floating ones to a dtype, as `Tensor.to`."""
        for tensor in (*self.parameters(), *self.buffers()):
            keep_dtype = not tensor.is_floating_point()
            moved, grad = (None if x is None else x.detach().to(*args, **kwargs) for x in (tensor, tensor.grad))
            assert moved is not None
            if keep_dtype and moved.dtype != tensor.dtype:
                moved = tensor.detach().to(moved.device)
            tensor.grad = None
            tensor.data = moved
            tensor.grad = grad
        return self

    def float(self: Self) -> Self:
        """float32 parameters and buffers."""
        return self.to("float32")

    def double(self: Self) -> Self:
        """float64 parameters and buffers."""
        return self.to("float64")

    def half(self: Self) -> Self:
        """float16 parameters and buffers."""
        return self.to("float16")

    def bfloat16(self: Self) -> Self:
        """bfloat16 parameters and buffers."""
        return self.to("bfloat16")

    def cpu(self: Self) -> Self:
        """Moves parameters and buffers to host memory."""
        return self.to("cpu")

    def cuda(self: Self, device: int = 0) -> Self:
        """Moves parameters and buffers to a GPU."""
        return self.to(f"cuda:{device}")

    def state_dict(self, *, prefix: str = "", keep_vars: bool = False) -> dict[str, Any]:
        """Parameters and persistent buffers by dotted name, in the same memory; with keep_vars on the tape."""
        return state_dict(self, prefix, keep_vars)

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True) -> IncompatibleKeys:
        """Copies arrays of any kind into the parameters and buffers of the same names, all or nothing.

        CheckpointError, in torch's words, for names that are missing or unexpected (unless strict=False) and for shapes
        that differ.
        """
        return load_state_dict(self, state_dict, strict)

    def extra_repr(self) -> str:
        """What stands between the brackets of `repr`."""
        return ""

    def __repr__(self) -> str:
        lines = [line for line in self.extra_repr().split("\n") if line]
        below = [f"({name}): " + repr(module).replace("\n", "\n  ") for name, module in self._modules.items()]
        name = type(self).__name__
        if len(lines) == 1 and not below:
            return f"{name}({lines[0]})"
        return f"{name}(\n  " + "\n  ".join(lines + below) + "\n)" if lines or below else f"{name}()"
