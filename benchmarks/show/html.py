"""The results as one HTML file that needs no other: facts, pictures and every row."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Sequence
from html import escape

from ..harness.results import Results
from . import pictures
from .cells import COLUMNS, RATIO, ROOFLINE, cells, heading, quickest, summary
from .figures import Line, lines

STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; color: #1c1c1c; background: #fff; margin: 2rem auto; max-width: 1880px;
       padding: 0 1rem; }
h1 { font-size: 1.6rem; margin-bottom: .3rem; } h2 { font-size: 1.2rem; margin-top: 2.2rem; }
.facts { color: #444; padding-left: 1.1rem; } .note { color: #555; font-size: .9rem; }
figure { margin: 1rem 0; } img { max-width: 100%; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-size: 13px; width: 100%; }
th { text-align: left; color: #555; font-weight: 600; border-bottom: 2px solid #ccc; padding: .3rem .6rem; }
td { padding: .22rem .6rem; vertical-align: top; white-space: nowrap; }
td.why, td.name { white-space: normal; overflow-wrap: anywhere; } td.why { min-width: 9rem; }
td.number { text-align: right; font-variant-numeric: tabular-nums; }
tr.first td { border-top: 1px solid #ddd; } tr.ours td { font-weight: 600; }
tr.rejected td, tr.error td { color: #a02020; } tr.absent td, tr.unmeasured td { color: #888; }
.faster { color: #0b6e4f; } .slower { color: #b04a1f; }
"""
NUMBERS = {"median", "p5 … p95", "rate", "of roofline"}


def image(svg: str, words: str) -> str:
    """A picture inside the page."""
    data = base64.b64encode(svg.encode()).decode()
    return f'<figure><img alt="{escape(words)}" src="data:image/svg+xml;base64,{data}"></figure>'


def table(found: Sequence[Line]) -> str:
    """The rows of a family, the case named once."""
    head = "".join(f"<th>{escape(column)}</th>" for column in COLUMNS)
    return f'<div class="scroll"><table><tr>{head}</tr>{"".join(table_rows(found))}</table></div>'


def table_rows(found: Sequence[Line]) -> Iterable[str]:
    """One for each line."""
    last = ""
    for line in found:
        case, *rest = cells(line)
        kinds = ["first"] if case != last else []
        kinds += ["ours"] if line.row.ours and line.times else []
        kinds += [escape(line.row.status.replace("not measured", "unmeasured"))]
        texts = ["" if case == last else case, *rest]
        word = line.ratio.word if line.ratio else ""
        if line.times is None:  # three names, and why there are no figures
            names, why = texts[:3], ": ".join(filter(None, (texts[3], texts[-1])))
            body = "".join(cell("", text, "") for text in names)
            body += f'<td class="why" colspan="{len(COLUMNS) - len(names)}">{escape(why)}</td>'
        else:
            body = "".join(cell(column, text, word) for column, text in zip(COLUMNS, texts))
        yield f'<tr class="{" ".join(kinds)}">{body}</tr>'
        last = case


def cell(column: str, text: str, word: str) -> str:
    """A table cell."""
    kinds = dict.fromkeys(NUMBERS, "number") | {"ratio": word, "case": "name", "contender": "name", COLUMNS[-1]: "why"}
    kind = kinds.get(column, "")
    return f'<td class="{kind}">{escape(text)}</td>' if kind else f"<td>{escape(text)}</td>"


def page(results: Results) -> str:
    """The whole report."""
    rooflines = results.of("roofline")
    found = lines(results.rows(), rooflines)
    parts = ["<h1>pylayers: benchmarks</h1>"]
    for header in results.of("header"):
        parts.append('<ul class="facts">')
        parts += [f"<li>{escape(text)}</li>" for text in heading(header, rooflines)]
        parts.append("</ul>")
    parts.append(f"<p><b>{escape(summary(found))}</b></p>")
    if any(line.times for line in found) and rooflines:
        parts += ["<h2>Under the roofline</h2>", image(pictures.roofline(found, rooflines[-1]), "roofline")]
        parts.append(f'<p class="note">{escape(ROOFLINE)}; ceilings: {escape(rooflines[-1]["how"])}.</p>')
    for family in dict.fromkeys(line.row.family for line in found):
        part = [line for line in found if line.row.family == family]
        parts.append(f"<h2>{escape(family)}</h2>")
        if quickest(part):
            parts.append(image(pictures.ratios(part), f"{family}: ratios to the quickest peer"))
        parts.append(table(part))
    parts.append(f'<p class="note">{escape(RATIO)}.</p>')
    head = f'<meta charset="utf-8"><title>pylayers: benchmarks</title><style>{STYLE}</style>'
    return f'<!DOCTYPE html>\n<html lang="en"><head>{head}</head><body>\n' + "\n".join(parts) + "\n</body></html>\n"
