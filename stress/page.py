"""The frame of every HTML page that is written: one file that loads nothing and runs nothing.

Promises: the page forbids itself any request, script and form (Content-Security-Policy), so that opening it from
anywhere is safe. Assumes: `style` and `body` are markup whose texts are escaped.
"""

from __future__ import annotations

from html import escape
from typing import Final

__all__ = ["document"]

_POLICY: Final = (
    "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
)


def document(title: str, style: str, body: str) -> str:
    """Return the page; `title` is plain text."""
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        '<meta name="viewport" content="width=device-width">\n'
        f"<title>{escape(title)}</title><style>{style}</style></head>\n<body>\n{body}\n</body></html>\n"
    )
