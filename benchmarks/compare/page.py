"""A run as one HTML page that needs nothing else, and as the tables and pictures of `docs/comparison.md`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import Any

from benchmarks.compare.plots import PICTURES, as_png, as_svg
from benchmarks.compare.tables import Table, tables

Record = Mapping[str, Any]

HOW = {
    "throughput": "Ten thousand calls that do nothing, submitted by one thread; the best of several rounds. In the "
    "process four workers run them, behind a broker one process of a prefork worker, without mingle and gossip. "
    "No results are wanted. dispatch traces nothing here; `make bench` says what a trace costs.",
    "latency": "Calls at a constant rate, each measured from the moment at which it should have been made, so that a "
    "caller who falls behind hides nothing. Saturated: more was offered than can be carried.",
    "payload": "Text of one letter as the only argument. In the process it is passed by reference; through a broker it "
    "is encoded, sent, stored, fetched and decoded.",
    "memory": "Proportional set size (pages that processes share are counted once). In the process all workers are "
    "kept busy meanwhile, behind a broker none is running.",
    "breakdown": "Each part measured by itself; what is left of the whole is shown as its last part.",
    "scarcity": "Payloads of 100 kB that nobody takes, until something gives. Each case in a process, or on a server, "
    "of its own. Lost is what was accepted, without an error to anybody, and is not there afterwards.",
}
_TITLE = "Celery's broker, Go's channels, and what lies between"

_CSS = Path(__file__).with_name("page.css").read_text()


def html(record: Record) -> str:
    """The whole page. Its pictures are drawn into it."""
    said = list(tables(record))
    parts = [f"<h1>{escape(_TITLE)}</h1>", f"<p>{escape(_circumstances(record))}</p>", _contents(said)]
    parts += [_section(record, table) for table in said]
    repeat = "make compare"
    parts.append(f"<h2>Again</h2><p>In a checkout, with Python 3.11 and nothing else: <code>{repeat}</code>.</p>")
    body = "\n".join(parts)
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{escape(_TITLE)}</title>'
        f'<meta name="viewport" content="width=device-width"><style>{_CSS}</style></head>\n'
        f"<body>\n{body}\n</body></html>\n"
    )


def pictures(record: Record, folder: Path) -> list[Path]:
    """Every picture that the record has figures for, as PNG."""
    folder.mkdir(parents=True, exist_ok=True)
    made = []
    for name in _drawn(record):
        path = folder / f"{name}.png"
        path.write_bytes(as_png(PICTURES[name](record)))
        made.append(path)
    return made


def rewritten(page: str, record: Record) -> str:
    """The documentation's page with its generated parts made anew: between `<!-- name -->` and `<!-- end -->`."""
    made = {table.key: table.markdown() for table in tables(record)} | {"circumstances": _circumstances(record)}

    def replace(found: re.Match[str]) -> str:
        return f"<!-- {found[1]} -->\n{made[found[1]]}\n<!-- end -->" if found[1] in made else found[0]

    return re.sub(r"<!-- ([a-z-]+) -->\n.*?<!-- end -->", replace, page, flags=re.DOTALL)


def _drawn(record: Record) -> list[str]:
    keys = {table.key.partition("-")[0] for table in tables(record)}
    return [name for name in PICTURES if name in keys]


def _section(record: Record, table: Table) -> str:
    group = table.key.partition("-")[0]
    picture = group if group in PICTURES and table.key in (group, "breakdown-celery") else None
    drawn = f"<figure>{as_svg(PICTURES[picture](record))}</figure>" if picture else ""
    how = f"<p>{escape(HOW[group])}</p>" if table.key in (group, "breakdown-celery") else ""
    title = _plain(table.title)
    return f'<h2 id="{table.key}">{title}</h2>\n{how}\n{drawn}\n<div class="wide">{_table(table)}</div>'


def _table(table: Table) -> str:
    head = "".join(f"<th>{_plain(each)}</th>" for each in table.columns)
    worded = (1, 4) if table.key == "scarcity" else ()
    rows = "".join(
        "<tr>" + "".join(_cell(cell, words=at in worded) for at, cell in enumerate(row)) + "</tr>" for row in table.rows
    )
    return f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"


def _cell(text: str, *, words: bool) -> str:
    return f"<td{' class=words' if words else ''}>{_plain(text)}</td>"


def _contents(said: list[Table]) -> str:
    links = " · ".join(f'<a href="#{table.key}">{_plain(table.title)}</a>' for table in said)
    return f"<nav>{links}</nav>"


def _plain(text: str) -> str:
    bold = re.sub(r"\*\*(.+?)\*\*", r"<b>\1</b>", escape(text))
    return re.sub(r"`(.+?)`", r"<code>\1</code>", bold)


def _circumstances(record: Record) -> str:
    machine, versions = record["machine"], record["versions"]
    shown = ", ".join(f"{name} {number}" for name, number in versions.items())
    missing = f" Not here, and not measured: {', '.join(record['missing'])}." if record["missing"] else ""
    return (
        f"Measured on {record['made'][:10]} in one run on {machine['cores']} cores, {machine['memory'] / 2**30:.0f} "
        f"GiB, {machine['system']} {machine['architecture']}: {shown}. Read the ratios: "
        f"caller, broker and worker of a contestant all run on it at once.{missing}"
    )
