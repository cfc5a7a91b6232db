"""Whether and with what CUDA is built: the option `-C cuda=`, the nvcc and the driver of this machine, its memory."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

Settings = dict[str, Any]  # config settings of PEP 517
Version = tuple[int, ...]

OLDEST_NVCC = (12, 8)  # the first that knows every instruction of kernels/core/ptx.cuh
NVCC_REQUIREMENT = "cuda-toolkit[nvcc,cccl]==13.0.*"  # later ones emit PTX that common drivers cannot load
OLDEST_DRIVER = {12: (525,), 13: (580,)}  # for each major version of the toolkit, from its release notes
PORTABLE_ARCHITECTURES = "80;90a-real"  # PTX of compute_80 serves whatever is newer
JOB_BYTES = 1 << 30  # for one nvcc; the largest was seen to take 0.3 GB
DRIVER_FILE = Path("/proc/driver/nvidia/version")


@dataclasses.dataclass(frozen=True)
class Nvcc:
    """A CUDA compiler."""

    path: Path
    version: Version
    origin: str  # where it was found, for people


@dataclasses.dataclass(frozen=True)
class Driver:
    """The NVIDIA driver and the compute capabilities of its GPUs."""

    version: Version
    capabilities: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Decision:
    """Whether CUDA is built and why; `nvcc` is None where it must come from the package index first."""

    cuda: bool
    why: str
    nvcc: Nvcc | None = None
    architectures: str = ""
    notes: tuple[str, ...] = ()

    def record(self) -> dict[str, Any]:
        """What the wheel says of its own build."""
        return {
            "cuda": self.cuda,
            "why": self.why,
            "nvcc": dotted(self.nvcc.version) if self.nvcc else None,
            "nvcc_origin": self.nvcc.origin if self.nvcc else None,
            "architectures": self.architectures,
            "host_compiler": host_compiler() if self.cuda else None,
            "notes": list(self.notes),
        }


def dotted(version: Version) -> str:
    """(12, 8) -> "12.8"."""
    return ".".join(map(str, version))


def output_of(*command: str | Path) -> str:
    """What a command prints, "" when it is not there or fails."""
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return ""


def host_compiler() -> str:
    """First line of what the host compiler says of itself."""
    return output_of(os.environ.get("CXX", "c++"), "--version").partition("\n")[0]


def nvcc_candidates(env: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Paths where an nvcc may be, best first, each with the words for where that is."""
    asked = env.get("PYLAYERS_NVCC", "")
    if asked and asked != "none":
        yield asked, "PYLAYERS_NVCC"
    if not asked:
        if "CUDACXX" in env:
            yield env["CUDACXX"], "CUDACXX"
        for name in ("CUDA_HOME", "CUDA_PATH"):
            if name in env:
                yield f"{env[name]}/bin/nvcc", name
        yield shutil.which("nvcc", path=env.get("PATH", "")) or "", "PATH"
        yield "/usr/local/cuda/bin/nvcc", "/usr/local/cuda"
    for folder in sys.path:
        yield f"{folder}/nvidia/cu13/bin/nvcc", "the package index"


def find_nvcc(env: Mapping[str, str]) -> tuple[Nvcc | None, list[str]]:
    """The first nvcc that is new enough, and a note for each one that was passed over."""
    notes = []
    for path, origin in nvcc_candidates(env):
        if not path or not Path(path).is_file():
            if origin in ("PYLAYERS_NVCC", "CUDACXX"):
                notes.append(f"{origin} names {path}, which is no file")
            continue
        found = re.search(r"release \d+\.\d+, V([\d.]+)", output_of(path, "--version"))
        version = tuple(map(int, found[1].split("."))) if found else ()
        if version >= OLDEST_NVCC:
            return Nvcc(Path(path), version, origin), notes
        notes.append(f"nvcc {dotted(version) or 'of unknown version'} ({origin}) is ignored: 12.8 or newer is needed")
    return None, list(dict.fromkeys(notes))


def find_driver() -> Driver | None:
    """The NVIDIA driver of this machine, None without one."""
    rows = output_of("nvidia-smi", "--query-gpu=driver_version,compute_cap", "--format=csv,noheader").splitlines()
    gpus = [row.split(", ") for row in rows if re.fullmatch(r"[\d.]+, \d+\.\d+", row)]
    text = gpus[0][0] if gpus else ""
    if not text and DRIVER_FILE.is_file():
        found = re.search(r"(?:Module|for \w+)\s+([\d.]+)\s", DRIVER_FILE.read_text())
        text = found[1] if found else "0"
    if not text:
        return None
    return Driver(tuple(map(int, text.split("."))), tuple(sorted({capability for _, capability in gpus})))


def choose_architectures(env: Mapping[str, str], settings: Settings, driver: Driver | None) -> tuple[str, str]:
    """CMAKE_CUDA_ARCHITECTURES and where it comes from."""
    if "cmake.define.CMAKE_CUDA_ARCHITECTURES" in settings:
        return settings["cmake.define.CMAKE_CUDA_ARCHITECTURES"], "-C cmake.define.CMAKE_CUDA_ARCHITECTURES"
    if env.get("CUDAARCHS"):
        return env["CUDAARCHS"], "CUDAARCHS"
    if driver and driver.capabilities:
        names = [capability.replace(".", "") for capability in driver.capabilities]
        return ";".join("90a-real" if name == "90" else f"{name}-real" for name in names), "the GPU present"
    return PORTABLE_ARCHITECTURES, "no GPU seen, so for all"


def decide(settings: Settings, env: Mapping[str, str] = os.environ) -> Decision:
    """Reads the option `cuda`, the machine and the environment; changes nothing."""
    wanted = settings.get("cuda", "auto")
    if wanted not in ("on", "off", "auto"):
        raise SystemExit(f"pylayers: option -C cuda: expected on, off or auto, got {wanted!r}")
    if wanted == "off":
        return Decision(False, "asked for with -C cuda=off")
    if not sys.platform.startswith("linux"):
        if wanted == "on":
            raise SystemExit("pylayers: the CUDA module can be built on Linux only; install without -C cuda=on")
        return Decision(False, "CUDA is built on Linux only")
    nvcc, notes = find_nvcc(env)
    driver = find_driver()
    if wanted == "auto" and nvcc is None and driver is None:
        return Decision(False, "neither nvcc >= 12.8 nor an NVIDIA driver was found", notes=tuple(notes))
    if wanted == "on":
        why = "asked for with -C cuda=on"
    else:
        why = "an NVIDIA driver was found" if driver else "nvcc was found"
    toolkit = nvcc.version if nvcc else (13, 0)
    needed = OLDEST_DRIVER.get(toolkit[0], (0,))
    if driver and driver.version < needed:
        notes.append(
            f"NVIDIA driver {dotted(driver.version)} is too old for CUDA {dotted(toolkit[:2])}: "
            f"the kernels build, but run only with driver {dotted(needed)} or newer"
        )
    architectures, origin = choose_architectures(env, settings, driver)
    notes.append(f"architectures {architectures} ({origin})")
    return Decision(True, why, nvcc, architectures, tuple(notes))


def available_bytes() -> int:
    """Memory this process may still take, by the machine and by its control group."""
    kilobytes = re.search(r"MemAvailable:\s+(\d+) kB", Path("/proc/meminfo").read_text())
    free = [int(kilobytes[1]) << 10] if kilobytes else []
    with contextlib.suppress(OSError, ValueError):  # "max", or no such group
        group = Path("/sys/fs/cgroup")
        free.append(int((group / "memory.max").read_text()) - int((group / "memory.current").read_text()))
    return min(free, default=JOB_BYTES)


def jobs(env: Mapping[str, str]) -> int:
    """Compilers at a time: MAX_JOBS, else as many as there are cores and memory for."""
    if env.get("MAX_JOBS"):
        return max(1, int(env["MAX_JOBS"]))
    return max(1, min(len(os.sched_getaffinity(0)), available_bytes() // JOB_BYTES))
