"""What a test raises to leave itself, rather than to fail: skips, assumptions that do not hold and the like.

Promises: they reach the caller of the check as they were raised, whatever execution raised them. In
a thread other than the main one they stay what they are there: exceptions that nobody catches.
"""

from __future__ import annotations

import sys
import unittest
from typing import TYPE_CHECKING

from verify.abc import UsageError

if TYPE_CHECKING:
    from verify.program import Body

# What `pytest.exit`, `pytest.skip`, `pytest.xfail` and `hypothesis.assume` raise, and how Hypothesis ends an example;
# where these are not loaded nobody does.
_HOMES = {
    "_pytest.outcomes": ("Exit", "Skipped", "XFailed"),
    "hypothesis.errors": ("UnsatisfiedAssumption", "StopTest"),
}


class LeftTheTest(UsageError):  # noqa: N818 - says what happened
    """Carries what left the test through the search, which stops for a `UsageError`."""

    def __init__(self, original: BaseException) -> None:
        super().__init__(f"the test left itself: {original!r}")
        self.original = original


def leaving() -> tuple[type[BaseException], ...]:
    """Return the exceptions by which a test leaves itself."""
    kinds = [
        getattr(sys.modules.get(home), name, None)
        for home, names in _HOMES.items()
        for name in names
    ]
    known = [kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseException)]
    return (unittest.SkipTest, *known)


def passing_on(body: Body) -> Body:
    """Return `body` such that what leaves the test stops the search."""
    kinds = leaving()

    def run() -> None:
        try:
            body()
        except kinds as error:
            raise LeftTheTest(error) from None

    return run
