"""The cuda half of every op without a GPU: launches, streams, devices, workspaces, and memory that runs out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import emulated
import fake_cuda
import numpy as np
import pytest
from op_cases import OPS
from subject import map_arrays

from pylayers import backends
from pylayers.backends import contract


@pytest.fixture
def gpu() -> Iterator[fake_cuda.FakeCuda]:
    with fake_cuda.installed() as fake:
        yield fake


def run(backend: str, op: str, place: Callable[[np.ndarray], Any]) -> Any:
    """The case on arrays that `place` makes."""
    args = map_arrays(place, OPS[op])
    named = args[-1] if isinstance(args[-1], dict) else {}
    named = {name: map_arrays(place, value) for name, value in named.items()}
    return getattr(backends.load(backend), op.partition("/")[0])(*args[: -1 if named else None], **named)


def call(gpu: fake_cuda.FakeCuda, op: str, device: int = 0) -> Any:
    return run("cuda", op, lambda x: gpu.array(x, device))


def plain(kernel: str) -> str:
    """The kernel's name without namespaces and arguments, which compilers spell in their own ways."""
    return kernel.split("<")[0].split("::")[-1]


def test_every_kernel_op_has_a_case() -> None:
    assert {op for op, row in contract.OPS.items() if row.kernels} == {name.partition("/")[0] for name in OPS}


@pytest.mark.parametrize("op", OPS)
def test_launches_are_those_of_the_emulator(gpu: fake_cuda.FakeCuda, op: str) -> None:
    call(gpu, op)
    recorded = [(r.kernel, r.blocks) for r in gpu.launches()]
    module = emulated.load()
    module.clear_launches()
    run("emulated", op, np.array)
    ran = [(kernel, blocks) for kernel, blocks, *_ in module.launches()]
    assert [blocks for _, blocks in recorded] == [blocks for _, blocks in ran]
    assert [plain(name) for name, _ in recorded] == [plain(name) for name, _ in ran]


@pytest.mark.parametrize("op", OPS)
def test_stream_device_and_library(gpu: fake_cuda.FakeCuda, op: str) -> None:
    gpu.streams = {0: 111, 1: 222}
    result = call(gpu, op, device=1)  # while device 0 is current
    launches = gpu.launches()
    assert launches and {(r.stream, r.device) for r in launches} == {(222, 1)}
    assert all(isinstance(x, fake_cuda.FakeArray) and x.device.id == 1 for x in fake_cuda.flat(result))
    assert all(device == 1 for *_, device in gpu.allocations)
    assert gpu.current_device == 0


@pytest.mark.parametrize("op", OPS)
def test_every_allocation_may_fail(gpu: fake_cuda.FakeCuda, op: str) -> None:
    call(gpu, op)
    count = len(gpu.allocations)
    gpu.launches()
    for number in range(count):
        gpu.allocations, gpu.fail_at = [], number
        with pytest.raises(MemoryError, match="bytes"):
            call(gpu, op)
        assert not gpu.launches(), "something was launched before all of its memory was there"
    gpu.allocations, gpu.fail_at = [], None
    call(gpu, op)
    assert gpu.launches()


def test_arrays_on_two_devices_are_refused(gpu: fake_cuda.FakeCuda) -> None:
    a = gpu.array(np.zeros((2, 2), np.float32), 0)
    b = gpu.array(np.zeros((2, 2), np.float32), 1)
    with pytest.raises(
        TypeError, match=r"matmul: argument 'device': expected all arrays on one device, got cuda:0 and"
    ):
        backends.of("matmul", a, b)
    with pytest.raises(TypeError, match=r"got cpu and cuda:0"):
        backends.of("matmul", a, np.zeros((2, 2)))


def test_work_lists_are_written_by_a_kernel(gpu: fake_cuda.FakeCuda) -> None:
    call(gpu, "adam")
    assert [plain(r.kernel) for r in gpu.launches()] == ["TensorListWrite", "Adam"]
    call(gpu, "gradient_norm")
    names = [plain(r.kernel) for r in gpu.launches()]
    assert names == ["TensorListWrite", "GradientNormChunk", "GradientNormSum"]


def test_a_product_with_a_long_k_has_a_workspace(gpu: fake_cuda.FakeCuda) -> None:
    """Asked for by the plan during the call, after the outputs; other products have none."""
    call(gpu, "gemm/16 bits")
    assert [dtype for _, dtype, _ in gpu.allocations] == ["bfloat16"]
    gpu.allocations.clear()
    call(gpu, "gemm/long", device=1)
    assert [(dtype, device) for _, dtype, device in gpu.allocations] == [
        ("bfloat16", 1), ("float32", 1), ("uint8", 1)
    ]  # fmt: skip
