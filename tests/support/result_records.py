"""Records of results, made up for the tests of what is said of them: never kept as measurements."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
sys.path.append(str(ROOT))  # the checkout's: what it speaks of are its sources

from evidence import machine_code  # noqa: E402


def kernel(entry: str = "k", architecture: str = "sm_90a", **about: str) -> machine_code.Kernel:
    """One of csrc/softmax.cu."""
    fields = {"launcher": "softmax", "code": "c", "source": "s", "compiler": "13.0.88", **about}
    return machine_code.Kernel(architecture, entry, **fields)


def saw(on: machine_code.Kernel, passed: int = 1, failed: int = 0, **about: Any) -> dict[str, Any]:
    """The record of a step that launched the kernel."""
    seen = {"passed": passed, "failed": failed, "launcher": on.launcher, "key": on.key}
    fields = {"name": "suite softmax", "phase": "suite", "device": "cuda", "status": "passed", "rc": 0,
              "ended": "2026-01-01", "sources": "t"}  # fmt: skip
    return {"kind": "test", **fields, "kernels": {on.name: seen}, **about}


def row(case: str, contender: str, seconds: float, **about: Any) -> dict[str, Any]:
    """A measured row of the family "rows"."""
    fields = {"family": "rows", "group": "softmax", "dtype": "float32", "flop": 0, "bytes": 10**9,
              "params": {"op": "softmax"}, "place": "cuda:0", "backend": "cuda", "status": "measured",
              "cold": True, "samples_s": [seconds, 1.01 * seconds, 0.99 * seconds] * 3}  # fmt: skip
    return {"kind": "row", "case": case, "contender": contender, "ours": contender == "pylayers", **fields, **about}
