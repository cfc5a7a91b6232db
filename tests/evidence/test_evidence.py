"""What a claim about a kernel rests on: hashes that follow its code and nothing else, and what is said of them."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from result_records import ROOT, kernel, saw

from evidence import machine_code

NVCC = shutil.which("nvcc") or shutil.which("/usr/local/cuda/bin/nvcc")
KERNEL = """
__constant__ float table[2] = {{1.0f, {table}}};
extern "C" __global__ void scaled(float* x, int i) {{ x[threadIdx.x] *= {factor} * table[i]; }}
extern "C" __global__ void other(float* x) {{ x[threadIdx.x] += 1.0f; }}
"""


# ---------------------------------------------------------------------------------------------------- machine code


def test_sections_are_those_of_elftools() -> None:
    elffile = pytest.importorskip("elftools.elf.elffile")
    path = Path(importlib.util.find_spec("numpy._core._multiarray_umath").origin)  # type: ignore[union-attr, arg-type]
    with path.open("rb") as file:
        want = [(s.name, s["sh_type"], s["sh_size"], s.data()) for s in elffile.ELFFile(file).iter_sections()]
    got = list(machine_code.sections(path.read_bytes()))
    assert [name for name, _ in got] == [name for name, *_ in want]
    for (name, data), (_, kind, size, content) in zip(got, want, strict=True):
        assert data == (f"{size} bytes".encode() if kind == "SHT_NOBITS" else content), name
    assert any(kind == "SHT_NOBITS" for _, kind, *_ in want)


def test_only_such_files_are_read() -> None:
    with pytest.raises(ValueError, match="evidence: expected a 64-bit little-endian ELF file, got one"):
        list(machine_code.sections(b"MZ" + bytes(100)))


@pytest.mark.slow
@pytest.mark.skipif(NVCC is None, reason="there is no nvcc")
def test_hashes_follow_the_code(tmp_path: Path) -> None:
    """Comments and lines change nothing, a constant in the code or in a table does; of that kernel alone, or of all."""

    def hashes(kind: str, factor: str = "2.0f", table: str = "3.0f", before: str = "") -> dict[str, str]:
        source, result = tmp_path / "kernel.cu", tmp_path / f"kernel.{kind}"
        source.write_text(before + KERNEL.format(factor=factor, table=table))
        subprocess.run([NVCC, f"-{kind}", "-arch=sm_90a", "-lineinfo", "-o", result, source], check=True, timeout=120)
        if kind == "ptx":
            return machine_code.entries_of_ptx(result.read_text())
        compiler, found = machine_code.entries_of_cubin(result.read_bytes())
        assert compiler and compiler in subprocess.check_output([str(NVCC), "--version"], text=True)
        return found

    for kind in ("cubin", "ptx"):
        original = hashes(kind)
        assert set(original) == {"scaled", "other"} and original["scaled"] != original["other"]
        assert hashes(kind, before="// a comment\n\n/* and\nanother */\n") == original
        changed = hashes(kind, factor="4.0f")
        assert changed["scaled"] != original["scaled"] and changed["other"] == original["other"]
        changed = hashes(kind, table="5.0f")  # lies outside of the kernels: whoever may read it counts as changed
        assert changed["scaled"] != original["scaled"]


def test_ptx_without_lines() -> None:
    text = ".version 9.0\n.target sm_80\n{}\n.visible .entry one(\n)\n{{\n{}ret;\n}}\n.section .debug_str\n{{\n{}\n}}\n"
    plain = machine_code.entries_of_ptx(text.format("", "", ""))
    assert set(plain) == {"one"}
    assert machine_code.entries_of_ptx(text.format("// x", ".loc 1 2 3\n  .file 1\n", ".b8 1")) == plain
    assert machine_code.entries_of_ptx(text.format("", "mov.u32 %r1, 0;\n", "")) != plain
    assert machine_code.entries_of_ptx(text.format(".const .b8 c;", "", "")) != plain


def test_kernels_of_the_compiled_module() -> None:
    spec = importlib.util.find_spec("pylayers._cuda")
    if spec is None or spec.origin is None:
        pytest.skip("the CUDA module is not built")
    try:
        machine_code.tool("cuobjdump")
    except FileNotFoundError as error:
        pytest.skip(str(error))
    found = machine_code.kernels(Path(spec.origin))
    assert len(found) > 50 and len({k.code for k in found.values()}) == len(found)
    for each in found.values():
        assert each.entry.startswith("_ZN8pylayers5entryI") and each.compiler
        assert (ROOT / f"csrc/{each.launcher}.cu").is_file()
    here = machine_code.running(found, 90)
    assert {k.entry for k in here.values()} == {k.entry for k in found.values()}
    assert {"sm_90a"} <= {k.architecture for k in here.values()} <= {"sm_90a", "compute_80", "compute_90a"}


# --------------------------------------------------------------------------------------------------------- sources


def test_comments_are_no_source() -> None:
    plain = machine_code.without_comments('#include "a.hpp"\nint x = 1;\nchar const* s = "// no comment /* here */";\n')
    assert plain == '#include "a.hpp" int x = 1; char const* s = "// no comment /* here */";'
    with_comments = (
        '// first\n#include "a.hpp"  // why\nint  x /* y */ = 1;\n\nchar const* s = "// no comment /* here */";'
    )
    assert machine_code.without_comments(with_comments) == plain
    assert machine_code.without_comments(with_comments.replace("1", "2")) != plain


def test_headers_of_a_launcher_are_its_source(tmp_path: Path) -> None:
    folder = tmp_path / "csrc"
    folder.mkdir()
    (folder / "one.cu").write_text('#include "csrc/one.cuh"\n#include "csrc/ops.hpp"\n#include "kernels/one.cuh"\n')
    (folder / "one.cuh").write_text('#include "csrc/deep.cuh"\n')
    (folder / "deep.cuh").write_text("#pragma once\n")
    found = machine_code.included(folder / "one.cu", tmp_path)
    assert {path.name for path in found} == {"one.cu", "one.cuh", "deep.cuh"}
    before = machine_code.source_hash(found)
    (folder / "deep.cuh").write_text("#pragma once\n// more words\n")
    assert machine_code.source_hash(found) == before
    (folder / "deep.cuh").write_text("#pragma once\nint more;\n")
    assert machine_code.source_hash(found) != before


# ---------------------------------------------------------------------------------------------------------- states


def state(of: machine_code.Kernel, records: list[Any]) -> str:
    """With every step as the records say."""
    return machine_code.state(of, records, {record["name"]: record["sources"] for record in records})


def test_states() -> None:
    now, before = kernel(), kernel(code="old")
    assert state(now, []) == machine_code.NEVER
    assert state(now, [saw(now)]) == machine_code.VERIFIED
    assert state(now, [saw(now, failed=1)]) == machine_code.FAILING
    assert state(now, [saw(now, passed=0)]) == machine_code.FAILING
    assert state(now, [saw(now, failed=1), saw(now)]) == machine_code.VERIFIED  # a step's last word counts
    assert state(now, [saw(now), saw(now, failed=1)]) == machine_code.FAILING
    assert state(now, [saw(now, failed=1), saw(now, name="suite other")]) == machine_code.FAILING
    assert state(now, [saw(kernel(entry="another"))]) == machine_code.NEVER
    assert state(now, [saw(now, phase="bench")]) == machine_code.NEVER  # figures alone verify nothing
    assert state(now, [saw(now, device="emulated")]) == machine_code.NEVER
    for old in (before, kernel(source="old"), kernel(compiler="12.9")):
        assert state(now, [saw(old)]) == machine_code.STALE
    for other in ({"suite softmax": "an easier test"}, {}):
        assert machine_code.state(now, [saw(now)], other) == machine_code.STALE
    fault = saw(now, name="memcheck softmax", phase="sanitizers", rc=machine_code.FAULTS)
    assert state(now, [saw(now), fault]) == machine_code.FAILING
    assert state(now, [saw(now), fault | {"rc": 0}]) == machine_code.VERIFIED


def test_a_kernel_of_a_step_that_hung_is_not_verified() -> None:
    """Which kernel it was, nobody knows: the test that launched it has told nothing."""
    now = kernel()
    for about in ({"unfinished": ["tests/test_softmax.py::test_hangs[cuda]"]}, {"lost": ["::test_traps[cuda]"]}):
        hung = saw(now, status="failed", rc=-9, **about)
        assert state(now, [hung]) == machine_code.UNSURE
        assert state(now, [saw(now), hung]) == machine_code.UNSURE
        assert state(now, [hung, saw(now)]) == machine_code.VERIFIED
        assert state(now, [saw(now, failed=1, **about)]) == machine_code.FAILING
        assert state(now, [saw(now, name="suite other"), hung]) == machine_code.UNSURE


def test_the_code_that_a_gpu_runs() -> None:
    names = ["sm_80", "sm_90a", "compute_80", "sm_86", "compute_90a"]
    found = {k.name: k for k in (kernel("k", name) for name in names)}
    takes = {90: "sm_90a", 80: "sm_80", 89: "sm_86", 86: "sm_86", 100: "compute_80", 120: "compute_80"}
    for capability, name in takes.items():
        assert machine_code.running(found, capability)["k"].architecture == name, capability
    assert machine_code.running(found, 75) == {}
    del found["sm_90a k"]
    assert machine_code.running(found, 90)["k"].architecture == "compute_90a"
