"""Pictures of results: every row under its roofline, and the ratios to the quickest peer as bars."""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Sequence
from typing import Any

from ..harness.ceilings import Ceilings
from ..harness.results import Record
from .cells import quickest
from .figures import Line, flop_unit

OURS, PEERS, GRID = "#0b6e4f", "#c0582b", "#d8d8d8"
WORDS = {"faster": OURS, "slower": PEERS, "equal": "#7a7a7a", "undecided": "#b9b9b9"}
BAR_INCHES, WIDTH_INCHES = 0.24, 9.5
FURTHEST = 6  # powers of two to each side; a longer bar ends there with its number
LOOK: Any = {
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "svg.hashsalt": "pylayers",
}


def svg(draw: Callable[[Any], None], height: float) -> str:
    """The picture that `draw(figure)` makes, as SVG; the same input gives the same bytes."""
    import matplotlib
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    with matplotlib.rc_context(LOOK):
        figure = Figure(figsize=(WIDTH_INCHES, height), layout="constrained")
        FigureCanvasSVG(figure)
        draw(figure)
        out = io.StringIO()
        figure.savefig(out, format="svg", metadata={"Date": None})
    return out.getvalue()


def roofline(lines: Sequence[Line], record: Record) -> str:
    """Rates over arithmetic intensity under the ceilings; beside it bandwidths over bytes for what only moves them."""
    found = [line for line in lines if line.times is not None and line.row.place == record["place"]]
    products = [line for line in found if line.row.flop and line.row.bytes]
    movers = [line for line in found if not line.row.flop and line.row.bytes]

    def draw(figure: Any) -> None:
        left, right = figure.subplots(1, 2, width_ratios=(3, 2))
        draw_products(left, products, Ceilings.of(record))
        draw_movers(right, movers, Ceilings.of(record))

    return svg(draw, 4.4)


def points(axis: Any, lines: Sequence[Line], x: Callable[[Line], float], y: Callable[[Line], float]) -> None:
    """Ours on top of the peers."""
    for ours, color, marker, label in ((False, PEERS, "o", "peers"), (True, OURS, "D", "pylayers")):
        chosen = [line for line in lines if line.row.ours is ours]
        style = {"s": 18, "alpha": 0.75, "linewidths": 0, "zorder": 3}
        axis.scatter(list(map(x, chosen)), list(map(y, chosen)), color=color, marker=marker, label=label, **style)
    axis.grid(color=GRID, linewidth=0.5)
    axis.minorticks_off()
    axis.legend(loc="lower right", fontsize=8, frameon=True, framealpha=0.9, edgecolor="none")


def median_s(line: Line) -> float:
    """Of a line that has times."""
    assert line.times is not None
    return line.times.median


def draw_products(axis: Any, lines: Sequence[Line], ceilings: Ceilings) -> None:
    """The classical picture: both axes in powers of ten."""
    size, unit = flop_unit(max(ceilings.flop_per_s.values(), default=0.0))
    axis.set(yscale="log", xlabel="operations per byte", ylabel=unit, title="products")
    axis.set_xscale("log", base=2)
    axis.xaxis.set_major_formatter("{x:g}")
    points(axis, lines, lambda e: e.row.flop / e.row.bytes, lambda e: e.row.flop / median_s(e) / size)
    used = {ceilings.name(line.row) for line in lines} or {"float32"}
    intensities = [line.row.flop / line.row.bytes for line in lines] or [1.0]
    low, high = min(intensities) / 2, max(intensities) * 2
    for name, rate in ceilings.flop_per_s.items():
        if rate and name in used:
            ends = [low, min(max(rate / ceilings.bytes_per_s, low), high), high]
            heights = [min(rate, end * ceilings.bytes_per_s) / size for end in ends]
            axis.plot(ends, heights, color="black", linewidth=1.2)
            axis.annotate(name, (high, heights[-1]), ha="right", va="bottom", fontsize=8)


def draw_movers(axis: Any, lines: Sequence[Line], ceilings: Ceilings) -> None:
    """Bytes in a second over bytes in all."""
    axis.set(xscale="log", yscale="log", xlabel="bytes read and written", ylabel="GB/s", title="what moves bytes")
    points(axis, lines, lambda e: e.row.bytes, lambda e: e.row.bytes / median_s(e) * 1e-9)
    for name, rate in (("copy", ceilings.copy_bytes_per_s), ("read", ceilings.read_bytes_per_s)):
        axis.axhline(rate * 1e-9, color="black", linewidth=1.2, linestyle="-" if name == "copy" else "--")
        align = "bottom" if rate == ceilings.bytes_per_s else "top"
        axis.annotate(name, (0.01, rate * 1e-9), xycoords=("axes fraction", "data"), va=align, fontsize=8)


def ratios(lines: Sequence[Line]) -> str:
    """One bar for each case: the quickest peer's time over ours in powers of two, with its interval."""
    found = quickest(lines)[::-1]

    def draw(figure: Any) -> None:
        axis = figure.subplots()
        for place, line in enumerate(found):
            draw_ratio(axis, place, line)
        names = [f"{line.row.case}  ({line.row.contender})" for line in found]
        axis.set_yticks(range(len(found)), names, fontsize=8)
        axis.set_ylim(-0.6, len(found) - 0.4)
        axis.axvline(0, color="black", linewidth=1)
        axis.grid(axis="x", color=GRID, linewidth=0.5, zorder=0)
        reach = max((abs(math.log2(line.ratio.value)) for line in found if line.ratio), default=1.0)
        whole = min(FURTHEST, math.ceil(max(1.2 * reach, 1.0)))
        axis.set_xlim(-whole - 0.3, whole + 0.3)
        ticks = range(-whole, whole + 1)
        axis.set_xticks(ticks, [f"{2**tick}×" if tick >= 0 else f"1/{2**-tick}" for tick in ticks])
        axis.set_xlabel("the quickest peer's time over ours: to the right of the line ours is faster")

    return svg(draw, 0.9 + BAR_INCHES * len(found))


def draw_ratio(axis: Any, place: int, line: Line) -> None:
    """A bar, its interval, and its number where it leaves the picture."""
    ratio = line.ratio
    assert ratio is not None
    value, low, high = (
        math.log2(min(max(x, 2.0 ** -(FURTHEST + 1)), 2.0 ** (FURTHEST + 1)))
        for x in (ratio.value, ratio.low, ratio.high)
    )
    axis.barh(place, value, color=WORDS[ratio.word], height=0.7, zorder=2)
    axis.plot([low, high], [place, place], color="black", linewidth=0.8, zorder=3)
    if abs(value) > FURTHEST:
        side = math.copysign(FURTHEST + 0.2, value)
        axis.annotate(f"{ratio.value:.3g}×", (side, place), ha="right" if side > 0 else "left", va="center", fontsize=7,
                      color="white", zorder=4)  # fmt: skip
