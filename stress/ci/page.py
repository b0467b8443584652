"""`index.html` of a stress job: one file, no script, nothing loaded from anywhere.

Promises: every text is escaped, links lead into the folder only, and a content security policy forbids
everything but its own style.
"""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from stress.jobs import folder as folders
from stress.jobs.outcome import workers_started
from stress.jobs.progress import span
from stress.page import document

if TYPE_CHECKING:
    from stress.jobs.outcome import JobResult, Problem

MOST_ROWS: Final = 2000
MOST_MESSAGE: Final = 4000
STYLE: Final = """
body { font: 15px/1.4 system-ui, sans-serif; margin: 2em auto; max-width: 75em; padding: 0 1em; }
:root { color-scheme: light dark; }
table { border-collapse: collapse; } td, th { padding: .2em .8em .2em 0; text-align: left; vertical-align: top; }
section { border-top: 1px solid #8886; margin-top: 1em; } pre { overflow-x: auto; background: #8882; padding: .5em; }
"""


def of(result: JobResult) -> str:
    """Return the page."""
    body = [
        f"<h1>stage3 stress</h1><p><strong>{escape(result.verdict)}</strong></p>",
        _facts(result),
    ]
    body += [_problem(problem, result) for problem in result.problems[:MOST_ROWS]]
    if len(result.problems) > MOST_ROWS:
        body.append(f"<p>and {len(result.problems) - MOST_ROWS:,} more, in the journal</p>")
    return document(f"stage3 stress: {result.verdict}", STYLE, "\n".join(body))


def _facts(result: JobResult) -> str:
    settings = result.settings
    facts = [
        ("targets", ", ".join(target.text for target in settings.targets)),
        ("seed", str(settings.seed)),
        ("runs", f"{result.done:,} in {span(result.seconds)}, {workers_started(result)}"),
        ("noise", " ".join(settings.noise.words()) or "none"),
        ("limit", f"{settings.limit_s:g} s without progress"),
        ("shard", str(settings.shard)),
        ("journal", str(result.journal)),
    ]
    facts += [("note", f"{many:,} runs: {note}") for note, many in result.notes.most_common(20)]
    facts += [("skipped", f"{target}: {many:,} runs") for target, many in result.skipped.items()]
    if result.interrupted or result.stopped:
        facts.append(("go on", settings.resumed(result.journal)))
    rows = "".join(f"<tr><th>{name}</th><td>{escape(value)}</td></tr>" for name, value in facts)
    return f"<table>{rows}</table>"


def _problem(problem: Problem, result: JobResult) -> str:
    links = " ".join(
        f'<a href="{escape(quote(file))}">{escape(file)}</a>'
        for file in folders.files_of(result.folder, problem)
    )
    return (
        f"<section><h2>{escape(problem.target)}: {escape(problem.headline[:300])}</h2>"
        f"<p>{escape(problem.where)} after {problem.seconds:.2f} s</p>"
        f"<pre>{escape(problem.message[:MOST_MESSAGE])}</pre><p>{links}</p>"
        f"<pre>{escape(problem.again)}</pre></section>"
    )
