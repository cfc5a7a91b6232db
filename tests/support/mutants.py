"""Planted bugs: expressions of the kernels and what a mistake would have made of them.

One build of the emulated backend holds them all: where it is compiled, each expression becomes a choice at run time, so
that a thousand mutants cost one compilation and the kernels' own text knows nothing of it.
"""

from __future__ import annotations

import re
from pathlib import Path

import mutants_gemm
import mutants_layers

MUTANTS = {**mutants_gemm.MUTANTS, **mutants_layers.MUTANTS}  # file of kernels/ -> expressions and wrong versions


def numbered() -> list[tuple[int, str, str, str]]:
    """(number, file, expression, wrong version) of every mutant; number 0 stands for the kernels as they are."""
    rows = [(file, good, bad) for file, places in MUTANTS.items() for good, bads in places for bad in bads]
    return [(number, *row) for number, row in enumerate(rows, 1)]


def write(kernels: Path, target: Path) -> None:
    """Copies the folder `kernels` with every listed expression turned into a choice by ``active_mutant``."""
    choices: dict[str, dict[str, str]] = {}
    for number, file, good, bad in numbered():
        places = choices.setdefault(file, {})
        places[good] = f"(active_mutant == {number} ? ({bad}) : {places.get(good, f'({good})')})"
    for source in kernels.rglob("*.*h*"):
        text = source.read_text()
        for good, choice in choices.get(str(source.relative_to(kernels)), {}).items():
            found = list(re.finditer(r"\s+".join(map(re.escape, good.split())), text))  # however the lines are broken
            if len(found) != 1:
                raise ValueError(f"mutants: {source.name} holds {good!r} {len(found)} times, expected once")
            text = text[: found[0].start()] + choice + text[found[0].end() :]
        place = target / source.relative_to(kernels)
        place.parent.mkdir(parents=True, exist_ok=True)
        if not place.exists() or place.read_text() != text:  # what did not change is not compiled again
            place.write_text(text)
