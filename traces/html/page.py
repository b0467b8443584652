"""The timeline of one trace as a page of its own.

Promises: the page asks for nothing outside itself and every text of the trace is data in it, never markup or code;
below 1 MB for 10,000 steps. Without scripts it says the verdict, the steps and how to replay them.
Pure: a trace in, text out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from traces.html.content import content
from traces.html.shell import asset, data_block, document, text
from traces.text import replay_line, show

if TYPE_CHECKING:
    from traces.schema import Trace

__all__ = ["SCRIPTS", "page", "verdict"]

SCRIPTS: Final = ("run.js", "lanes.js", "details.js", "timeline.js")
MOST_WITHOUT_SCRIPT: Final = 200


def verdict(trace: Trace) -> str:
    """Return the cause class, or that there is no failure."""
    return trace.failure.cause if trace.failure is not None else "no failure"


def page(trace: Trace, file: str = "") -> str:
    """Return the page; `file` is where the trace is stored, for the replay line."""
    steps = trace.steps
    plainly = show(trace, stacks=False, file=file) if len(steps) <= MOST_WITHOUT_SCRIPT else ""
    fallback = plainly or f"{verdict(trace)}\n{replay_line(trace, file)}"
    body = asset("timeline.html").replace("{{fallback}}", text_block(fallback))
    facts = {
        "stage3-verdict": verdict(trace),
        "stage3-target": trace.program.target,
        "stage3-steps": str(len(steps)),
        "stage3-message": trace.failure.message[:500] if trace.failure is not None else "",
    }
    return document(
        f"{verdict(trace)}: {trace.program.target}",
        f"{body}\n{data_block('trace', content(trace, file))}",
        styles=("timeline.css",),
        scripts=SCRIPTS,
        meta=facts,
    )


def text_block(lines: str) -> str:
    """Return lines of text as markup that keeps them."""
    return "\n".join(text(line) for line in lines.splitlines())
