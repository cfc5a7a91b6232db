"""The build backend (PEP 517, 660): scikit-build-core's, once it is decided whether and with what CUDA is built.

    pip install .                   CUDA if an nvcc >= 12.8 or an NVIDIA driver is found, else a pure wheel
    pip install . -C cuda=on        CUDA; nvcc comes from the package index where none is found
    pip install . -C cuda=off       a pure wheel

Environment: PYLAYERS_NVCC (path of nvcc, or "none" to ignore what is installed), CUDAARCHS, MAX_JOBS. What was decided
travels in the wheel as pylayers/_build.json, and `pylayers info` prints it.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path

from cuda_decision import NVCC_REQUIREMENT, Decision, Settings, decide, dotted, jobs, output_of
from scikit_build_core import build as skbuild


def keep_build_directory(nvcc: Path) -> None:
    """Lets the next build reuse the objects of the last one though pip builds in another temporary environment.

    scikit-build-core clears a build directory whose note names another environment; without the note CMake and ninja
    decide by the commands themselves. Another place of the checkout, nvcc or CMake does need the clearing.
    """
    cmake = output_of("cmake", "--version").split()[2:3]
    for note in Path("build").glob("*/.skbuild-info.json"):
        cache = note.with_name("CMakeCache.txt")
        if not cache.is_file() or json.loads(note.read_text()).get("source_dir") != str(Path.cwd()):
            continue
        entries = dict(re.findall(r"^(\w+):\w+=(.*)$", cache.read_text(), re.MULTILINE))
        version = ".".join(entries.get(f"CMAKE_CACHE_{part}_VERSION", "") for part in ("MAJOR", "MINOR", "PATCH"))
        if entries.get("CMAKE_CUDA_COMPILER") == str(nvcc) and cmake == [version]:
            note.unlink()


def say(decision: Decision) -> None:
    """One line, and one for each note; pip shows them with -v."""
    built = "with CUDA" if decision.cuda else "without CUDA (a pure wheel; the reference backend is complete)"
    nvcc = ""
    if decision.cuda:
        found = decision.nvcc
        nvcc = f", nvcc {dotted(found.version)} from {found.origin}" if found else ", nvcc from the package index"
    print(f"pylayers: building {built}: {decision.why}{nvcc}", flush=True)
    for note in decision.notes:
        print(f"pylayers: {note}", flush=True)


@contextlib.contextmanager
def translated(config_settings: Settings | None) -> Iterator[Settings]:
    """The settings for scikit-build-core that carry the decision out."""
    given = dict(config_settings or {})
    decision = decide(given)
    given.pop("cuda", None)
    if not decision.cuda:
        given["wheel.cmake"] = "false"
    elif decision.nvcc is None:
        raise SystemExit(
            f"pylayers: CUDA is to be built ({decision.why}) and no nvcc >= 12.8 is here: install "
            f"'{NVCC_REQUIREMENT}', or leave out --no-build-isolation, or pass -C cuda=off"
        )
    else:
        given["cmake.define.CMAKE_CUDA_COMPILER"] = str(decision.nvcc.path)
        given["cmake.define.pybind11_DIR"] = importlib.import_module("pybind11").get_cmake_dir()
        given["cmake.define.CMAKE_CUDA_ARCHITECTURES"] = decision.architectures
        if decision.nvcc.origin == "the package index":  # its libraries lie in lib, its nvcc.profile says lib64
            libraries = decision.nvcc.path.parent.parent / "lib"
            os.environ["LIBRARY_PATH"] = f"{libraries}:{os.environ.get('LIBRARY_PATH', '')}".rstrip(":")
        if "MAX_JOBS" in os.environ or "CMAKE_BUILD_PARALLEL_LEVEL" not in os.environ:
            os.environ["CMAKE_BUILD_PARALLEL_LEVEL"] = str(jobs(os.environ))
        keep_build_directory(decision.nvcc.path)
    say(decision)
    with tempfile.TemporaryDirectory() as folder:
        record = Path(folder, "record.json")  # another name than in the wheel, so that an editable install copies it
        record.write_text(json.dumps(decision.record(), indent=1) + "\n")
        given[f"wheel.force-include.{record}"] = "pylayers/_build.json"
        yield given


def requirements(config_settings: Settings | None) -> list[str]:
    """What the decision needs before anything is built."""
    given = dict(config_settings or {})
    decision = decide(given)
    say(decision)
    given.pop("cuda", None)
    if not decision.cuda:
        return skbuild.get_requires_for_build_wheel({**given, "wheel.cmake": "false"})
    nvcc = [] if decision.nvcc else [NVCC_REQUIREMENT]
    return [*skbuild.get_requires_for_build_wheel(given), "pybind11>=3", *nvcc]


def get_requires_for_build_wheel(config_settings: Settings | None = None) -> list[str]:
    """PEP 517."""
    return requirements(config_settings)


def get_requires_for_build_editable(config_settings: Settings | None = None) -> list[str]:
    """PEP 660."""
    return requirements(config_settings)


def get_requires_for_build_sdist(config_settings: Settings | None = None) -> list[str]:
    """PEP 517. A source distribution needs no compiler."""
    return []


def build_sdist(sdist_directory: str, config_settings: Settings | None = None) -> str:
    """PEP 517."""
    given = {name: value for name, value in (config_settings or {}).items() if name != "cuda"}
    return skbuild.build_sdist(sdist_directory, given)


def prepare_metadata_for_build_wheel(metadata_directory: str, config_settings: Settings | None = None) -> str:
    """PEP 517."""
    with translated(config_settings) as settings:
        return skbuild.prepare_metadata_for_build_wheel(metadata_directory, settings)


def prepare_metadata_for_build_editable(metadata_directory: str, config_settings: Settings | None = None) -> str:
    """PEP 660."""
    with translated(config_settings) as settings:
        return skbuild.prepare_metadata_for_build_editable(metadata_directory, settings)


def build_wheel(
    wheel_directory: str, config_settings: Settings | None = None, metadata_directory: str | None = None
) -> str:
    """PEP 517."""
    with translated(config_settings) as settings:
        return skbuild.build_wheel(wheel_directory, settings, metadata_directory)


def build_editable(
    wheel_directory: str, config_settings: Settings | None = None, metadata_directory: str | None = None
) -> str:
    """PEP 660."""
    with translated(config_settings) as settings:
        return skbuild.build_editable(wheel_directory, settings, metadata_directory)
