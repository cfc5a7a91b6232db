"""The command `pylayers bench`: runs, shows its progress, and writes what it found."""

from __future__ import annotations

import importlib.util
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from pylayers.errors import expected

from .harness import results
from .harness.places import open_place
from .harness.results import Record, Results
from .harness.run import load, run
from .harness.settings import QUICK, Settings
from .harness.threads import short_waits
from .show import table

QUICK_S = 150.0  # of measuring, after which no case begins: three minutes are promised


@dataclass(frozen=True)
class Options:
    """What was asked for on the command line."""

    families: Sequence[str] = ("all",)
    peers: str = ""  # words, separated by commas
    quick: bool = False
    json: Path | None = None
    html: Path | None = None
    seed: int = 0
    device: str = "auto"


def check(options: Options) -> None:
    """Raises at once what would otherwise be found out after the last case."""
    if options.html is not None and importlib.util.find_spec("matplotlib") is None:
        hint = "pip install 'pylayers[bench]'"
        raise expected("bench", "html", "matplotlib, which draws the pictures", "none installed", hint, ImportError)
    for name, path in (("json", options.json), ("html", options.html)):
        if path is not None:
            if not path.parent.is_dir() or path.is_dir():
                raise expected("bench", name, "a file in a folder that exists", str(path))
            with path.open("a"):  # it can be written; what an earlier run left in it stays for now
                pass


def main(options: Options) -> None:
    """Measures, prints the table, and writes the files that were asked for."""
    families = load(options.families)
    check(options)
    short_waits()
    place, no_gpu = open_place(options.device, options.seed)
    words = tuple(word.strip() for word in options.peers.split(",") if word.strip())
    settings = replace(QUICK if options.quick else Settings(), seed=options.seed, peers=words)
    if options.quick:
        settings = replace(settings, deadline=time.monotonic() + QUICK_S)
    records: list[Record] = []
    console = table.wide_console()

    begun = False  # to write: until something was measured the file of an earlier run stays

    def sink(record: Record) -> None:
        nonlocal begun
        records.append(record)
        if options.json is not None and (begun or record["kind"] == "row"):
            if not begun:
                options.json.write_text("")
            results.append(options.json, [record] if begun else records)
            begun = True

    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("", total=None)

        def progress(what: str, done: int, total: int) -> None:
            bar.update(task, description=what, completed=done, total=total)
            if not console.is_terminal:
                print(f"{done}/{total} {what}", file=sys.stderr, flush=True)

        run(families, place, settings, sink, progress, no_gpu)
    found = Results(records)
    table.show(console, found)
    if options.html is not None:
        from .show.html import page

        options.html.write_text(page(found), encoding="utf-8")
