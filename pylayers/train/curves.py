"""The picture of a run: loss and accuracy over the epochs, training beside test."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pylayers import atomic
from pylayers.train.loop import Epoch

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS = {"train": "#4C78A8", "test": "#D1495B"}
FLOOR = 1e-6


def write_curves(path: Path, epochs: Sequence[Epoch], title: str) -> None:
    """Draws the curves of one epoch or more into a PNG file."""
    picture = io.BytesIO()
    curves(epochs, title).savefig(picture, format="png")
    atomic.write(path, picture.getvalue())


def curves(epochs: Sequence[Epoch], title: str) -> Figure:
    """The loss (logarithmic) and the accuracy in percent of every epoch."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import FormatStrFormatter, LogLocator, NullFormatter

    # A figure of its own, without pyplot, leaves the caller's backend and figures alone.
    figure = Figure(figsize=(10, 4.2), dpi=150, layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(title, fontsize=12)
    loss, accuracy = figure.subplots(1, 2)
    # A loss that rounds to 0 has no place on a logarithmic axis.
    losses = {"train": [max(e.train_loss, FLOOR) for e in epochs], "test": [max(e.test_loss, FLOOR) for e in epochs]}
    _lines(loss, losses, "cross-entropy (nats)", "{:.4f}")
    loss.set_yscale("log")
    loss.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    loss.yaxis.set_major_formatter(FormatStrFormatter("%g"))
    loss.yaxis.set_minor_formatter(NullFormatter())
    loss.legend(frameon=False, loc="upper right")
    percent = {"train": [100 * e.train_accuracy for e in epochs], "test": [100 * e.test_accuracy for e in epochs]}
    _lines(accuracy, percent, "accuracy (%)", "{:.2f} %")
    lowest = min(min(values) for values in percent.values())
    accuracy.set_ylim(max(0.0, lowest - 0.05 * (100 - lowest)) - 0.3, 100.3)
    accuracy.legend(frameon=False, loc="lower right")
    return figure


def _lines(axes: Axes, values: dict[str, list[float]], label: str, form: str) -> None:
    """One curve for each entry, its last point marked and named in the legend."""
    from matplotlib.ticker import MaxNLocator

    for name, curve in values.items():
        number = range(1, len(curve) + 1)
        axes.plot(number, curve, color=COLOURS[name], linewidth=1.5, label=f"{name}  {form.format(curve[-1])}")
        axes.plot(len(curve), curve[-1], "o", color=COLOURS[name], markersize=4.5)
    axes.set_xlabel("epoch")
    axes.set_ylabel(label)
    axes.margins(x=0.02)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(alpha=0.25, linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
