"""torch tensors as arrays: those in host memory as NumPy views, those in GPU memory under the names that ops use.

Nothing here imports torch by itself: who has a torch tensor has imported it.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from pylayers import dtypes
from pylayers.arrays import Caller, device_names, device_numbers, dtype_names, libraries
from pylayers.errors import expected

Tensor = Any  # torch.Tensor
Array = Any
# NumPy's dtypes of the same size for what only torch and ml_dtypes know, each in its own way.
BITS = {dtypes.bfloat16: "int16", dtypes.float8_e4m3fn: "uint8", dtypes.float8_e5m2: "uint8"}


def is_tensor(x: object) -> bool:
    """Whether x is a torch tensor."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(x, torch.Tensor)


@functools.cache
def numpy_dtypes() -> dict[Any, np.dtype[Any]]:
    """From torch's dtypes to ours, by their common names."""
    import torch

    return {getattr(torch, name): dtype for name, dtype in dtypes.DTYPES.items()}


@functools.cache
def torch_dtype(dtype: np.dtype[Any]) -> Any:
    """torch's dtype of the same name."""
    import torch

    return getattr(torch, dtype_names[np.dtype(dtype)])


def check(op: str, x: Tensor) -> None:
    """TypeError for a tensor whose memory alone does not say what it is: one with a history, lazy signs, no memory."""
    import torch

    if x.requires_grad:
        hint = "detach it, or use pylayers.torch, which records on torch's own tape"
        raise expected(op, "x", "a torch tensor without history", "one that requires grad", hint, TypeError)
    if x.layout != torch.strided:
        raise expected(op, "x", "a dense torch tensor", str(x.layout), "x.to_dense()", TypeError)
    if x.device.type not in ("cpu", "cuda"):
        raise expected(op, "x", "a torch tensor on the CPU or a CUDA device", str(x.device), error=TypeError)
    if x.is_neg() or x.is_conj():
        hint = "x.resolve_conj().resolve_neg()"
        raise expected(op, "x", "a torch tensor with its own values", "a lazily negated or conjugated view", hint,
                       TypeError)  # fmt: skip
    if x.dtype not in numpy_dtypes():
        raise expected(op, "x", "a dtype among " + ", ".join(dtypes.DTYPES), str(x.dtype), error=TypeError)


def host_view(x: Tensor) -> np.ndarray:
    """A tensor in host memory as a NumPy array on the same memory."""
    dtype = numpy_dtypes()[x.dtype]
    if dtype not in BITS:
        return x.numpy()
    return x.view(torch_dtype(np.dtype(BITS[dtype]))).numpy().view(dtype)


def host_empty(shape: tuple[int, ...], dtype: Any) -> np.ndarray:
    """As `numpy.empty`, in memory of torch's allocator."""
    import torch

    return host_view(torch.empty(shape, dtype=torch_dtype(np.dtype(dtype))))


def host_tensor(y: Any) -> Tensor:
    """A NumPy array as a tensor: on its memory if that is torch's, otherwise on a copy that is."""
    import torch

    y = np.asarray(y)
    root = y
    while isinstance(root, np.ndarray):
        root = root.base
    if not isinstance(root, torch.Tensor) or not y.flags.writeable or any(stride < 0 for stride in y.strides):
        copy = host_empty(y.shape, y.dtype)
        copy[...] = y
        y = copy
    if y.dtype not in BITS:
        return torch.from_numpy(y)
    return torch.from_numpy(y.view(BITS[y.dtype])).view(torch_dtype(y.dtype))


def note_changes(tensors: Sequence[Any]) -> None:
    """Tells torch's tape that the tensors in these lists were changed in place."""
    import torch

    for x in tensors:
        if isinstance(x, (list, tuple)):
            note_changes(x)
        elif isinstance(x, torch.Tensor):
            torch.autograd.graph.increment_version(x)


class TorchArray:
    """A torch tensor in GPU memory under NumPy's names: what glue and kernels ask of an array, by torch's functions."""

    __array_ufunc__ = None  # NumPy's scalars leave operators to us
    __slots__ = ("dtype", "shape", "tensor")

    def __init__(self, tensor: Tensor) -> None:
        self.tensor = tensor
        self.shape = tuple(tensor.shape)
        self.dtype = numpy_dtypes()[tensor.dtype]

    base = None  # views of one memory are not followed here

    @property
    def data(self) -> TorchArray:
        """What has the pointer, as in CuPy."""
        return self

    @property
    def ptr(self) -> int:
        """Where the first element lies."""
        return self.tensor.data_ptr()

    @property
    def device_id(self) -> int:
        """The number of the GPU."""
        return self.tensor.get_device()

    @property
    def strides(self) -> tuple[int, ...]:
        """In bytes."""
        size = self.dtype.itemsize
        return tuple([step * size for step in self.tensor.stride()])

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def size(self) -> int:
        return self.tensor.numel()

    @property
    def itemsize(self) -> int:
        return self.dtype.itemsize

    @property
    def T(self) -> TorchArray:
        return self.transpose()

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, key: Any) -> TorchArray:
        return TorchArray(self.tensor[key])

    def __setitem__(self, key: Any, value: Any) -> None:
        self.tensor[key] = unwrapped(value)

    def __repr__(self) -> str:
        return f"TorchArray({self.tensor!r})"

    def reshape(self, *shape: Any) -> TorchArray:
        return TorchArray(self.tensor.reshape(*shape))

    def transpose(self, *axes: Any) -> TorchArray:
        order = axes[0] if len(axes) == 1 else axes or range(self.ndim)[::-1]
        return TorchArray(self.tensor.permute([int(axis) for axis in order]))

    def swapaxes(self, a: int, b: int) -> TorchArray:
        return TorchArray(self.tensor.transpose(a, b))

    def squeeze(self, axis: Any) -> TorchArray:
        return TorchArray(self.tensor.squeeze(axis))

    def astype(self, dtype: Any, copy: bool = True) -> TorchArray:
        return TorchArray(self.tensor.to(torch_dtype(np.dtype(dtype)), copy=copy))

    def sum(self, axis: Any = None, keepdims: bool = False, dtype: Any = None) -> TorchArray:
        kind = None if dtype is None else torch_dtype(np.dtype(dtype))
        axes = tuple(range(self.ndim)) if axis is None else axis
        return TorchArray(self.tensor.sum(axes, keepdim=keepdims, dtype=kind) if axes != () else self.tensor.to(kind))

    def get(self) -> np.ndarray:
        """A copy in host memory."""
        return host_view(self.tensor.cpu())

    def __dlpack__(self, **options: Any) -> Any:
        return self.tensor.__dlpack__(**options)

    def __dlpack_device__(self) -> Any:
        return self.tensor.__dlpack_device__()


def _operator(name: str) -> Callable[..., Any]:
    def apply(self: TorchArray, *others: Any) -> Any:
        return wrapped(getattr(self.tensor, name)(*map(unwrapped, others)))

    return apply


for _name in ("add", "radd", "sub", "rsub", "mul", "rmul", "truediv", "rtruediv", "pow", "neg", "abs"):
    setattr(TorchArray, f"__{_name}__", _operator(f"__{_name}__"))


def wrapped(y: Any) -> Any:
    """A tensor as an array, anything else as it is."""
    return TorchArray(y) if is_tensor(y) else y


def unwrapped(x: Any) -> Any:
    """An array's tensor, a NumPy scalar as a number, anything else as it is."""
    if isinstance(x, TorchArray):
        return x.tensor
    return x.item() if isinstance(x, np.generic) else x


class TorchNamespace:
    """The functions that ops call on an array's namespace; those whose names and meaning torch shares come from it."""

    SHARED = frozenset((
        "broadcast_to", "einsum", "exp", "log", "log1p", "matmul", "moveaxis", "multiply", "sign", "subtract", "where",
    ))  # fmt: skip

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if name not in self.SHARED:
            raise NotImplementedError(f"torch tensors in GPU memory have no '{name}' here; with CuPy installed they do")
        import torch

        function = getattr(torch, name)

        def call(*args: Any) -> Any:
            return wrapped(function(*map(unwrapped, args)))

        setattr(self, name, call)
        return call

    def maximum(self, x: TorchArray, other: Any) -> TorchArray:
        if isinstance(other, TorchArray):
            return TorchArray(x.tensor.maximum(other.tensor))
        return TorchArray(x.tensor.clamp(min=unwrapped(other)))

    # One number of a dtype beside arrays wherever they lie: torch lets it stay in host memory.
    def full(self, shape: tuple[()], value: float, dtype: Any) -> TorchArray:
        import torch

        return TorchArray(torch.full(shape, value, dtype=torch_dtype(np.dtype(dtype))))

    def zeros(self, shape: tuple[()], dtype: Any) -> TorchArray:
        return self.full(shape, 0, dtype)


class TorchLibrary:
    """GPU memory of torch: its caching allocator, its current streams."""

    namespace = TorchNamespace()

    def empty(self, shape: tuple[int, ...], dtype: Any, device: str) -> TorchArray:
        import torch

        try:
            return TorchArray(torch.empty(shape, dtype=torch_dtype(np.dtype(dtype)), device=device))
        except torch.OutOfMemoryError as error:
            raise MemoryError(str(error)) from error

    def pointer(self, x: TorchArray) -> int:
        return x.ptr

    def device(self, x: TorchArray) -> str:
        return device_names[x.device_id]

    def stream(self, device: str) -> tuple[int, int]:
        import torch

        number = device_numbers[device]
        return torch.cuda.current_stream(number).cuda_stream, number

    def caller(self, x: TorchArray) -> Caller:
        device = self.device(x)
        return self.empty, device, self.stream(device)


libraries[TorchArray] = TorchLibrary()
