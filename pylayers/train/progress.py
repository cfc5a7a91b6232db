"""A progress bar with the time left and the metrics; where the output is no terminal, plain lines."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from rich.console import Console

REFRESH_SECONDS = 0.1
WIDE = 110  # columns of a terminal in which the bar may be long


class Advance(Protocol):
    """Tells a bar how much is done."""

    def __call__(self, done: int, metrics: Callable[[], Mapping[str, float]]) -> None: ...


def console() -> Console:
    """Where bars and lines are printed: standard output, unwrapped when it is not a terminal."""
    from rich.console import Console

    class Patient(Console):
        """Falls silent when nobody reads any more (`| head`): what is computed is worth more than what is told."""

        def on_broken_pipe(self) -> None:
            self.quiet = True
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, sys.stdout.fileno())  # otherwise Python complains once more at its end
            os.close(nowhere)

    plain = Patient(highlight=False, soft_wrap=True)
    return plain if plain.is_terminal else Patient(highlight=False, soft_wrap=True, width=200)


def metrics_text(metrics: Mapping[str, float]) -> str:
    """``loss: 0.1234 - accuracy: 0.9772``."""
    return " - ".join(
        f"{name}: {value:.4g}" if value < 1e-4 else f"{name}: {value:.4f}" for name, value in metrics.items()
    )


def per_step(seconds: float, steps: int, unit: str = "step") -> str:
    """The time of one step, as ``3ms/step``."""
    each = seconds / max(steps, 1)
    scaled = f"{each:.0f}s" if each >= 1 else f"{each * 1e3:.0f}ms" if each >= 1e-3 else f"{each * 1e6:.0f}us"
    return f"{scaled}/{unit}"


def clock(seconds: float) -> str:
    """``0:07``, ``12:34`` or ``1:02:03``."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{rest:02d}" if minutes >= 60 else f"{minutes}:{rest:02d}"


@contextlib.contextmanager
def bar(total: int, description: str = "", unit: str = "step", out: Console | None = None) -> Iterator[Advance]:
    """A bar of `total` steps with the time left, that stays with the time taken and its last metrics."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
    from rich.table import Column

    out = out or console()
    columns = (
        *([TextColumn(description)] if description else []),
        MofNCompleteColumn(),
        BarColumn(bar_width=24 if out.width >= WIDE else 8),
        # In a narrow terminal the metrics wrap instead of being cut off.
        TextColumn("{task.fields[told]}", table_column=Column(no_wrap=False, overflow="fold")),
    )
    start = time.perf_counter()
    # Refreshed by hand: a refreshing thread would take the interpreter from the training.
    with Progress(*columns, console=out, auto_refresh=False) as progress:
        task = progress.add_task("", total=total, told="")
        shown = start - REFRESH_SECONDS

        def advance(done: int, metrics: Callable[[], Mapping[str, float]]) -> None:
            nonlocal shown
            now = time.perf_counter()
            if now - shown < REFRESH_SECONDS and done < total:
                return
            shown = now
            passed = now - start
            left = f"ETA {clock(passed / done * (total - done))}" if done < total else f"{passed:.0f}s"
            told = " - ".join(filter(None, (f"{left} {per_step(passed, done, unit)}", metrics_text(metrics()))))
            progress.update(task, completed=done, told=told, refresh=True)

        yield advance
