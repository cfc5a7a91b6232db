"""What this installation is: version, backends built and why one is missing, GPU, driver, what the build decided."""

from __future__ import annotations

import functools
import importlib
import importlib.util
import json
import platform
import re
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

import pylayers
from pylayers.context import BACKENDS, describe_precision

DRIVER_FILE = Path("/proc/driver/nvidia/version")
CHECKOUT = (
    "pylayers was imported from a source checkout, which has no built module: run `pip install -e .` in it, "
    "or start Python elsewhere to use the installed package"
)


@functools.cache
def build_record() -> dict[str, Any] | None:
    """What the build decided (written by ``packaging/pylayers_build.py``), None in a checkout that was not built."""
    for folder in pylayers.__path__:
        path = Path(folder, "_build.json")
        if path.is_file():
            record: dict[str, Any] = json.loads(path.read_text())
            return record
    return None


def why_missing(backend: str) -> str:
    """Why the backend's compiled module cannot be had and what to do, in one line; "" when it can."""
    if backend == "reference":
        return ""
    try:
        importlib.import_module(f"pylayers._{backend}")
    except ModuleNotFoundError as error:
        if error.name != f"pylayers._{backend}":
            return f"its module needs {error.name}, which is not installed"
    except ImportError as error:
        return f"its module cannot be loaded: {error}"
    else:
        return ""
    if backend == "emulated":
        return "it is built by the test session from the same sources and is never part of an installation"
    record = build_record()
    if record is None:
        return CHECKOUT
    if record["cuda"]:
        return "its module is gone from the installation; `pip install --force-reinstall .` brings it back"
    return f"this installation was built without CUDA ({record['why']}); `pip install . -C cuda=on` builds it"


def driver_version() -> str:
    """The version of the NVIDIA driver as its kernel module tells it, "" without one."""
    if not DRIVER_FILE.is_file():
        return ""
    found = re.search(r"(?:Module|for \w+)\s+([\d.]+)\s", DRIVER_FILE.read_text())
    return found[1] if found else "of unknown version"


def cuda_name(version: int) -> str:
    """13000 -> "CUDA 13.0"."""
    return f"CUDA {version // 1000}.{version % 1000 // 10}"


def driver_problem(cuda: ModuleType) -> str:
    """Why the compiled module cannot work with this machine's driver, "" when it can."""
    supported, built = cuda.driver_version(), cuda.runtime_version()
    if supported == 0:
        return "no NVIDIA driver"
    if supported < built // 1000 * 1000:
        return f"driver too old: it knows {cuda_name(supported)}, the kernels were built with {cuda_name(built)}"
    return ""


def gpus(cuda: ModuleType | None) -> str:
    """The GPUs that the compiled module sees, or why it sees none."""
    if cuda is None:
        return "not asked: the cuda backend is not there"
    if problem := driver_problem(cuda):
        return f"none: {problem}"
    try:
        count = cuda.device_count()
    except RuntimeError as error:
        return f"none ({error})"
    return ", ".join(f"{number}: {cuda.device_name(number)}" for number in range(count)) or "none"


def describe_backend(name: str) -> str:
    """One clause: built, or why it is not there."""
    if name == "reference":
        return f"built (NumPy {np.__version__})"
    missing = why_missing(name)
    if missing:
        return f"not there: {missing}"
    if name == "cuda" and importlib.util.find_spec("cupy") is None:
        return "built; its arrays need CuPy: pip install 'pylayers[cuda13]'"
    return "built"


def describe_build(record: dict[str, Any] | None) -> str:
    """What the build decided and with which compilers."""
    if record is None:
        return CHECKOUT
    if not record["cuda"]:
        text = f"without CUDA: {record['why']}"
    else:
        compilers = f"nvcc {record['nvcc']} from {record['nvcc_origin']}, {record['host_compiler']}"
        text = f"with CUDA: {record['why']}; {compilers}"
    return "; ".join([text, *record["notes"]])


def rows() -> list[tuple[str, str]]:
    """The report as (name, text)."""
    record = build_record()
    cuda = None if why_missing("cuda") else importlib.import_module("pylayers._cuda")
    return [
        ("version", f"{pylayers.__version__} (Python {platform.python_version()}, {platform.platform()})"),
        *((f"backend {name}", describe_backend(name)) for name in BACKENDS),
        ("GPU", gpus(cuda)),
        ("driver", driver_version() or "no NVIDIA driver"),
        ("architectures", record["architectures"] if record and record["cuda"] else "none"),
        ("precision", f"{describe_precision()}; 16-bit types compute in float32 and round once"),
        ("build", describe_build(record)),
    ]


def main() -> None:
    """Prints the report: a table on a terminal, one line for each item elsewhere."""
    from rich.console import Console
    from rich.table import Table

    console = Console(markup=False)
    if not console.is_terminal:
        print("\n".join(f"{name}: {text}" for name, text in rows()))
        return
    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, text in rows():
        table.add_row(name, text)
    console.print(table)


if __name__ == "__main__":
    main()
