"""The kernels' own tests once more on the race and the asan build of the emulator, each in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import emulated
import pytest

HERE = Path(__file__).parent  # tests/kernels
FAMILIES = [
    "gemm",
    "gemm_epilogue",
    "column_sum",
    "conv",
    "pool",
    "activation",
    "dropout",
    "softmax",
    "norm",
    "cross_entropy",
    "attention",
    "adam",
]
# What repeats in these builds, several times slower, what they have seen in a few cases.
REPEATED = ["random", "thousand", "every_size", "hardest", "bound_on_reals", "non_negative", "identity", "one_hot"]
CHOSEN = "emulated and not " + " and not ".join(REPEATED)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["race", "asan"])
def test_kernels_are_clean(kind: str) -> None:
    emulated.build(kind)  # type: ignore[arg-type]
    environment = emulated.asan_environment() if kind == "asan" else {**os.environ, "PYLAYERS_EMULATED": "race"}
    environment.pop("PYTEST_XDIST_WORKER", None)
    files = [str(HERE / f"test_{family}.py") for family in FAMILIES]
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-x",
        "-p",
        "no:faulthandler",
        "-p",
        "no:cacheprovider",
        "-k",
        CHOSEN,
    ]
    done = subprocess.run([*command, *files], env=environment, cwd=HERE.parents[1], capture_output=True, text=True)
    assert done.returncode == 0 and " passed" in done.stdout, done.stdout[-6000:] + done.stderr[-6000:]
