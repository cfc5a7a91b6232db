"""What nvcc made of each kernel: the machine instructions it must contain, registers, shared memory, how many."""

from __future__ import annotations

import collections
import json
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from test_build import architectures, cubins, logs, module, tool  # noqa: F401

from pylayers import backends

pytestmark = pytest.mark.slow  # half a minute of disassembling

SNAPSHOTS = Path(__file__).parents[1] / "snapshots"
BUDGETS = {"Gemm": 96, "Attention": 96, "Conv": 64}  # entries of one architecture, by family

# What stands in the machine code of a kernel whose name matches, and what must not.
EXPECTED: list[tuple[str, list[str], list[str]]] = [
    (r"GemmSm90<.*, (__nv_bfloat16|__half|pylayers::ptx::tf32), \w", ["HGMMA", "UTMASTG", "SYNCS"], ["HMMA"]),
    (r"GemmSm90<.*, __nv_fp8_e\dm\d, ", ["QGMMA", "UTMASTG"], ["HGMMA"]),
    (r"GemmSm90<.*, signed char, ", ["IGMMA", "UTMASTG"], ["HGMMA"]),
    (r"GemmSm90<.*, (__nv_bfloat16|__half|__nv_fp8_e\dm\d), \w", ["STSM"], []),
    (r"GemmSm90<.*TileSm90\{[^}]*\(pylayers::Source\)0", ["UTMALDG"], ["LDGSTS"]),
    (r"GemmSm90<.*TileSm90\{[^}]*\(pylayers::Source\)1", [], ["UTMALDG"]),
    (r"GemmSm90<.*TileSm90\{\d+, \d+, \d+, 2, 2,", ["UTMALDG.3D.MULTICAST", "UCGABAR_ARV", "USETMAXREG"], []),
    (r"GemmSm80<.*, (__nv_bfloat16|__half|pylayers::ptx::tf32)>", ["LDSM", "HMMA"], ["HGMMA"]),
    (r"GemmSm80<.*, signed char>", ["LDSM", "IMMA"], ["HMMA"]),
    (r"GemmSimt<", ["FFMA"], ["HMMA", "HGMMA"]),
]


@pytest.fixture(scope="module")
def machine_code(cubins: list[Path]) -> dict[tuple[str, str], set[str]]:  # noqa: F811
    """(architecture, kernel) -> the instructions in its code, with their modifiers."""
    disassembler, found = tool("nvdisasm"), {}
    for cubin in cubins:
        architecture = re.findall(r"sm_\w+", cubin.name)[-1]
        sass = subprocess.run([disassembler, "-c", cubin], check=True, capture_output=True, text=True).stdout
        for name, body in sections(sass):
            found[architecture, name] = instructions(body)
    names = demangled([name for _, name in found])
    return {(architecture, names[name]): code for (architecture, name), code in found.items()}


def sections(sass: str) -> Iterator[tuple[str, str]]:
    """The functions of a disassembly: mangled name, text."""
    parts = re.split(r"^\s*\.section\s+\.text\.([^\s,]+).*$", sass, flags=re.MULTILINE)
    yield from zip(parts[1::2], parts[2::2], strict=True)


def instructions(body: str) -> set[str]:
    """Their words: of ``@!P0 UTMALDG.3D.MULTICAST [UR8], [UR4]`` the first after the predicate."""
    return set(re.findall(r"/\*[0-9a-f]{4,}\*/\s+(?:@!?U?P\w+\s+)?([A-Z][\w.]*)", body))


def demangled(names: list[str]) -> dict[str, str]:
    """Mangled names and the kernels they stand for: the argument of ``entry``."""
    filtered = subprocess.run(["c++filt"], input="\n".join(names), check=True, capture_output=True, text=True).stdout
    return {
        name: re.sub(r"^void pylayers::entry<(.*) ?>\(.*$", r"\1", text)
        for name, text in zip(names, filtered.splitlines())
    }


def test_instructions_stand_where_they_should(machine_code: dict[tuple[str, str], set[str]]) -> None:
    matched, wrong = collections.Counter[str](), []
    for (architecture, kernel), code in machine_code.items():
        if architecture not in ("sm_80", "sm_90a"):
            continue
        for pattern, present, absent in EXPECTED:
            if not re.search(pattern, kernel):
                continue
            matched[pattern] += 1
            wrong += [f"{kernel} lacks {word}" for word in present if not any(has(code, word))]
            wrong += [f"{kernel} has {word}" for word in absent if any(has(code, word))]
    assert wrong == []
    assert [pattern for pattern, *_ in EXPECTED if not matched[pattern]] == []


def has(code: set[str], word: str) -> Iterator[bool]:
    """Whether each instruction is this one, or this one with modifiers."""
    return (found == word or found.startswith(f"{word}.") for found in code)


def test_entries_keep_to_their_budgets(machine_code: dict[tuple[str, str], set[str]]) -> None:
    count: collections.Counter[tuple[str, str]] = collections.Counter()
    for architecture, kernel in machine_code:
        for family in BUDGETS:
            problem = "Conv" in kernel  # the plain product computes convolutions too
            if re.search(rf"pylayers::{family}", kernel) and problem == (family == "Conv"):
                count[architecture, family] += 1
    assert count
    assert {key: n for key, n in count.items() if n > BUDGETS[key[1]]} == {}


def test_registers_and_shared_memory_are_those_of_the_snapshot(
    logs: dict[str, str],  # noqa: F811
    machine_code: dict[tuple[str, str], set[str]],
) -> None:
    """`PYLAYERS_SNAPSHOT=write` writes it anew: a change of these figures is one to look at."""
    version = next((found[1] for log in logs.values() if (found := re.search(r"release (\d+\.\d+)", log))), None)
    version = version or nvcc_version()
    path = SNAPSHOTS / f"kernels-nvcc-{version}.json"
    measured = {"registers": registers(logs), "shared_bytes": shared_bytes()}
    if os.environ.get("PYLAYERS_SNAPSHOT") == "write":
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(measured, indent=1, sort_keys=True) + "\n")
    if not path.exists():
        pytest.skip(f"no snapshot for nvcc {version}: PYLAYERS_SNAPSHOT=write makes one")
    kept = json.loads(path.read_text())
    for kind, figures in measured.items():
        common = kept[kind].keys() & figures.keys()
        assert {k: figures[k] for k in common} == {k: kept[kind][k] for k in common}
        assert figures.keys() <= kept[kind].keys(), "new kernels: PYLAYERS_SNAPSHOT=write"


def nvcc_version() -> str:
    """Of the compiler on the path, which is the one that builds."""
    try:
        text = subprocess.run(["nvcc", "--version"], check=True, capture_output=True, text=True).stdout
    except FileNotFoundError:
        pytest.skip("nvcc is not on the path: its version names the snapshot")
    return re.search(r"release (\d+\.\d+)", text)[1]  # type: ignore[index]


def registers(logs: dict[str, str]) -> dict[str, int]:  # noqa: F811
    """Of a thread, by architecture and kernel, as ptxas says."""
    found = [
        (architecture, name, int(count))
        for log in logs.values()
        for name, architecture, count in re.findall(
            r"Compiling entry function '(\S+)' for '(\w+)'.*?Used (\d+) registers", log, re.DOTALL
        )
        if architecture in ("sm_80", "sm_90a")
    ]
    names = demangled([name for _, name, _ in found])
    return {f"{architecture} {names[name]}": count for architecture, name, count in found}


def shared_bytes() -> dict[str, int]:
    """Of a block of each variant of gemm."""
    try:
        rows = backends.load("cuda").module.variants("gemm")  # type: ignore[attr-defined]
    except ImportError as error:
        pytest.skip(f"cuda: {error}")
    return {f"{row.name} {row.a} {row.b} {row.precision}": row.shared_bytes for row in rows}
