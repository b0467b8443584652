"""Small things that every text about a trace needs."""

from __future__ import annotations


def plain(text: str) -> str:
    """Return `text` with every character that a terminal would act on, or cannot print, escaped."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def counted(count: int, noun: str) -> str:
    """Return `1 step`, `2 steps`."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
