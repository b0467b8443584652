"""Linearizability: a history of overlapping calls that no order of the calls explains.

What the search in `verify.linear` finds, as a finding: the calls in the order in which they began, and how many of them
some order can explain. Promises and limits are the search's: yes and no are exact for the calls recorded; a
call that was not recorded is not judged.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from verify.abc import Finding
from verify.linear.search import Answer

if TYPE_CHECKING:
    from verify.linear.history import History
    from verify.linear.search import Result

MOST_SHOWN = 40


def finding_of(history: History, result: Result, culprits: tuple[str, ...] = ()) -> Finding | None:
    """Return what is to be reported of a result, None where the answer is yes; undecided is a note."""
    if result.answer is Answer.YES:
        return None
    if result.answer is Answer.UNDECIDED:
        message = f"{history.name}: undecided after {result.states:,} states; record fewer calls, or give the specification keys"  # noqa: E501 - one sentence
        return Finding("linearizability", message, (history.name,), culprits=culprits, fatal=False)
    placed = set(result.longest)
    shown = [
        f"{'  ' if at in placed else '! '}{call} [{call.begin}, {'...' if call.pending else call.end}]"
        for at, call in enumerate(result.calls)
    ]
    order = ", ".join(f"{result.calls[at].op}{result.calls[at].args}" for at in result.longest)
    return Finding(
        cause="not linearizable",
        message=f"{history.name}: no order of these {len(result.calls)} calls gives the results they gave",
        key=(history.name,),
        details=(
            *shown[:MOST_SHOWN],
            f"the longest order that the specification allows has {len(placed)}: {order or 'none'}",
        ),
        culprits=culprits,
    )
