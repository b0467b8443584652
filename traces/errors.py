"""What can be wrong with a trace file or a token.

Each error names the culprit and says what to do. Both are `ValueError`s about input, never about a
fault of our own: a command prints the one line and ends with exit code 2.
"""

from __future__ import annotations


class InputError(ValueError):
    """Input that cannot be used: `culprit` says where, `problem` what, `remedy` what to do next."""

    def __init__(self, culprit: str, problem: str, remedy: str) -> None:
        super().__init__(culprit, problem, remedy)
        self.culprit = culprit
        self.problem = problem
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.culprit}: {self.problem}; {self.remedy}"


class TraceError(InputError):
    """A trace cannot be read or written; `culprit` is a file, or a field like `steps[3].time`."""


class TokenError(InputError):
    """A replay token cannot be used; `culprit` is the part of the token that is wrong."""


def quoted(value: object, limit: int = 60) -> str:
    """Return `value` as an error shows it, at most `limit` characters: input may be hostile.

    Lists and objects are told by size only, for they may be nested deeper than `repr` can follow.
    """
    if isinstance(value, list):
        return f"a list of {len(value)}"
    if isinstance(value, dict):
        return f"an object of {len(value)}"
    text = ascii(value[:limit]) if isinstance(value, str) else ascii(value)
    return text if len(text) <= limit else text[: limit - 2] + ".."
