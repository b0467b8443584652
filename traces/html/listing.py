"""The index of a directory of artifacts as a page: what each file shows, with its verdict.

Promises: as for every page of this package; no script runs in it. Links lead to files of the directory only.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from traces.html.shell import document, text
from traces.printing import counted

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["MARK", "Entry", "listing"]

MARK: Final = "stage3-listing"
"""The name of what tells such a page from others that may be called the same."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A file or folder to link to.

    `path` is relative to the directory, `verdict` a cause class or another short word, `about` what ran, `size` how
    long it is in words, `others` are further files that belong to it.
    """

    path: str
    verdict: str
    about: str
    message: str
    size: str
    others: tuple[str, ...] = ()


def listing(entries: Sequence[Entry], left_out: int = 0) -> str:
    """Return the page; `left_out` entries are not among `entries`."""
    rows = "".join(map(_row, entries))
    more = f"<p>{counted(left_out, 'older entry')} left out.</p>" if left_out else ""
    head = "".join(
        f'<th scope="col">{name}</th>' for name in ("verdict", "what", "message", "size", "files")
    )
    table = f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"
    nothing = '<p class="quiet">Nothing was kept here.</p>'
    shown = f"{table if entries else nothing}{more}"
    body = f"<header><h1>What stage3 kept</h1></header>\n<main><section>{shown}</section></main>"
    return document("What stage3 kept", body, meta={MARK: "1"})


def _row(entry: Entry) -> str:
    good = " good" if entry.verdict in {"no failure", "nothing found"} else ""
    files = " ".join(map(_link, (entry.path, *entry.others)))
    return (
        f'<tr><td><span class="badge{good}">{text(entry.verdict or "?")}</span></td>'
        f'<th scope="row">{text(entry.about)}</th><td>{text(entry.message)}</td>'
        f'<td class="number">{text(entry.size)}</td><td>{files}</td></tr>\n'
    )


def _link(path: str) -> str:
    # With ./ in front no name is taken for an address.
    called = "job" if "/" in path else "data" if path.endswith(".json") else "page"
    address = text(quote(path, errors="surrogateescape"))
    return f'<a href="./{address}" title="{text(path)}">{called}</a>'
