"""What a test raises to leave itself, rather than to fail: skips and the like pass through a check.

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

# What `pytest.exit`, `pytest.skip` and `pytest.xfail` raise; without pytest loaded nobody does.
_PYTEST = ("_pytest.outcomes", ("Exit", "Skipped", "XFailed"))


class LeftTheTest(UsageError):  # noqa: N818 - says what happened
    """Carries what left the test through the search, which stops for a `UsageError`."""

    def __init__(self, original: BaseException) -> None:
        super().__init__(f"the test left itself: {original!r}")
        self.original = original


def leaving() -> tuple[type[BaseException], ...]:
    """Return the exceptions by which a test leaves itself."""
    home, names = _PYTEST
    kinds = [getattr(sys.modules.get(home), name, None) for name in names]
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
