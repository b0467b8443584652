"""The frame of every page about a trace: one file that asks for nothing and runs only what it brings.

Promises: the page's policy (Content-Security-Policy) forbids every request, form and script but its own style and
script, which it names by digest; data is carried as JSON that no text inside can end early. The same values give the
same page.
Assumes: `body` is markup whose texts are escaped.
"""

from __future__ import annotations

import json
from base64 import b64encode
from functools import lru_cache
from hashlib import sha256
from html import escape
from importlib.resources import files
from typing import TYPE_CHECKING, Final

from traces.printing import plain

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    Json = str | int | float | bool | None | Sequence["Json"] | Mapping[str, "Json"]

__all__ = ["asset", "data_block", "document", "text"]

ALWAYS: Final = ("look.css",)


@lru_cache(maxsize=32)
def asset(name: str) -> str:
    """Return the text of a file that comes with this package."""
    return files("traces.html").joinpath("assets", name).read_text(encoding="utf-8")


def text(value: object) -> str:
    """Return `value` as text between tags or in a quoted attribute, whatever is in it."""
    return escape(plain(str(value)))


def data_block(name: str, value: Json) -> str:
    """Return the element with id `name` that carries `value` as JSON; no text in it can end the element."""
    dumped = json.dumps(value, separators=(",", ":"), allow_nan=False)
    for character in "<>&":
        dumped = dumped.replace(character, f"\\u{ord(character):04x}")
    return f'<script type="application/json" id="{name}">{dumped}</script>'


def document(
    title: str,
    body: str,
    *,
    styles: Sequence[str] = (),
    scripts: Sequence[str] = (),
    meta: Mapping[str, str] | None = None,
) -> str:
    """Return the page; `title` and `meta` are plain text, `styles` and `scripts` names of assets."""
    style = "".join(map(asset, (*ALWAYS, *styles)))
    script = "".join(map(asset, scripts))
    code = f"<script>{script}</script>" if script else ""
    runs = _digest(script) if script else "'none'"
    policy = (
        f"default-src 'none'; style-src {_digest(style)}; script-src {runs}; "
        "base-uri 'none'; form-action 'none'"
    )
    facts = "".join(
        f'<meta name="{escape(name)}" content="{text(value)}">\n'
        for name, value in (meta or {}).items()
    )
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"{facts}<title>{text(title)}</title>\n<style>{style}</style>\n</head>\n<body>\n{body}\n{code}</body>\n</html>\n"
    )


def _digest(code: str) -> str:
    return f"'sha256-{b64encode(sha256(code.encode()).digest()).decode()}'"
