"""The compiled kernels, read without a GPU: no spills, no local memory, no serialised wgmma, every architecture there.

The compiler's messages lie beside the objects in the build directory of the checkout (`CMakeLists.txt`, `keep_log.sh`).
They belong to the installed module when that directory's module has the same bytes. Without them the tests that read
them are skipped, or fail where PYLAYERS_BUILD_LOG=required.
"""

from __future__ import annotations

import filecmp
import importlib.util
import os
import re
import subprocess
import sys
from collections import Counter
from importlib import metadata
from pathlib import Path

import pytest

from pylayers import info

ROOT = Path(__file__).parents[2]
# Without a kernel of their own.
HOST_ONLY = {
    "choices",
    "gemm_call",
    "gemm_plan",
    "runtime",
    "runtime_tensor_map",
    "tensor_list",
    "tensor_map",
    "variants",
}


def complaints(log: str) -> list[str]:
    """What must not stand in ptxas's messages: spills, a stack frame, local memory, serialised wgmma."""
    found = [
        line for line in log.splitlines() if re.search(r"warning.*(spill|local memory)|serializ", line, re.IGNORECASE)
    ]
    kernel = ""
    for line in log.splitlines():
        if name := re.search(r"Compiling entry function '(\w+)' for '(\w+)'", line):
            kernel = " for ".join(name.groups())
        used = re.search(r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads", line)
        if used and used.groups() != ("0", "0", "0"):
            found.append(f"{kernel}: {line.strip()}")
    return found


def kernels(log: str) -> Counter[str]:
    """How many kernels ptxas compiled for each architecture."""
    return Counter(re.findall(r"Compiling entry function '\w+' for '(\w+)'", log))


def local_memory(sass: str) -> list[str]:
    """The instructions that load from or store to local memory, with their function."""
    found, function = [], ""
    for line in sass.splitlines():
        if name := re.match(r"\s*\.section\s+\.text\.(\w+)", line):
            function = name[1]
        if re.search(r"\b(LDL|STL)\b", line):
            found.append(f"{function}: {line.strip()}")
    return found


def real_architectures(cmake: str) -> set[str]:
    """CMAKE_CUDA_ARCHITECTURES -> the sm_ names compiled to machine code: "80;90a-real" -> {"sm_80", "sm_90a"}."""
    return {f"sm_{name.removesuffix('-real')}" for name in cmake.split(";") if not name.endswith("-virtual")}


@pytest.fixture(scope="module")
def module() -> Path:
    """The installed `_cuda`."""
    if reason := info.why_missing("cuda"):
        pytest.skip(reason)
    spec = importlib.util.find_spec("pylayers._cuda")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin)


@pytest.fixture(scope="module")
def architectures(module: Path) -> set[str]:
    record = info.build_record()
    assert record is not None
    return real_architectures(record["architectures"])


@pytest.fixture(scope="module")
def logs(module: Path) -> dict[str, str]:
    """Compiler messages of each launcher, by its stem."""
    for built in ROOT.glob("build/*/_cuda*.so"):
        if filecmp.cmp(built, module, shallow=False):
            return {path.name.partition(".")[0]: path.read_text() for path in built.parent.rglob("*.cu.o.log")}
    reason = f"the installed module was not built in {ROOT / 'build'}: no compiler messages to read"
    if os.environ.get("PYLAYERS_BUILD_LOG") == "required":
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture(scope="module")
def cubins(module: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The machine code inside the module, one file for each launcher and architecture."""
    folder = tmp_path_factory.mktemp("cubins")
    subprocess.run([tool("cuobjdump"), "-xelf", "all", module], cwd=folder, check=True, capture_output=True)
    return sorted(folder.glob("*.cubin"))


def tool(name: str) -> Path:
    """A program of the CUDA toolkit, as the package index ships it."""
    try:
        files = metadata.files(f"nvidia-cuda-{name}") or []
    except metadata.PackageNotFoundError:
        pytest.skip(f"nvidia-cuda-{name} is not installed: pip install '.[test]'")
    return next(Path(str(file.locate())) for file in files if file.name == name)


def test_no_spills_and_nothing_serialized(logs: dict[str, str]) -> None:
    assert [f"{stem}: {line}" for stem, log in logs.items() for line in complaints(log)] == []


def test_every_launcher_is_compiled_for_every_architecture(logs: dict[str, str], architectures: set[str]) -> None:
    stems = {path.stem for path in ROOT.glob("csrc/*.cu")} - HOST_ONLY
    assert set(logs) >= stems
    for stem in stems:
        compiled = kernels(logs[stem])
        assert set(compiled) == only(stem, architectures), stem
        assert len(set(compiled.values())) == 1, f"{stem}: kernels by architecture {dict(compiled)}"


def only(stem: str, architectures: set[str]) -> set[str]:
    """A suffix names the one architecture of a launcher (`CMakeLists.txt`)."""
    if stem.endswith("_sm80"):
        return {"sm_80"}
    return {"sm_90a"} if stem.endswith("_sm90") else architectures


@pytest.mark.slow
def test_no_local_memory_in_machine_code(cubins: list[Path], architectures: set[str]) -> None:
    assert {found[1] for path in cubins if (found := re.search(r"\.(sm_\w+)\.cubin$", path.name))} >= architectures
    disassembler, instructions = tool("nvdisasm"), 0
    for cubin in cubins:
        sass = subprocess.run([disassembler, "-c", cubin], check=True, capture_output=True, text=True).stdout
        instructions += sass.count(";")
        assert local_memory(sass) == [], cubin.name
    assert instructions > 1000, "nothing was disassembled"


def test_module_loads_without_driver_and_shared_runtime(module: Path, tmp_path: Path) -> None:
    code = (
        "import pylayers._cuda, pathlib\n"
        "maps = pathlib.Path('/proc/self/maps').read_text()\n"
        "assert pylayers._cuda.__name__ in maps.replace('/', '.'), maps\n"
        "assert 'libcuda' not in maps, maps\n"
    )
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True, timeout=60)


def test_complaints_are_found() -> None:
    good = (
        "ptxas info    : Compiling entry function '_Z5entry' for 'sm_80'\n"
        "    0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads\n"
    )
    assert complaints(good) == []
    assert kernels(good + good.replace("sm_80", "sm_90a")) == {"sm_80": 1, "sm_90a": 1}
    assert complaints(good.replace("0 bytes spill loads", "8 bytes spill loads")) == [
        "_Z5entry for sm_80: 0 bytes stack frame, 0 bytes spill stores, 8 bytes spill loads"
    ]
    assert len(complaints(good.replace("0 bytes stack frame", "16 bytes stack frame"))) == 1
    for warning in (
        "ptxas warning : Registers are spilled to local memory in function '_Z5entry', 8 bytes spill stores",
        "ptxas info    : (C7510) Potential Performance Loss: wgmma.mma_async instructions are serialized due to ...",
        "ptxas warning : Local memory used for function '_Z5entry'",
    ):
        assert complaints(good + warning) == [warning]


def test_local_memory_is_found() -> None:
    sass = '\t.section\t.text._Z5entry,"ax",@progbits\n        /*0010*/                   {} R1, [R2] ;\n'
    assert local_memory(sass.format("LDG.E")) == []
    assert local_memory(sass.format("STL.64")) == ["_Z5entry: /*0010*/                   STL.64 R1, [R2] ;"]
    assert len(local_memory(sass.format("LDL"))) == 1


def test_architectures_are_read() -> None:
    assert real_architectures("80;90a-real") == {"sm_80", "sm_90a"}
    assert real_architectures("80-virtual;86-real") == {"sm_86"}
