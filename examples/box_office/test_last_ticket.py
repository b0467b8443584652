"""A schedule that failed once must not fail again; written by `stage3 regression`."""

from __future__ import annotations

from pathlib import Path

import verify

TRACE = Path(__file__).with_name("test_last_ticket.json")


def test_last_ticket_uncaught_exception() -> None:
    """Uncaught exception in examples.box_office.now:last_ticket."""
    verify.regression(TRACE, target="examples.box_office.now:last_ticket")
