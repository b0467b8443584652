"""What is kept of a failure: its trace, the page about it, and the index of the directory.

Promises: each file is there whole or not at all. The index names every page and trace that was there when the last
writer looked: who writes it looks again afterwards, and writes again where something came or went in the meantime.
    1. A lists the directory; 2. B writes a page, lists, writes the index; 3. A writes its index, without B's page;
    4. A lists again, sees B's page, and writes again.
Files found in the directory are hostile: of each page no more than its head is read.
"""

from __future__ import annotations

import re
from html import unescape
from pathlib import Path
from typing import TYPE_CHECKING, Final

from traces import store
from traces.errors import TraceError
from traces.html.listing import MARK, Entry, listing
from traces.html.page import page
from traces.printing import plain
from traces.schema import FORMAT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from traces.schema import Trace

__all__ = ["INDEX", "keep", "list_all", "page_of", "where", "write_index"]

INDEX: Final = "index.html"
MOST_LISTED: Final = 2_000
HEAD_BYTES: Final = 8_192
ROUNDS: Final = 5
_META: Final = re.compile(r'<meta name="stage3-(\w+)" content="([^"]*)">')
_TRACE: Final = f'"format": "{FORMAT}"'
_TITLE: Final = re.compile(r"<title>([^<]*)</title>")


def keep(trace: Trace, directory: Path = store.DIRECTORY, *, kind: str = "explore") -> Path:
    """Store `trace` in `directory`, its page beside it, and list both in the index; return the trace's path.

    Raises `TraceError` as `store.save` does.
    """
    file = store.save(trace, directory, kind=kind)
    store.write_whole(page_of(file), page(trace, str(file)), "the page")
    write_index(directory)
    return file


def page_of(file: Path) -> Path:
    """Return where the page about the trace in `file` is."""
    return file.with_suffix(".html")


def where(file: str) -> tuple[str, str]:
    """Return the lines by which a report names a trace that was kept in `file`, and its page."""
    shown = plain(str(page_of(Path(file))))
    return f"trace:  stage3 trace show {plain(file)}", f"page:   {shown}"


def write_index(directory: Path) -> Path:
    """Write the index of `directory` anew and return its path; raise `TraceError` where it cannot be written.

    An `index.html` that is not such an index is left as it is.
    """
    path = directory / INDEX
    if path.exists() and f'name="{MARK}"' not in _head(path):
        return path
    names = _names(directory)
    for _ in range(ROUNDS):
        entries = list(_entries(directory, names))
        left_out = max(len(entries) - MOST_LISTED, 0)
        store.write_whole(path, listing(entries[:MOST_LISTED], left_out), "the index")
        before, names = names, _names(directory)
        if names == before:
            break
    return path


def list_all(directory: Path) -> tuple[Entry, ...]:
    """Return what is kept in `directory`, the newest first."""
    return tuple(_entries(directory, _names(directory)))


def _names(directory: Path) -> tuple[str, ...]:
    """Return the names of what may be listed, the newest first."""
    found: list[tuple[float, str]] = []
    try:
        for path in directory.iterdir():
            if path.name.startswith(".") or path.name == INDEX:
                continue
            if path.suffix in {".html", ".json"} or (path / INDEX).is_file():
                found.append((path.stat().st_mtime, path.name))
    except OSError as error:
        remedy = "give a directory that stage3 writes into"
        raise TraceError(str(directory), f"cannot be listed: {error.strerror}", remedy) from None
    return tuple(name for _, name in sorted(found, key=lambda pair: (-pair[0], pair[1])))


def _entries(directory: Path, names: tuple[str, ...]) -> Iterator[Entry]:
    """Yield a page with the file that it is about, a folder with a page of its own, and what has no page."""
    there = set(names)
    for name in names:
        path = directory / name
        if path.suffix == ".html":
            about = name.removesuffix(".html") + ".json"
            yield _of_page(path, name, (about,) if about in there else ())
        elif path.suffix == ".json":
            if name.removesuffix(".json") + ".html" not in there and _TRACE in _head(path):
                yield Entry(name, "", name, "has no page: stage3 trace html makes one", "")
        else:
            yield _of_page(path / INDEX, f"{name}/{INDEX}", ())


def _of_page(path: Path, name: str, others: tuple[str, ...]) -> Entry:
    head = _head(path)
    facts = {key: unescape(value) for key, value in _META.findall(head)}
    title = _TITLE.search(head)
    called, _, rest = unescape(title[1]).partition(": ") if title else ("", "", "")
    if "verdict" not in facts:  # a page of another kind: its title says what it is
        return Entry(name, rest or called or "unreadable", called if rest else name, "", "", others)
    size = f"{facts.get('steps', '?')} steps"
    return Entry(
        name, facts["verdict"], facts.get("target", ""), facts.get("message", ""), size, others
    )


def _head(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return file.read(HEAD_BYTES).decode("utf-8", "replace")
    except OSError:
        return ""
