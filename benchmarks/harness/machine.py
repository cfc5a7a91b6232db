"""What measured: the machine, the versions of everything that took part, and the state of the GPU's clocks."""

from __future__ import annotations

import contextlib
import importlib.metadata
import os
import platform
import re
import subprocess
import time
from pathlib import Path
from typing import Any

import numpy as np

import pylayers
from pylayers import info

from .places import HostPlace
from .threads import WAITS

PACKAGES = ("pylayers", "numpy", "scipy", "ml_dtypes", "torch", "triton", "cupy-cuda13x", "cupy-cuda12x", "cupy")
STATE = "clocks.sm,clocks.mem,temperature.gpu,power.draw,clocks_event_reasons.active"
NAMES = ("sm_mhz", "memory_mhz", "celsius", "watts", "reasons")
# What spoils figures; the power cap (0x04) is what limits a GPU at full load, and is not among them.
THROTTLED = {0x08: "hardware slowdown", 0x20: "software thermal slowdown", 0x40: "hardware thermal slowdown",
             0x80: "power brake"}  # fmt: skip


def versions() -> dict[str, str]:
    """Of each package that is installed."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(name)
    return found | {"pylayers": pylayers.__version__}


def commit() -> str | None:
    """The commit of the checkout that this file stands in, with "+" where it was edited since; None elsewhere."""
    root = Path(__file__).parents[2]
    if not Path(root, "csrc").is_dir():
        return None
    git = ["git", "-C", str(root)]
    try:
        head = subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, text=True, check=True, timeout=10)
        edited = subprocess.run([*git, "diff", "--quiet", "HEAD"], capture_output=True, timeout=30).returncode
    except (OSError, subprocess.SubprocessError):
        return None
    return head.stdout.strip() + ("+" if edited else "")


def processor() -> str:
    """The CPU's name."""
    with contextlib.suppress(OSError):
        found = re.search(r"model name\s*:\s*(.+)", Path("/proc/cpuinfo").read_text())
        if found:
            return found[1]
    return platform.processor() or platform.machine()


def describe(place: HostPlace) -> dict[str, Any]:
    """Everything that a reader of the figures asks about."""
    facts: dict[str, Any] = {
        "place": place.name, "backend": place.backend, "cpu": processor(), "cpus": os.cpu_count(),
        "cache_bytes": place.cache_bytes, "system": platform.platform(), "versions": versions(), "commit": commit(),
    }  # fmt: skip
    facts["waits"] = {name: os.environ.get(name) for name in WAITS}
    record = info.build_record() or {}
    facts["nvcc"] = record.get("nvcc")
    if place.name != "cpu":
        facts |= describe_gpu(place)
    return facts


def describe_gpu(place: HostPlace) -> dict[str, Any]:
    """Name, driver and libraries."""
    runtime = place.xp.cuda.runtime
    properties = runtime.getDeviceProperties(runtime.getDevice())
    facts = {
        "gpu": properties["name"].decode(), "sms": int(properties["multiProcessorCount"]),
        "memory_bytes": int(properties["totalGlobalMem"]), "driver": info.driver_version(),
        "cuda_runtime": runtime.runtimeGetVersion(), "cuda_driver": runtime.driverGetVersion(),
    }  # fmt: skip
    with contextlib.suppress(ModuleNotFoundError):
        import torch

        facts |= {"torch_cuda": torch.version.cuda, "cudnn": torch.backends.cudnn.version()}
    return facts


class Conditions:
    """Under which a case is measured: from here until `end`."""

    def __init__(self, place: HostPlace) -> None:
        self.place, self.state = place, clocks(place)
        self.began, self.busy_s, self.own_s = time.monotonic(), busy_seconds(), time.process_time()

    def end(self) -> dict[str, Any]:
        """A GPU's clocks before and after; of a CPU the share of it that other programs took ("others")."""
        if self.place.xp is not np:
            return {"before": self.state, "after": clocks(self.place)}
        others = busy_seconds() - self.busy_s - (time.process_time() - self.own_s)
        return {"others": max(0.0, others / (time.monotonic() - self.began) / (os.cpu_count() or 1))}


def busy_seconds() -> float:
    """What the CPUs have worked for anybody since the system began; the time of other guests on the host is in it."""
    with contextlib.suppress(OSError):
        user, nice, system, _, _, *rest = map(int, Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9])
        return (user + nice + system + sum(rest)) / os.sysconf("SC_CLK_TCK")
    return 0.0


def clocks(place: HostPlace) -> dict[str, Any] | None:
    """Clocks, temperature, power and what holds the clocks down; None on the CPU and where nothing tells them."""
    if place.xp is np:
        return None
    runtime = place.xp.cuda.runtime
    bus = runtime.deviceGetPCIBusId(runtime.getDevice())
    try:
        return nvml_clocks(bus)
    except ImportError:
        return smi_clocks(bus)


def nvml_clocks(bus: str) -> dict[str, Any] | None:
    """By NVIDIA's management library (package nvidia-ml-py)."""
    import pynvml  # type: ignore[import-not-found]

    try:
        pynvml.nvmlInit()
        gpu = pynvml.nvmlDeviceGetHandleByPciBusId(bus.encode())
        values = (
            pynvml.nvmlDeviceGetClockInfo(gpu, pynvml.NVML_CLOCK_SM),
            pynvml.nvmlDeviceGetClockInfo(gpu, pynvml.NVML_CLOCK_MEM),
            pynvml.nvmlDeviceGetTemperature(gpu, pynvml.NVML_TEMPERATURE_GPU),
            pynvml.nvmlDeviceGetPowerUsage(gpu) / 1000,
            pynvml.nvmlDeviceGetCurrentClocksThrottleReasons(gpu),
        )
    except pynvml.NVMLError:
        return None
    return dict(zip(NAMES, values, strict=True))


def smi_clocks(bus: str) -> dict[str, Any] | None:
    """By the command nvidia-smi."""
    command = ["nvidia-smi", f"--id={bus}", f"--query-gpu={STATE}", "--format=csv,noheader,nounits"]
    try:
        line = subprocess.run(command, capture_output=True, text=True, check=True, timeout=20).stdout
        sm, memory, celsius, watts, reasons = (item.strip() for item in line.split(","))
        values = int(sm), int(memory), int(celsius), float(watts), int(reasons, 16)
    except (OSError, subprocess.SubprocessError, ValueError):
        return None
    return dict(zip(NAMES, values, strict=True))


def throttled(state: dict[str, Any] | None) -> str:
    """What slows the GPU down beyond its usual power limit, "" if nothing does."""
    reasons = (state or {}).get("reasons", 0)
    return ", ".join(name for bit, name in THROTTLED.items() if reasons & bit)
