"""torch tensors in GPU memory that is not there: views work, values do not exist, and what allocates is on record."""

from __future__ import annotations

import contextlib
import types
from collections.abc import Iterator
from typing import Any

import fake_cuda
import numpy as np
import pytest

torch = pytest.importorskip("torch")

# What is asked of a tensor without touching its values.
QUESTIONS = ("__get__", "stride", "numel", "size", "is_neg", "is_conj", "data_ptr", "requires_grad_")


class GpuTensor(torch.Tensor):  # type: ignore[misc]
    """A tensor that says it lies on a GPU; its host memory, never read, lends an address and views."""

    number = 0

    @staticmethod
    def on(layout: Any, number: int) -> GpuTensor:
        """The layout of a tensor in host memory, on GPU number `number`."""
        x = torch.Tensor._make_subclass(GpuTensor, layout)
        x.number = number
        return x

    @property
    def device(self) -> Any:
        return torch.device("cuda", self.number)

    def get_device(self) -> int:
        return self.number

    @classmethod
    def __torch_function__(cls, function: Any, kinds: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = super().__torch_function__(function, kinds, args, kwargs or {})
        if isinstance(result, GpuTensor):
            sources = [x for x in args if isinstance(x, GpuTensor)]
            with torch._C.DisableTorchFunctionSubclass():
                storages = {x.untyped_storage().data_ptr() for x in sources}
                if result.untyped_storage().data_ptr() not in storages:
                    raise AssertionError(f"fake_torch: {function} would run on the GPU, by no kernel of ours")
            result.number = sources[0].number
        elif function.__name__ == "__setitem__" and isinstance(args[-1], (int, float)):
            pass  # filled with one number
        elif function.__name__ not in QUESTIONS:
            raise AssertionError(f"fake_torch: {function} would wait for the GPU")
        return result


class FakeTorch:
    """What torch's allocator and streams were asked."""

    def __init__(self, recorder: fake_cuda.FakeCuda) -> None:
        self.launches = recorder.launches
        self.streams: dict[int, int] = {}
        self.allocations: list[tuple[tuple[int, ...], str, int]] = []
        self.fail_at: int | None = None
        self.host_empty = torch.empty

    def array(self, x: np.ndarray, device: int) -> GpuTensor:
        """The layout of a NumPy array, strides included, on a device."""
        if x.dtype.name == "bfloat16":
            return GpuTensor.on(torch.from_numpy(x.view(np.int16)).view(torch.bfloat16), device)
        return GpuTensor.on(torch.from_numpy(x), device)

    def empty(self, shape: Any, dtype: Any = None, device: Any = "cpu") -> Any:
        layout = self.host_empty(shape, dtype=dtype)
        if torch.device(device).type == "cpu":
            return layout
        number = len(self.allocations)
        self.allocations.append((tuple(shape), str(dtype), torch.device(device).index))
        if number == self.fail_at:
            raise torch.OutOfMemoryError(f"CUDA out of memory. Tried to allocate {layout.nbytes} bytes.")
        return GpuTensor.on(layout, torch.device(device).index)

    def current_stream(self, device: int) -> Any:
        return types.SimpleNamespace(cuda_stream=self.streams.get(device, 0))


@contextlib.contextmanager
def installed(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeTorch]:
    """torch with GPUs that are not there, and `_cuda` in its recording mode."""
    with fake_cuda.installed() as recorder:
        fake = FakeTorch(recorder)
        monkeypatch.setattr(torch, "empty", fake.empty)
        monkeypatch.setattr(torch.cuda, "current_stream", fake.current_stream)
        yield fake
