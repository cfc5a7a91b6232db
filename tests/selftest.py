"""How the tests of the emulator run its own kernels (emulator/selftest.cu), and what the right ones yield."""

from __future__ import annotations

import os
import subprocess
import sys
from types import ModuleType
from typing import Any

import emulated
import numpy as np

SCHEDULES = [("forward", 0), ("reverse", 0), *[(order, seed) for order in ("random", "priority") for seed in range(4)]]
HERE = r"tests/emulator/selftest\.cu:\d+"


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
        "broadcast": (x[:64], 1, np.repeat(np.float32([5, 37]), 32)),
        "last_block_sums": (last, 40, after),
        "neighbouring_bytes": (np.zeros(16), 1, np.arange(64, dtype=np.uint8)[::-1].copy().view(np.float32)),
    }


def in_a_process(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", f"import emulated, numpy as np\nm = emulated.load(name='_selftest')\n{code}"]
    return subprocess.run(command, env={**os.environ, **environment, **python_path()}, text=True, capture_output=True)


def python_path() -> dict[str, str]:
    """Where such a process finds the modules of the tests."""
    paths = [str(emulated.ROOT / "tests"), os.environ.get("PYTHONPATH", "")]
    return {"PYTHONPATH": os.pathsep.join(filter(None, paths))}
