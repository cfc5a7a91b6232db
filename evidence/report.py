"""Keeps what GPU runs found and says it: `python -m evidence.report [DIR/run.jsonl ...] [--write]`.

Files given are merged into ``evidence/results/<gpu>/``, one file for each run; nobody edits them by hand. Then it
prints for each kernel what a GPU has seen of it. ``--write`` brings the README's tables and pictures, and the page of
each GPU, up to date. Once there are results, that takes the compiled module: its kernels are what the tables speak of.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from benchmarks.harness.results import append, read
from benchmarks.show import pictures

from . import optable, summary
from .machine_code import FAILING, NEVER, ROOT, STALE, UNSURE, Kernel, kernels, require_checkout, running, state

BEGIN, END = "<!-- figures: python -m evidence.report --write -->", "<!-- end of figures -->"


def merged(path: Path, results: Path) -> Path:
    """Copies a run on a GPU among the results, and returns the copy; the same run overwrites itself."""
    records = read(path).records
    header = next((r for r in records if r["kind"] == "header" and r["machine"].get("gpu")), None)
    devices = {record.get("device") for record in records if record["kind"] == "test"}
    if header is None or devices != {"cuda"}:
        where = ", ".join(map(str, devices)) or "nothing"
        raise ValueError(f"report: argument 'files': expected runs on a GPU, got {path}, a run on {where}")
    gpu = re.sub(r"\W+", "-", str(header["machine"]["gpu"]))
    start = re.sub(r"[^0-9T]", "", str(header["started"])[:19])
    copy = results / gpu / f"{start}.jsonl"
    copy.parent.mkdir(parents=True, exist_ok=True)
    copy.unlink(missing_ok=True)
    append(copy, records)
    return copy


def present_kernels(needed: bool) -> dict[str, Kernel]:
    """Those of the installed module; FileNotFoundError where they are needed and there is none."""
    from .gpu_stages import compiled_module

    module = compiled_module()
    if module is not None:
        return kernels(module)
    if needed:
        raise FileNotFoundError(
            "report: expected the compiled module pylayers._cuda, whose kernels the results are compared with, got an "
            "installation without it; hint: pip install . -C cuda=on"
        )
    return {}


def listing(found: list[summary.Gpu], present: Mapping[str, Kernel]) -> str:
    """For each kernel of each launcher its state, kernels of one launcher and state together."""
    if not present:
        return "The compiled module is not installed: no kernel to speak of."
    blocks = {}
    for gpu in found:
        here = running(dict(present), gpu.capability).values()
        blocks[gpu.name] = [(kernel, state(kernel, gpu.tests, gpu.sources)) for kernel in here]
    lines = []
    for name, states in (blocks or {"no GPU": [(kernel, NEVER) for kernel in present.values()]}).items():
        lines.append(name)
        count = Counter((kernel.launcher, kernel.architecture, word) for kernel, word in states)
        for (launcher, architecture, word), number in sorted(count.items()):
            lines.append(f"  {launcher:16} {architecture:10} {number:4}  {word}")
        lines += [f"  {word}: {kernel.name}" for kernel, word in states if word in (FAILING, UNSURE, STALE)]
    return "\n".join(lines)


def replaced(text: str, section: str) -> str:
    """The README with this section between its two marks; ValueError when it has no place for one."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"report: expected a text with {BEGIN!r} and {END!r}")
    return f"{before}{BEGIN}\n{section}\n{END}{after}"


def written(results: Path, readme: str, present: Mapping[str, Kernel]) -> dict[Path, str]:
    """Every generated text, by its file: the README, and a page and pictures for each GPU."""
    found = summary.gpus(results)
    files = {}
    images = []
    for gpu, folder in zip(found, summary.folders(results), strict=True):
        files[folder / "README.md"] = summary.page(gpu, present)
        for family, lines in summary.by_family(gpu).items():
            files[folder / f"{family}.svg"] = pictures.ratios(lines)
            images.append(f"![{family} on {gpu.name}](evidence/results/{folder.name}/{family}.svg)")
    section = "\n\n".join([summary.section(found, present), *images])
    files[ROOT / "README.md"] = replaced(optable.replaced(readme, found, present), section)
    return files


def main() -> int:
    """0 when all went well."""
    parser = argparse.ArgumentParser(prog="python -m evidence.report", description=__doc__)
    parser.add_argument("files", nargs="*", type=Path, help="run.jsonl of evidence.gpu_run")
    parser.add_argument("--write", action="store_true", help="bring README.md and the pages of the GPUs up to date")
    parser.add_argument("--results", type=Path, default=summary.RESULTS, help="the folder of results")
    given = parser.parse_args()
    require_checkout("report")
    try:
        say(given)
    except (FileNotFoundError, ValueError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def say(given: argparse.Namespace) -> None:
    """Merges, prints and writes what was asked for."""
    for path in given.files:
        print(f"{path} -> {merged(path, given.results)}")
    found = summary.gpus(given.results)
    present = present_kernels(needed=bool(found))
    print(listing(found, present))
    if given.write:
        for path, text in written(given.results, (ROOT / "README.md").read_text(), present).items():
            path.write_text(text)
            print(f"wrote {path}")


if __name__ == "__main__":
    sys.exit(main())
