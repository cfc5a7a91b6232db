"""What stands behind a claim about a kernel: hashes of its machine code and of its launcher's source.

The machine code is the bytes that ptxas wrote for one entry: its ``.text`` and its constants, without line numbers.
Launcher's source is ``csrc/<launcher>.cu`` and the ``csrc/*.cuh`` it includes, without comments. Needs ``cuobjdump``.
"""

from __future__ import annotations

import functools
import hashlib
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.harness.results import Record

ROOT = Path(__file__).parents[1]
SECTION = np.dtype(
    [("name", "<u4"), ("type", "<u4"), ("flags", "<u8"), ("address", "<u8"), ("offset", "<u8"), ("bytes", "<u8")]
    + [("link", "<u4"), ("info", "<u4"), ("align", "<u8"), ("entry_bytes", "<u8")]
)
NOBITS = 8  # the type of a section that has a size and no bytes
OF_ALL = re.compile(r"\.nv\.(constant\d+|global\.init)$")  # what the entries of one file share
OF_ONE = re.compile(r"\.(?:text|nv\.constant\d+|nv\.shared)\.(?!reserved\b)(\S+)$")
LINES_OF_PTX = re.compile(r"^\s*(//|\.loc\b|\.file\b)")


@dataclass(frozen=True)
class Kernel:
    """One kernel entry as compiled for one architecture."""

    architecture: str  # "sm_90a", "sm_80"; "compute_80" for PTX
    entry: str  # as the linker spells it
    launcher: str  # the stem of its file in csrc
    code: str  # hash of its machine code
    source: str  # hash of its launcher's source
    compiler: str  # the version of ptxas and nvcc

    @property
    def name(self) -> str:
        """What tells it from the others."""
        return f"{self.architecture} {self.entry}"

    @property
    def key(self) -> dict[str, str]:
        """What a result must share with it to count."""
        return {"sass": self.code, "launcher": self.source, "nvcc": self.compiler}


def require_checkout(program: str) -> None:
    """Ends where these files are those of an installation, which has no sources."""
    if not (ROOT / "csrc").is_dir():
        raise SystemExit(f"{program}: expected to be run in a checkout, as `python -m evidence.{program}`, got {ROOT}")


def short_hash(*parts: bytes) -> str:
    """64 bits in hexadecimal."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(len(part).to_bytes(8, "little"))
        digest.update(part)
    return digest.hexdigest()[:16]


def tool(name: str) -> str:
    """A program of the CUDA toolkit: on the path, beside nvcc, or from the package index."""
    folders = [Path("/usr/local/cuda/bin"), *(Path(folder, "nvidia/cu13/bin") for folder in sys.path)]
    found = shutil.which(name) or next((str(f / name) for f in folders if (f / name).is_file()), None)
    if found is None:
        raise FileNotFoundError(f"evidence: expected {name} of the CUDA toolkit; hint: pip install nvidia-cuda-{name}")
    return found


# ------------------------------------------------------------------------------------------------- machine code


def sections(elf: bytes) -> Iterator[tuple[str, bytes]]:
    """Name and bytes of each section of a 64-bit little-endian ELF file; for one without bytes, its size in words."""
    if elf[:6] != b"\x7fELF\x02\x01":
        raise ValueError(f"evidence: expected a 64-bit little-endian ELF file, got one that begins with {elf[:6]!r}")
    start = int.from_bytes(elf[0x28:0x30], "little")
    count, names = (int.from_bytes(elf[at : at + 2], "little") for at in (0x3C, 0x3E))
    table = np.frombuffer(elf, SECTION, count, start)
    first = int(table["offset"][names])
    for row in table:
        begin, size = int(row["offset"]), int(row["bytes"])
        at = first + int(row["name"])
        name = elf[at : elf.index(b"\0", at)].decode()
        yield name, f"{size} bytes".encode() if row["type"] == NOBITS else elf[begin : begin + size]


def entries_of_cubin(elf: bytes) -> tuple[str, dict[str, str]]:
    """ptxas's version, and the hash of each entry's code."""
    compiler, shared, own = "", [], dict[str, list[bytes]]()
    for name, data in sections(elf):
        if name == ".note.nv.tkinfo" and (found := re.search(rb"release [\d.]+, V([\d.]+)", data)):
            compiler = found[1].decode()
        elif OF_ALL.match(name):
            shared += [name.encode(), data]
        elif one := OF_ONE.match(name):
            own.setdefault(one[1], []).extend((name.encode(), data))
    if own and not compiler:
        raise ValueError("evidence: expected a cubin that names its ptxas (CUDA 12.8 or newer)")
    return compiler, {entry: short_hash(*parts, *shared) for entry, parts in own.items()}


def entries_of_ptx(text: str) -> dict[str, str]:
    """The hash of each entry's text; what stands outside of entries belongs to all."""
    text = re.split(r"^\s*\.section\b", text, maxsplit=1, flags=re.MULTILINE)[0]
    lines = [line.partition("//")[0].strip() for line in text.splitlines() if not LINES_OF_PTX.match(line)]
    parts = re.split(r"^\.visible \.entry (\w+)", "\n".join(filter(None, lines)), flags=re.MULTILINE)
    return {name: short_hash(parts[0].encode(), body.encode()) for name, body in zip(parts[1::2], parts[2::2])}


def compiled(module: Path) -> Iterator[tuple[str, str, str, dict[str, str]]]:
    """(launcher, architecture, compiler, hash by entry) of each piece of machine code and of PTX in the module."""
    with tempfile.TemporaryDirectory() as folder:
        for kind in ("-xelf", "-xptx"):
            subprocess.run([tool("cuobjdump"), kind, "all", module.resolve()], cwd=folder, capture_output=True)
        compiler = ""
        for path in sorted(Path(folder).iterdir(), key=lambda path: (path.suffix, path.name)):  # cubins before PTX
            launcher, architecture, kind = path.name.rsplit(".", 2)
            if kind == "cubin":
                compiler, hashes = entries_of_cubin(path.read_bytes())
            else:  # was written by the nvcc that called the ptxas of the others
                hashes, architecture = entries_of_ptx(path.read_text()), architecture.replace("sm_", "compute_")
            if hashes:
                yield launcher, architecture, compiler, hashes


# -------------------------------------------------------------------------------------------------------- sources


def without_comments(text: str) -> str:
    """C++ source with each comment and each run of white space as one space."""
    from pygments.lexers import CppLexer
    from pygments.token import Comment

    kept = (
        " " if kind in Comment and kind not in (Comment.Preproc, Comment.PreprocFile) else value
        for kind, value in CppLexer(stripnl=False).get_tokens(text)
    )
    return " ".join("".join(kept).split())


def included(path: Path, root: Path) -> set[Path]:
    """The file and the ``csrc/*.cuh`` it includes; ``.hpp`` is what all launchers share, and no launcher's own."""
    found, waiting = set[Path](), [path]
    while waiting:
        file = waiting.pop()
        if file not in found:
            found.add(file)
            waiting += [root / name for name in re.findall(r'^#include "(csrc/\w+\.cuh)"', file.read_text(), re.M)]
    return found


def source_hash(paths: Iterable[Path]) -> str:
    """Of source files without comments, in the order of their names."""
    return short_hash(*(file_hash(path, path.stat().st_mtime_ns).encode() for path in sorted(paths)))


@functools.lru_cache(4096)
def file_hash(path: Path, changed: int) -> str:
    """Of one file as it is since it was changed, without what changes nothing."""
    text = path.read_text()
    text = without_comments(text) if path.suffix in (".cu", ".cuh", ".cpp", ".hpp") else text
    return short_hash(path.name.encode(), text.encode())


def kernels(module: Path, root: Path = ROOT) -> dict[str, Kernel]:
    """Every kernel entry of the compiled module, by name."""
    found = {}
    for launcher, architecture, compiler, hashes in compiled(module):
        source = source_hash(included(root / f"csrc/{launcher}.cu", root))
        for entry, code in hashes.items():
            kernel = Kernel(architecture, entry, launcher, code, source, compiler)
            found[kernel.name] = kernel
    if not found:
        raise ValueError(f"evidence: expected a module with kernels, got {module}")
    return found


# ----------------------------------------------------------------------------------------------------- what a run saw


def running(found: dict[str, Kernel], capability: int) -> dict[str, Kernel]:
    """By entry, the code that a GPU of this capability (90 is 9.0) takes: its own, or PTX for the driver to compile."""
    chosen: dict[str, tuple[tuple[int, int], Kernel]] = {}
    for kernel in found.values():
        kind, _, number = kernel.architecture.partition("_")
        exact, version = number.endswith("a"), int(number.rstrip("af"))
        same = version == capability if exact else version <= capability
        if kind == "sm" and same and version // 10 == capability // 10:
            rank = (2 + exact, version)
        elif kind == "compute" and same:
            rank = (1, version)
        else:
            continue
        if kernel.entry not in chosen or rank > chosen[kernel.entry][0]:
            chosen[kernel.entry] = rank, kernel
    return {entry: kernel for entry, (_, kernel) in chosen.items()}


VERIFIED, FAILING, UNSURE, STALE, NEVER = STATES = (
    "verified at this source",
    "failing at this source",
    "unfinished at this source",  # some test of its step hung or died, and nobody knows which kernel was to blame
    "stale",
    "never run on a GPU",
)
FAULTS = 99  # exit status of compute-sanitizer when it has found something


def state(kernel: Kernel, tests: Iterable[Record], sources: Mapping[str, str]) -> str:
    """What these records of steps on a GPU, oldest first, say of the kernel as it is now.

    `sources` are the hashes of the steps as they are now, by name: what an easier test has passed is stale.
    """
    seen, verdicts = False, dict[str, str]()  # by step, its last one counts
    for record in tests:
        entry = record.get("kernels", {}).get(kernel.name)
        if entry is None or record.get("device") != "cuda" or record["phase"] == "bench":
            continue
        seen = True
        if entry["key"] == kernel.key and record["sources"] == sources.get(record["name"]):
            fault = record["phase"] == "sanitizers" and record["rc"] == FAULTS
            whole = not record.get("unfinished") and not record.get("lost")
            bad = not entry["passed"] or entry["failed"] or fault
            verdicts[record["name"]] = FAILING if bad else VERIFIED if whole else UNSURE
    for word in (FAILING, UNSURE, VERIFIED):
        if word in verdicts.values():
            return word
    return STALE if seen else NEVER
