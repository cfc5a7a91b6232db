"""What the committed results say, as Markdown: figures by family and group, every case, and the state of kernels."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.harness.results import ROW_FIELDS, Record, Row, read
from benchmarks.show import figures
from benchmarks.show.cells import quickest

from . import gpu_plan
from .machine_code import NEVER, ROOT, STATES, Kernel, running, state

RESULTS = ROOT / "evidence/results"
NOTHING = "No kernel has run on a GPU yet, and no speed is measured."
Lines = list[figures.Line]


@dataclass
class Part:
    """The rows that one process measured, and the kernels they rest on."""

    rows: list[Row] = field(default_factory=list)
    rooflines: list[Record] = field(default_factory=list)
    kernels: Mapping[str, Record] = field(default_factory=dict)
    step: str = ""  # the benchmark's name in the plan, and the hash of what its figures rested on
    sources: str = ""


@dataclass
class Gpu:
    """Everything that is known of one kind of GPU."""

    name: str
    capability: int
    tests: list[Record]  # oldest first
    parts: list[Part]  # oldest first
    sources: Mapping[str, str]  # of each step, as the checkout is now

    def cases(self) -> dict[tuple[str, str], tuple[Lines, Part]]:
        """By family and case the figures of every contender, from the newest run that measured ours."""
        found: dict[tuple[str, str], tuple[Lines, Part]] = {}
        for part in self.parts:
            cases: dict[tuple[str, str], Lines] = {}
            for line in figures.lines(part.rows, part.rooflines):
                cases.setdefault((line.row.family, line.row.case), []).append(line)
            found |= {key: (lines, part) for key, lines in cases.items() if any(own(line) for line in lines)}
        return found


def own(line: figures.Line) -> bool:
    """Whether it is a measured one of ours."""
    return line.row.ours and line.times is not None


def gpu_of(folder: Path, sources: Mapping[str, str]) -> Gpu:
    """The records of a folder of results."""
    name, capability, tests, parts = folder.name, 0, list[Record](), list[Part]()
    for path in sorted(folder.glob("*.jsonl")):
        for record in read(path).records:
            if record["kind"] == "header":
                parts.append(Part())
                capability = record.get("capability") or capability
                name = record["machine"].get("gpu", name)
            elif record["kind"] == "row":
                parts[-1].rows.append(Row(**{key: value for key, value in record.items() if key in ROW_FIELDS}))
            elif record["kind"] == "roofline":
                parts[-1].rooflines.append(record)
            elif record["kind"] == "test":
                tests.append(record)
                for part in parts if record["phase"] == "bench" else []:
                    if not part.step:  # a step whose process died has a header for each start
                        part.kernels, part.step = record.get("kernels", {}), record["name"]
                        part.sources = record["sources"]
    tests.sort(key=lambda test: str(test["ended"]))
    return Gpu(name, capability, tests, [part for part in parts if part.rows], sources)


def gpus(folder: Path = RESULTS, sources: Mapping[str, str] | None = None) -> list[Gpu]:
    """Every GPU that there are results of; `sources` of steps are those of the checkout unless given."""
    found = folders(folder)
    if found and sources is None:
        sources = gpu_plan.sources()
    return [gpu_of(each, sources or {}) for each in found]


def folders(folder: Path = RESULTS) -> list[Path]:
    """Those with results, one for each GPU."""
    return sorted(each for each in folder.glob("*") if any(each.glob("*.jsonl")))


# --------------------------------------------------------------------------------------------------------- kernels


def states(gpu: Gpu, kernels: Mapping[str, Kernel]) -> dict[str, Counter[str]]:
    """By launcher, how many of the kernels that this GPU would run are in which state."""
    found: dict[str, Counter[str]] = {}
    for kernel in running(dict(kernels), gpu.capability).values():
        found.setdefault(kernel.launcher, Counter())[state(kernel, gpu.tests, gpu.sources)] += 1
    return dict(sorted(found.items()))


def seen(launchers: tuple[str, ...], found: list[Gpu], kernels: Mapping[str, Kernel]) -> str:
    """Of the kernels of these launchers, in a few words: what a GPU has seen of them."""
    words = []
    for gpu in found:
        count = sum((states(gpu, kernels).get(launcher, Counter()) for launcher in launchers), Counter[str]())
        if set(count) - {NEVER}:
            words.append(f"{gpu.name}: " + ", ".join(f"{count[s]} {s}" for s in STATES if count[s]))
    return "; ".join(words) or "never"


# ---------------------------------------------------------------------------------------------------------- figures


def geometric_mean(values: Iterable[float]) -> float:
    """exp(mean(log x))."""
    logs = [math.log(value) for value in values]
    return math.exp(sum(logs) / len(logs))


def compared(lines: Iterable[Lines]) -> str:
    """Against the best peer of each case: the mean ratio of times, above 1 where ours is quicker."""
    ratios = [peer.ratio for each in lines for peer in quickest(each) if peer.ratio]
    if not ratios:
        return "not measured"
    words = Counter(ratio.word for ratio in ratios)
    each = ", ".join(f"{words[word]} {word}" for word in ("faster", "equal", "undecided", "slower") if words[word])
    return f"{geometric_mean(r.value for r in ratios):.2f} in {len(ratios)} cases ({each})"


def outdated(gpu: Gpu, part: Part, kernels: Mapping[str, Kernel]) -> bool:
    """Whether what figures rest on has changed since: kernels, or how they were measured and judged."""
    if part.sources != gpu.sources.get(part.step):
        return True
    return any(name not in kernels or kernels[name].key != each["key"] for name, each in part.kernels.items())


def by_family(gpu: Gpu) -> dict[str, Lines]:
    """The lines of each family that has been compared with a peer."""
    families: dict[str, Lines] = {}
    for (family, _), (lines, _) in gpu.cases().items():
        families.setdefault(family, []).extend(lines)
    return {family: lines for family, lines in families.items() if quickest(lines)}


def family_table(gpu: Gpu, kernels: Mapping[str, Kernel]) -> list[str]:
    """Each family and group of cases in a line."""
    groups: dict[tuple[str, str], list[tuple[Lines, Part]]] = {}
    for (family, _), (lines, part) in gpu.cases().items():
        groups.setdefault((family, lines[0].row.group), []).append((lines, part))
    rows = ["| family | cases | times of the best peer over ours |", "| --- | --- | --- |"]
    for (family, group), found in groups.items():
        old = " (stale)" if any(outdated(gpu, part, kernels) for _, part in found) else ""
        rows.append(f"| {family} | {group}{old} | {compared(lines for lines, _ in found)} |")
    return rows


def case_table(gpu: Gpu, kernels: Mapping[str, Kernel]) -> list[str]:
    """Each case in a line."""
    rows = ["| family | case | ours, us | p5 ... p95 | rate | of the roofline | best peer | its time over ours |"]
    rows.append("| --- | --- | --- | --- | --- | --- | --- | --- |")
    for (family, case), (lines, part) in gpu.cases().items():
        mine, peer = next(line for line in lines if own(line)), next(iter(quickest(lines)), None)
        assert mine.times is not None
        median, p5, p95 = (f"{seconds * 1e6:.4g}" for seconds in mine.times[:3])
        share = "" if mine.share is None else f"{mine.share:.0%}"
        other = ("", "")
        if peer is not None and peer.ratio is not None:
            ratio = peer.ratio
            other = (
                f"{peer.row.contender}{' (weak)' if peer.weak else ''}",
                (f"{ratio.value:.2f} ({ratio.low:.2f} ... {ratio.high:.2f}) {ratio.word}"),
            )
        name = f"{case} (stale)" if outdated(gpu, part, kernels) else case
        rows.append(f"| {' | '.join((family, name, median, f'{p5} ... {p95}', mine.rate, share, *other))} |")
    return rows


def kernel_table(gpu: Gpu, kernels: Mapping[str, Kernel]) -> list[str]:
    """Each launcher in a line."""
    rows = [f"| launcher | {' | '.join(STATES)} |", "| --- " * (1 + len(STATES)) + "|"]
    for launcher, count in states(gpu, kernels).items():
        rows.append(f"| `csrc/{launcher}.cu` | {' | '.join(str(count[s]) for s in STATES)} |")
    return rows


def page(gpu: Gpu, kernels: Mapping[str, Kernel]) -> str:
    """``evidence/results/<gpu>/README.md``."""
    return "\n".join(
        [f"# {gpu.name}", "", "Written by `python -m evidence.report --write` from the files beside it.", "",
         "## Kernels", "", *kernel_table(gpu, kernels), "", "## Cases", "", *case_table(gpu, kernels), ""]
    )  # fmt: skip


def section(found: list[Gpu], kernels: Mapping[str, Kernel]) -> str:
    """What stands in the README."""
    if not found:
        return NOTHING
    parts = []
    for gpu in found:
        count = sum(states(gpu, kernels).values(), Counter[str]())
        kinds = ", ".join(f"{count[word]} {word}" for word in STATES if count[word])
        parts += [f"### {gpu.name}", "", f"Kernels: {kinds}.", ""]
        if gpu.cases():
            parts += [*family_table(gpu, kernels), ""]
    return "\n".join(parts).rstrip()
