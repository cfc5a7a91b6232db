"""The benchmarks that belong to the pylayers under test: pylayers.benchmarks if installed, or the checkout's own."""

from __future__ import annotations

import importlib
import importlib.util
from typing import Any

PACKAGE = "pylayers.benchmarks" if importlib.util.find_spec("pylayers.benchmarks") else "benchmarks"


def module(name: str) -> Any:
    """``module("harness.judge")`` is ``pylayers.benchmarks.harness.judge``."""
    return importlib.import_module(f"{PACKAGE}.{name}")
