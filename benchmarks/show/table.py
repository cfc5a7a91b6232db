"""The results as a table in the terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from ..harness.results import Results
from .cells import COLUMNS, RATIO, ROOFLINE, cells, heading, summary
from .figures import Line, lines

STYLES = {"rejected": "red", "error": "red", "absent": "dim", "not measured": "dim"}
WORDS = {"faster": "green", "slower": "yellow"}
PIPED_WIDTH = 190  # where no terminal says how wide it is


def family_table(name: str, found: Sequence[Line]) -> Table:
    """One family, the lines of a case under its name."""
    table = Table(title=name, title_justify="left", title_style="bold", padding=(0, 1), box=None, header_style="dim")
    for column in COLUMNS:
        right = column in ("median", "p5 … p95", "rate", "of roofline")
        whole = right or column == "ratio"
        table.add_column(column, justify="right" if right else "left", overflow="fold", no_wrap=whole)
    last = ""
    for line in found:
        case, *rest = cells(line)
        word = line.ratio.word if line.ratio else ""
        style = STYLES.get(line.row.status) or WORDS.get(word) or ("bold" if line.row.ours else "")
        table.add_row("" if case == last else case, *rest, style=style)
        last = case
    return table


def show(console: Console, results: Results) -> None:
    """Prints everything: the losses, the absent and the rejected too."""
    found = lines(results.rows(), results.of("roofline"))
    for header in results.of("header"):
        for text in heading(header, results.of("roofline")):
            console.print(text, markup=False, highlight=False)
    for family in dict.fromkeys(line.row.family for line in found):
        console.print()
        console.print(family_table(family, [line for line in found if line.row.family == family]), markup=False)
    console.print()
    for text in (summary(found), RATIO, ROOFLINE):
        console.print(text, markup=False, highlight=False)


def wide_console() -> Console:
    """The terminal, or lines wide enough for a file."""
    console = Console(markup=False)
    return console if console.is_terminal else Console(markup=False, width=PIPED_WIDTH)
