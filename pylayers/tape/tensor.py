"""Tensor: an array with a gradient and a place on the tape; `functional` attaches its mathematics."""

from __future__ import annotations

import copy
import weakref
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from pylayers import arrays, devices, dtypes
from pylayers.errors import expected
from pylayers.tape.history import DETACHED, Version, begin

if TYPE_CHECKING:
    from pylayers.tape.record import Record

Array = Any
Hook = Callable[["Tensor"], "Tensor | None"]


class Tensor:
    """An n-dimensional array that remembers how it was computed.

    `array` is the plain NumPy or CuPy array, not copied. With `requires_grad` (floating dtypes only) `backward` of what
    is computed from the tensor adds to `grad`, a tensor of the same shape and dtype.
    """

    __array_priority__ = 1000  # an array on the left of an operator leaves the operation to us
    __hash__ = object.__hash__

    array: Array
    grad_fn: Record | None
    output_index: int  # which output of grad_fn this is
    history: int  # how many recorded changes of its memory grad_fn knows of; DETACHED: it has no history to go stale
    hooks: list[Hook] | None = None  # of a leaf; those of other tensors stand in grad_fn
    _version: Version | None
    _requires_grad: bool
    _grad: Tensor | None = None

    def __init__(self, array: Array, requires_grad: bool = False) -> None:
        if type(array) not in arrays.libraries and not arrays.is_array(array):
            hint = "pylayers.tensor(...) makes one from lists and numbers"
            raise expected("Tensor", "array", "a NumPy or CuPy array", type(array).__name__, hint, TypeError)
        if isinstance(array, np.generic):
            array = np.asarray(array)
        dtypes.require_supported("Tensor", "array", array.dtype)
        begin(self, array)
        if requires_grad:
            self.requires_grad_()

    if TYPE_CHECKING:  # what functional attaches

        def __getattr__(self, name: str) -> Any: ...
        def __add__(self, other: Any) -> Tensor: ...
        def __radd__(self, other: Any) -> Tensor: ...
        def __sub__(self, other: Any) -> Tensor: ...
        def __rsub__(self, other: Any) -> Tensor: ...
        def __mul__(self, other: Any) -> Tensor: ...
        def __rmul__(self, other: Any) -> Tensor: ...
        def __truediv__(self, other: Any) -> Tensor: ...
        def __rtruediv__(self, other: Any) -> Tensor: ...
        def __pow__(self, other: Any) -> Tensor: ...
        def __matmul__(self, other: Any) -> Tensor: ...
        def __neg__(self) -> Tensor: ...
        def __lt__(self, other: Any) -> Tensor: ...
        def __le__(self, other: Any) -> Tensor: ...
        def __gt__(self, other: Any) -> Tensor: ...
        def __ge__(self, other: Any) -> Tensor: ...
        def __getitem__(self, index: Any) -> Tensor: ...
        def __setitem__(self, index: Any, value: Any) -> None: ...

    # The tape

    @property
    def version(self) -> Version:
        """The changes of the memory, counted from the first time that anybody asks."""
        if self._version is None:
            self._version = Version()
        return self._version

    @property
    def requires_grad(self) -> bool:
        """Whether the tape records what is computed from this tensor."""
        return self._requires_grad

    @requires_grad.setter
    def requires_grad(self, value: bool) -> None:
        self.requires_grad_(value)

    def requires_grad_(self, requires_grad: bool = True) -> Tensor:
        """Starts or stops recording; RuntimeError for integers and for computed tensors, in torch's words."""
        if requires_grad and self.array.dtype not in dtypes.FLOATING:
            raise RuntimeError("only Tensors of floating point dtype can require gradients")
        if self.grad_fn is not None and not requires_grad:
            raise RuntimeError(
                "you can only change requires_grad flags of leaf variables. If you want to use a computed variable in a"
                " subgraph that doesn't require differentiation use var_no_grad = var.detach()."
            )
        self._requires_grad = bool(requires_grad)
        return self

    @property
    def is_leaf(self) -> bool:
        """Whether the tensor was not computed from others on the tape."""
        return self.grad_fn is None

    @property
    def grad(self) -> Tensor | None:
        """The gradient that `backward` has added up so far."""
        return self._grad

    @grad.setter
    def grad(self, value: Tensor | None) -> None:
        if value is not None:
            if not isinstance(value, Tensor):
                raise expected("Tensor", "grad", "a Tensor or None", type(value).__name__, error=TypeError)
            if value.shape != self.shape:
                raise expected("Tensor", "grad", f"shape {self.shape}", value.shape)
            if value.dtype != self.dtype:
                raise expected("Tensor", "grad", f"dtype {self.dtype}", value.dtype, error=TypeError)
        self._grad = value

    def backward(self, gradient: Any = None, retain_graph: bool = False, create_graph: bool = False) -> None:
        """Adds the gradients of this tensor to `grad` of the leaves; see `pylayers.autograd.backward`."""
        from pylayers.autograd import backward

        backward(self, gradient, retain_graph, create_graph)

    def detach(self) -> Tensor:
        """The same memory without history."""
        result = Tensor(self.array)
        result._version = self.version
        result.history = DETACHED
        return result

    @property
    def data(self) -> Tensor:
        """The same memory without history; unlike `detach`, changes through it are not noticed by the tape."""
        return Tensor(self.array)

    @data.setter
    def data(self, value: Tensor) -> None:
        self.array = value.array

    def register_hook(self, hook: Hook) -> None:
        """Calls `hook(gradient)` in every backward; a tensor that it returns replaces the gradient."""
        if not self._requires_grad:
            raise RuntimeError("cannot register a hook on a tensor that doesn't require gradient")
        if self.grad_fn is not None:
            self.grad_fn.hooks = self.grad_fn.hooks or {}
            self.grad_fn.hooks.setdefault(self.output_index, []).append(hook)
        else:
            self.hooks = [*(self.hooks or ()), hook]

    def retain_grad(self) -> None:
        """Lets a computed tensor keep its `grad` too."""
        if not self._requires_grad:
            raise RuntimeError("can't retain_grad on Tensor that has requires_grad=False")
        if self.grad_fn is not None:
            self.grad_fn.retained = {**(self.grad_fn.retained or {}), self.output_index: weakref.ref(self)}

    def __deepcopy__(self, memo: dict[int, Any]) -> Tensor:
        if self.grad_fn is not None:
            raise RuntimeError(
                "Only Tensors created explicitly by the user support the deepcopy protocol at the moment"
            )
        result = type(self).__new__(type(self))
        memo[id(self)] = result
        for name, value in vars(self).items():
            setattr(result, name, value.copy() if name == "array" else copy.deepcopy(value, memo))
        return result

    # Shape and kind

    @property
    def shape(self) -> tuple[int, ...]:
        """The size of each axis."""
        return self.array.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """The NumPy dtype of the elements."""
        return self.array.dtype

    @property
    def device(self) -> devices.device:
        """``"cpu"`` or ``"cuda:<number>"``, with `type` and `index`."""
        return devices.named(arrays.device(self.array))

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return self.array.ndim

    def dim(self) -> int:
        """The number of axes."""
        return self.array.ndim

    def size(self, dim: int | None = None) -> Any:
        """The shape, or the size of one axis."""
        return self.array.shape if dim is None else self.array.shape[self._axis("size", dim)]

    def stride(self, dim: int | None = None) -> Any:
        """The steps in memory from one element to the next along each axis, or along one; in elements."""
        steps = tuple(step // self.array.itemsize for step in self.array.strides)
        return steps if dim is None else steps[self._axis("stride", dim)]

    def _axis(self, op: str, dim: int) -> int:
        if not -self.ndim <= dim < self.ndim:
            raise expected(op, "dim", f"an axis in [{-self.ndim}, {self.ndim - 1}]", dim, error=IndexError)
        return dim

    def numel(self) -> int:
        """The number of elements."""
        return self.array.size

    nelement = numel

    def element_size(self) -> int:
        """The bytes of one element."""
        return self.array.itemsize

    def is_contiguous(self) -> bool:
        """Whether the elements lie in C order without gaps."""
        return self.array.flags.c_contiguous

    def is_floating_point(self) -> bool:
        """Whether the elements are floating numbers."""
        return self.array.dtype in dtypes.FLOATING

    # Out of pylayers

    def numpy(self) -> np.ndarray:
        """The array itself, for a tensor in host memory that needs no gradient."""
        if self._requires_grad:
            raise RuntimeError("Can't call numpy() on Tensor that requires grad. Use tensor.detach().numpy() instead.")
        if not isinstance(self.array, np.ndarray):
            raise TypeError(
                f"can't convert {self.device} device type tensor to numpy."
                " Use Tensor.cpu() to copy the tensor to host memory first."
            )
        return self.array

    def item(self) -> Any:
        """The only element as a Python number."""
        if self.array.size != 1:
            raise RuntimeError(f"a Tensor with {self.array.size} elements cannot be converted to Scalar")
        return self.tolist() if self.array.ndim == 0 else self.array.reshape(()).tolist()

    def tolist(self) -> Any:
        """Nested lists of Python numbers."""
        return self.array.tolist()

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.array(self.numpy(), dtype=dtype, copy=copy)

    def __dlpack__(self, **options: Any) -> Any:
        if self._requires_grad:
            raise BufferError("Can't export tensors that require gradient, use tensor.detach()")
        return self.array.__dlpack__(**options)

    def __dlpack_device__(self) -> tuple[int, int]:
        return self.array.__dlpack_device__()

    def __len__(self) -> int:
        if self.array.ndim == 0:
            raise TypeError("len() of a 0-d tensor")
        return self.array.shape[0]

    def __iter__(self) -> Iterator[Tensor]:
        if self.array.ndim == 0:
            raise TypeError("iteration over a 0-d tensor")
        return (self[i] for i in range(self.array.shape[0]))

    def __bool__(self) -> bool:
        if self.array.size != 1:
            many = "more than one value" if self.array.size else "no values"
            raise RuntimeError(f"Boolean value of Tensor with {many} is ambiguous")
        return bool(self.item())

    def __float__(self) -> float:
        return float(self.item())

    def __int__(self) -> int:
        return int(self.item())

    def __index__(self) -> int:
        if self.array.size != 1 or self.array.dtype in dtypes.FLOATING:
            raise TypeError("only integer tensors of a single element can be converted to an index")
        return int(self.item())

    def __format__(self, spec: str) -> str:
        return format(self.item(), spec) if self.array.ndim == 0 else object.__format__(self, spec)

    def __repr__(self) -> str:
        from pylayers.tape.printing import tensor_repr

        return tensor_repr(self)
