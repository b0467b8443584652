"""A hang report as one HTML page that loads nothing and runs nothing.

Promises: every text from the report is escaped; the page forbids itself any request and any script
(Content-Security-Policy `default-src 'none'`), so opening a report from anywhere is safe.
"""

from __future__ import annotations

import shlex
from html import escape
from typing import TYPE_CHECKING

from stress.hang.text import OPERATIONS, brief, doing, frame_line, operation_lines, stack_lines
from stress.page import document
from traces.text import plain

if TYPE_CHECKING:
    from stress.hang.model import HangReport, ThreadRow

__all__ = ["page"]

_STYLE = """
:root { color-scheme: light dark; font: 15px/1.5 system-ui, sans-serif; }
body { max-width: 75rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.3rem; } h2 { font-size: 1.05rem; margin-top: 2rem; }
.verdict { color: #c01c28; } .quiet { opacity: .7; }
table { border-collapse: collapse; width: 100%; } th { text-align: left; }
td, th { border-bottom: 1px solid #8885; padding: .3rem .6rem .3rem 0; vertical-align: top; }
pre, code { font: 13px/1.45 ui-monospace, monospace; } pre { overflow-x: auto; margin: .3rem 0; }
.cycle li { list-style: none; } .cycle li + li::before { content: "waits for "; opacity: .7; }
.gil { background: #e5a50a55; }
"""


def _text(value: object) -> str:
    return escape(plain(str(value)))


def page(report: HangReport) -> str:
    """Return the page."""
    parts = [
        f'<h1><span class="verdict">{_text(report.verdict)}</span>: {_text(report.cause)}</h1>',
        f'<p class="quiet">{_text(report.headline)}; process {report.pid}: ',
        f"<code>{_text(shlex.join(report.command))}</code></p>",
        _list(report.details),
        _cycle(report),
        _notes(report),
        _threads(report),
        _operations(report),
    ]
    parts += [f"<h2>{_text(k)}</h2><pre>{_block(v)}</pre>" for k, v in report.attached.items()]
    if report.problems:
        parts += ["<h2>What could not be had</h2>", _list(report.problems)]
    if report.repro:
        parts.append(f"<h2>Next</h2><pre>{_text(report.repro)}</pre>")
    return document(f"hang: {plain(report.verdict)}", _STYLE, "\n".join(parts))


def _block(text: str) -> str:
    return "\n".join(_text(line) for line in text.splitlines())


def _list(lines: tuple[str, ...]) -> str:
    return f"<ul>{''.join(f'<li>{_text(line)}</li>' for line in lines)}</ul>" if lines else ""


def _cycle(report: HangReport) -> str:
    if not report.cycle:
        return ""
    items = "".join(f"<li><strong>{_text(name)}</strong></li>" for name in report.cycle)
    return (
        f'<h2>Wait-for cycle ({brief(report).partition(":")[0]})</h2><ol class="cycle">{items}</ol>'
    )


def _notes(report: HangReport) -> str:
    if not report.notes:
        return ""
    rows = (f"<tr><th>{_text(k)}</th><td>{_text(v)}</td></tr>" for k, v in report.notes.items())
    return f"<h2>Notes of the program</h2><table>{''.join(rows)}</table>"


def _threads(report: HangReport) -> str:
    head = "<tr><th>process</th><th>thread</th><th>does</th><th>holds</th></tr>"
    return f"<h2>Threads</h2><table>{head}{''.join(map(_thread, report.threads))}</table>"


def _thread(row: ThreadRow) -> str:
    held = "".join(
        f"<details><summary>{_text(each.name)}{f' ({each.count} times)' if each.count > 1 else ''}, "
        f"{each.since_s:.3f} s</summary><pre>{_block(chr(10).join(map(frame_line, each.stack)))}</pre></details>"
        for each in row.held
    )
    stack = _block("\n".join(stack_lines(row.stack)))
    notify = f'<br><span class="quiet">last notify {_text(row.notify)}</span>' if row.notify else ""
    mark = ' class="gil"' if row.owns_gil else ""
    more = f"<details><summary>stack</summary><pre>{stack}</pre></details>" if stack else ""
    return (
        f"<tr{mark}><td>{row.pid}</td><td><strong>{_text(row.name)}</strong><br>"
        f'<span class="quiet">{_text(row.role)}{", daemon" if row.daemon else ""}'
        f"{', holds the GIL' if row.owns_gil else ''}</span></td>"
        f"<td>{_text(doing(row))}{notify}{more}</td><td>{held}</td></tr>"
    )


def _operations(report: HangReport) -> str:
    parts = []
    for snapshot in report.snapshots:
        if snapshot.ring:
            lines = "\n".join(escape(line) for line in operation_lines(snapshot))
            title = (
                f"Last {min(OPERATIONS, len(snapshot.ring))} of {snapshot.progress:,} operations"
            )
            parts.append(f"<h2>{title}, process {snapshot.pid}</h2><pre>{lines}</pre>")
    return "\n".join(parts)
