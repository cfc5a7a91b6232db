"""How the tests of the emulator run its own kernels (emulator/selftest.cu), and what the right ones yield."""

from __future__ import annotations

import os
import subprocess
import sys
from types import ModuleType
from typing import Any

import emulated
import ml_dtypes
import numpy as np

SCHEDULES = [("forward", 0), ("reverse", 0), *[(order, seed) for order in ("random", "priority") for seed in range(4)]]
HERE = r"emulator/selftest\.cu:\d+"
ANYWHERE = r"emulator/selftest_\w+\.cu:\d+:\d+"


def run(module: ModuleType, kernel: str, x: Any, blocks: int = 1, **guard: Any) -> np.ndarray:
    """What the kernel makes of the float32 array x, which lies against a guard page."""
    y: np.ndarray = emulated.guarded(np.asarray(x, np.float32), **guard)
    module.run(kernel, y.ctypes.data, y.size, blocks)
    return y


def bits(x: np.ndarray) -> np.ndarray:
    return x.astype(np.float32).view(np.uint32)


def sums_of_blocks(blocks: int) -> np.ndarray:
    """What last_block_sums takes: result, values, partial sums, counter."""
    return np.concatenate([[0], np.arange(1, blocks + 1), np.zeros(blocks), [0]]).astype(np.float32)


def lanes_sum(steps: int) -> np.ndarray:
    """What lane t of a consumer adds up: t + i for each step i."""
    return (sum(range(steps)) + steps * np.arange(32)).astype(np.float32)


def row_tiles(x: np.ndarray) -> np.ndarray:
    """What tile_sum makes of x."""
    tiles = np.concatenate([x, np.zeros(-len(x) % 512, np.float32)]).reshape(-1, 512)
    return np.concatenate([tiles.sum(0)[::-1], x[512:]])


def bfloat16(shape: tuple[int, ...], seed: int) -> np.ndarray:
    """Small integers, whose products have exact sums."""
    return np.random.default_rng(seed).integers(-4, 5, shape).astype(ml_dtypes.bfloat16)


def product(m: int, n: int, k: int) -> tuple[np.ndarray, np.ndarray]:
    """a (m, k), b (n, k) and room for their product, in floats; and the same with the product."""
    a, b = bfloat16((m, k), 1), bfloat16((n, k), 2)
    operands = np.concatenate([a.ravel(), b.ravel()]).view(np.float32)
    y = (a.astype(np.float32) @ b.astype(np.float32).T).ravel()
    return np.concatenate([operands, np.zeros(m * n, np.float32)]), np.concatenate([operands, y])


def asynchronous_expectations() -> dict[str, tuple[np.ndarray, int, np.ndarray]]:
    """The same of kernels in which copies and products go on by themselves, and of what they meet at."""
    x = np.arange(768, dtype=np.float32)
    halves = np.arange(256, dtype=np.uint16)
    transposed = halves.reshape(4, 8, 8).transpose(0, 2, 1).ravel().copy()
    pair = np.concatenate([[b * 100 + np.arange(31, -1, -1)] for b in (1, 0, 3, 2)]).astype(np.float32).ravel()
    votes = np.array([0, 31, 127, 2], np.int32).view(np.float32)
    votes[0] = 2 * sum(range(32))
    small, wide, tiles = product(16, 8, 16), product(64, 32, 64), product(128, 128, 320)
    result: dict[str, tuple[np.ndarray, int, np.ndarray]] = {
        "give_and_take": (np.zeros(32), 1, lanes_sum(5)),
        "mbarrier_pipeline": (np.zeros(32), 1, lanes_sum(7)),
        "exchange": (np.zeros(128), 4, pair),
        "exchange_by_mbarrier": (np.zeros(128), 4, pair),
        "register_pool": (np.zeros(4), 1, np.ones(4)),
        "votes": (np.zeros(4), 1, votes),
        "tile_sum": (np.arange(2060), 1, row_tiles(np.arange(2060, dtype=np.float32))),
        "copy_by_mbarrier": (x[:256], 1, np.concatenate([x[:128], x[127::-1]])),
        "double_rows": (x, 3, 2 * x),
        "add_double_rows": (x, 3, 3 * x),
        "bulk_mirror": (x, 1, np.concatenate([x[:256], x[255::-1], x[255::-1] + 1])),
        "transpose_by_load": (halves.view(np.float32), 1, transposed.view(np.float32)),
        "transpose_by_store": (halves.view(np.float32), 1, transposed.view(np.float32)),
        "product": (small[0], 1, small[1]),
        "warpgroup_product": (wide[0], 1, wide[1]),
        "warpgroup_product_of_registers": (wide[0], 1, wide[1]),
        "pipeline": (tiles[0], 4, tiles[1]),
        "multicast": (tiles[0], 4, tiles[1]),
    }
    return {kernel: (x.astype(np.float32), blocks, y.astype(np.float32)) for kernel, (x, blocks, y) in result.items()}


def expectations() -> dict[str, tuple[np.ndarray, int, np.ndarray]]:
    """kernel -> input, blocks, output"""
    x = np.arange(768, dtype=np.float32)
    sums = x.reshape(-1, 128).sum(1, keepdims=True)
    last = sums_of_blocks(40)
    after = last.copy()
    after[0], after[41:81] = last[1:41].sum(), last[1:41]
    return {
        "mirror": (x, 3, (x.reshape(3, 256)[:, ::-1] + 1).ravel()),
        "warp_mirror": (x[:96], 1, x[:96].reshape(3, 32)[:, ::-1].ravel() + 1),
        "sum_thrice": (x, 6, np.repeat(6 * sums, 128)),
        "broadcast": (x[:64], 1, np.repeat(np.array([5, 37], np.float32), 32)),
        "last_block_sums": (last, 40, after),
        "neighbouring_bytes": (np.zeros(16), 1, np.arange(64, dtype=np.uint8)[::-1].copy().view(np.float32)),
    }


def in_a_process(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", f"import emulated, numpy as np\nm = emulated.load(name='_selftest')\n{code}"]
    return subprocess.run(command, env={**os.environ, **environment, **python_path()}, text=True, capture_output=True)


def python_path() -> dict[str, str]:
    """Where such a process finds the modules of the tests."""
    paths = [str(emulated.ROOT / "tests/support"), os.environ.get("PYTHONPATH", "")]
    return {"PYTHONPATH": os.pathsep.join(filter(None, paths))}
