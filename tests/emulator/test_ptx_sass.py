"""What nvcc makes of each instruction kernel: the machine instruction that the name promises. No GPU is needed."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import instructions
import pytest
from test_build import complaints, tool

pytestmark = pytest.mark.slow

# Kernels whose mangled name matches -> a pattern of the machine instruction.
PROMISED = {
    r"LdmatrixILb0": r"LDSM\.16\.M88\.4 ",
    r"LdmatrixILb1": r"LDSM\.16\.MT88\.4 ",
    r"StmatrixILb0": r"STSM\.16\.M88\.4 ",
    r"StmatrixILb1": r"STSM\.16\.MT88\.4 ",
    r"3MmaI13__nv_bfloat16": r"HMMA\.16816\.F32\.BF16 ",
    r"3MmaI6__half": r"HMMA\.16816\.F32 ",
    r"3MmaIN.*tf32": r"HMMA\.1688\.F32\.TF32 ",
    r"3MmaIa": r"IMMA\.16832\.S8\.S8 ",
    r"CpAsyncILi4": r"LDGSTS\.E ",
    r"CpAsyncILi8": r"LDGSTS\.E\.64 ",
    r"CpAsyncILi16": r"LDGSTS\.E\.BYPASS\.128 ",
    r"CpAsyncI": r"LDGSTS\.E.*\.ZFILL ",
    r"CpAsyncGroups": r"DEPBAR\.LE SB0, 0x1 ",
    r"CpAsyncMbarrier": r"ARRIVES\.LDGSTSBAR\.64",
    r"7TmaLoadILi2": r"UTMALDG\.2D ",
    r"7TmaLoadILi3": r"UTMALDG\.3D ",
    r"7TmaLoadILi4": r"UTMALDG\.4D ",
    r"7TmaLoadILi5": r"UTMALDG\.5D ",
    r"7TmaLoadI": r"UTMACCTL\.PF ",
    r"TmaLoadIm2colILi3": r"UTMALDG\.3D\.IM2COL ",
    r"TmaLoadIm2colILi4": r"UTMALDG\.4D\.IM2COL ",
    r"TmaLoadIm2colILi5": r"UTMALDG\.5D\.IM2COL ",
    r"TmaStoreBoxILi2E.*0EE": r"UTMASTG\.2D ",
    r"TmaStoreBoxILi3": r"UTMASTG\.3D ",
    r"TmaStoreBoxILi4": r"UTMASTG\.4D ",
    r"TmaStoreBoxILi5": r"UTMASTG\.5D ",
    r"TmaStoreBoxILi2E.*1EE": r"UTMAREDG\.2D\.ADD ",
    r"TmaStoreBoxILi2E.*2EE": r"UTMAREDG\.2D\.MIN ",
    r"TmaStoreBoxILi2E.*3EE": r"UTMAREDG\.2D\.MAX ",
    r"BulkLoad": r"UBLKCP\.S\.G ",
    r"BulkStore": r"UBLKCP\.G\.S ",
    r"Multicast": r"UTMALDG\.2D\.MULTICAST ",
    r"MbarrierPhases": r"SYNCS\.PHASECHK\.TRANS64\.TRYWAIT ",
    r"ExpectTx": r"SYNCS\.ARRIVE\.TRANS64\.RED",
    r"ClusterArrive": r"SYNCS\.ARRIVE\.TRANS64\.RED",
    r"ClusterMap|ClusterArrive|Multicast": r"UCGABAR_ARV",
    r"ElectOne": r"ELECT ",
    r"Setmaxnreg": r"USETMAXREG\.TRY_ALLOC\.CTAPOOL(.|\n)*USETMAXREG\.DEALLOC\.CTAPOOL",
    r"Griddepcontrol": r"PREEXIT(.|\n)*ACQBULK",
    r"ShuffleXor": r"SHFL\.BFLY",
    r"7ShuffleI": r"SHFL\.IDX",
    r"Ballot": r"VOTE\.ANY",
    r"NamedBarrier": r"BAR\.ARV(.|\n)*BAR\.SYNC|BAR\.SYNC(.|\n)*BAR\.ARV",
    r"SyncBlock": r"BAR\.SYNC",
    r"AtomicIfLb0": r"ATOMG\.E\.ADD\.F32",
    r"AtomicIfLb1": r"ATOMS\.CAST\.SPIN",
    r"AtomicIiLb0.*3addI": r"ATOMG\.E\.ADD",
    r"AtomicIiLb0.*3maxI": r"ATOMG\.E\.MAX\.S32",
    r"AtomicIjLb1.*3addI": r"ATOMS\.ADD",
    r"AtomicIjLb1.*3maxI": r"ATOMS\.MAX",
    r"AtomicIjLb0": r"ATOMG\.E\.INC",
    r"4Flag": r"LD\.E\.STRONG\.GPU|LDG\.E\.STRONG\.GPU",
    r"4PackI13__nv_bfloat16": r"F2FP\.BF16\.(F32\.)?PACK_AB ",
    r"4PackI6__half": r"F2FP\.(F16\.F32\.)?PACK_AB ",
    r"Convert.*rounded_to_tf32": r"0x1000[ ,](.|\n)*0xffffe000",  # half a unit added, the rest cut
}
# wgmma: mangled types -> the instruction and its types; the size stands before k.
WGMMA = {
    "13__nv_bfloat16S3_": ("HGMMA", 16, r"\.F32\.BF16"),
    "6__halfS3_": ("HGMMA", 16, r"\.F32"),
    "NS_3ptx4tf32ES4_": ("HGMMA", 8, r"\.F32\.TF32"),
    "13__nv_fp8_e4m3S3_": ("QGMMA", 32, r"\.F32\.E4M3\.E4M3"),
    "13__nv_fp8_e4m313__nv_fp8_e5m2": ("QGMMA", 32, r"\.F32\.E4M3\.E5M2"),
    "13__nv_fp8_e5m213__nv_fp8_e4m3": ("QGMMA", 32, r"\.F32\.E5M2\.E4M3"),
    "13__nv_fp8_e5m2S3_": ("QGMMA", 32, r"\.F32\.E5M2\.E5M2"),
    "aa": ("IGMMA", 32, r"\.S8\.S8"),
}


@pytest.fixture(scope="module")
def folder() -> Path:
    """Where nvcc has compiled the kernels."""
    if instructions.compiler() is None:
        pytest.skip("no nvcc")
    return instructions.build_for_gpu().parent


@pytest.fixture(scope="module")
def functions(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """ "sm_90a _Z5entry..." -> its machine code."""
    cubins, found = tmp_path_factory.mktemp("cubins"), {}
    command = [tool("cuobjdump"), "-xelf", "all", instructions.build_for_gpu()]
    subprocess.run(command, cwd=cubins, check=True, capture_output=True)
    for cubin in sorted(cubins.glob("*.cubin")):
        sass = subprocess.run([tool("nvdisasm"), "-c", cubin], check=True, capture_output=True, text=True).stdout
        architecture = cubin.name.split(".")[-2]
        for section in re.split(r"(?m)^\s*\.section\s+\.text\.", sass)[1:]:
            found[f"{architecture} {re.match(r'[^,]+', section)[0]}"] = section  # type: ignore[index]
    assert len(found) > 100, "nothing was disassembled"
    return found


def trapped(sass: str) -> bool:
    """Whether the kernel was compiled for a chip that lacks its instructions."""
    return "BPT.TRAP" in sass and len(re.findall(r"/\*[0-9a-f]{4}\*/", sass)) < 20


@pytest.mark.parametrize("kernel", PROMISED)
def test_kernels_contain_their_instruction(functions: dict[str, str], kernel: str) -> None:
    chosen = {name: sass for name, sass in functions.items() if re.search(kernel, name)}
    assert chosen, f"no kernel is called {kernel}"
    for name, sass in chosen.items():
        assert re.search(PROMISED[kernel], sass), name
        assert not trapped(sass), name


def test_every_wgmma_is_the_one_it_says(functions: dict[str, str]) -> None:
    seen = set()
    for name, sass in functions.items():
        if not (found := re.search(r"WgmmaI(\w+?)Li(\d+)ELb([01])ELNS\w*?MajorE([01])ELS\d_([01])E", name)):
            continue
        types, n, registers, a_major, b_major = found.groups()
        word, k, text = WGMMA[types]
        lines = re.findall(rf"{word}\.64x{n}x{k}{text} [^;]*;", sass)
        assert lines, name
        for line in lines:
            # A in shared memory is a descriptor in uniform registers; majors other than k carry a mark.
            assert ("gdesc" in line.split(",")[1]) == (registers == "0"), line
            assert line.count(".tnspB") == int(b_major), line
            assert line.count(".tnspA") == int(a_major), line
        seen.add((types, int(n), registers, a_major, b_major))
    assert {types for types, *_ in seen} == set(WGMMA)
    sizes = {n for types, n, *_ in seen if types == "13__nv_bfloat16S3_"}
    assert len(sizes) == 18 and {n for types, n, *_ in seen if types == "aa"} == sizes


def test_nothing_spills_and_nothing_is_serialized(folder: Path) -> None:
    logs = [path.read_text() for path in folder.rglob("*.cu.o.log")]
    assert len(logs) == len(list(instructions.SOURCE.glob("*.cu"))) - 2, "all but the door and its memory"
    assert [line for log in logs for line in complaints(log)] == []
