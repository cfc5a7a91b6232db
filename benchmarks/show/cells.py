"""The figures of a row as words, the same in the terminal, in the HTML report and in the README."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ..harness.results import Record, Row
from .figures import Line, busy, flops

COLUMNS = ("case", "contender", "where", "median", "p5 … p95", "rate", "of roofline", "ratio", "error (of bound)", "")
UNITS = ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs"), (1e-9, "ns"))
RATIO = (
    "ratio: the peer's median over ours, with a 95 % bootstrap interval; above 1 ours is faster; equal where all of "
    "the interval is within 3 %, undecided where it holds 1 or other programs kept the machine busy"
)
ROOFLINE = (
    "of roofline: the least time that the operations (or, beyond the cache, the bytes) take at the rates measured on "
    "this machine in this run, over the median"
)


def seconds(value: float) -> str:
    """0.00001234 -> "12.3 µs"."""
    size, unit = next(((size, unit) for size, unit in UNITS if value >= size), UNITS[-1])
    return f"{value / size:.3g} {unit}" if value / size < 999.5 else f"{value / size:.0f} {unit}"


def where(row: Row) -> str:
    """Said in every row: a figure of a CPU is not one of a GPU."""
    if row.place != "cpu":
        return "GPU" if row.status == "not measured" else row.place
    return f"CPU {row.backend}" if row.ours else "CPU"


def note(line: Line) -> str:
    """What a reader must know beside the figures."""
    row = line.row
    if row.status != "measured":
        return "" if row.place == "cuda" else row.reason  # why there is no GPU at all stands in the heading
    words = [f"others took {100 * row.conditions['others']:.0f} % of the CPU"] if busy(row) else []
    words += [] if row.cold else ["in cache"]
    if line.weak:
        words.append("weak baseline")
    if row.peak_bytes:
        words.append(f"{row.peak_bytes / 1e6:.3g} MB at most")
    host = sorted(row.host_s)[len(row.host_s) // 2] if row.host_s else 0.0
    if row.place != "cpu" and line.times and host > line.times.median:
        words.append(f"host {seconds(host)}")
    return ", ".join(words)


def cells(line: Line) -> tuple[str, ...]:
    """One text for each of `COLUMNS`."""
    row, times, ratio = line.row, line.times, line.ratio
    error = "" if row.error is None else f"{row.error:.1e}"
    if row.error_ratio is not None:
        error += f" ({row.error_ratio:.2g})"
    head = row.case, row.contender, where(row)
    if times is None:
        return (*head, row.status, "", "", "", "", error, note(line))
    return (
        *head,
        seconds(times.median),
        f"{seconds(times.p5)} … {seconds(times.p95)}",
        line.rate,
        "" if line.share is None else f"{100 * line.share:.3g} %",
        "" if ratio is None else f"{ratio.value:.2f} [{ratio.low:.2f}, {ratio.high:.2f}] {ratio.word}",
        error,
        note(line),
    )


def heading(header: Record, rooflines: Sequence[Record]) -> list[str]:
    """The machine, the versions and the ceilings, one clause a line."""
    machine = header["machine"]
    name = machine.get("gpu") or machine["cpu"]
    device = f"{name}, driver {machine['driver']}" if "gpu" in machine else f"{name}, {machine['cpus']} CPUs"
    versions = ", ".join(f"{key} {value}" for key, value in machine["versions"].items())
    found = [f"machine: {device}", f"versions: {versions}"]
    for record in rooflines[-1:]:  # the last holds the largest of all that were measured
        rates = ", ".join(f"{key} {flops(rate)}" for key, rate in record["flop_per_s"].items() if rate)
        found.append(
            f"ceilings measured here: copy {record['copy_bytes_per_s'] * 1e-9:.3g} GB/s, "
            f"read {record['read_bytes_per_s'] * 1e-9:.3g} GB/s, {rates}"
        )
    settings = header["settings"]
    found.append(f"seed {settings['seed']}, started {header['started']}, commit {machine['commit'] or 'unknown'}")
    if machine["place"] == "cpu":
        found.append(
            f"every figure is of this CPU: pylayers on its {machine['backend']} backend against torch and NumPy on the "
            "same CPU"
        )
        found.append(f"GPU: not measured: {header['no_gpu']}")
    return found


def summary(lines: Iterable[Line]) -> str:
    """How often ours was faster, equal, slower than the quickest peer."""
    words = [line.ratio.word for line in quickest(lines) if line.ratio]
    counts = ", ".join(f"{word} {words.count(word)}" for word in ("faster", "equal", "undecided", "slower"))
    return f"ours against the quickest peer of each case: {counts}" if words else "no case has ours beside a peer"


def quickest(lines: Iterable[Line]) -> list[Line]:
    """Of each case the peer with the lowest median."""
    best: dict[tuple[str, str, str], Line] = {}
    for line in lines:
        if line.ratio and line.times:
            key = line.row.family, line.row.case, line.row.place
            known = best.get(key)
            if known is None or known.times is None or line.times.median < known.times.median:
                best[key] = line
    return list(best.values())
