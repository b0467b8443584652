"""Why the recorded orders do not make the new text fail: gone, forbidden and by what, or kept without harm.

Promises: what is said was seen in the executions counted; that an order is forbidden means that no execution directed
at it kept all orders; what is named kept the first mark of this one from being made where it was seen most.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from verify.durable.matching import same_function

if TYPE_CHECKING:
    from verify.durable.following import Following
    from verify.durable.guide import Guide, Old
    from verify.durable.orders import Order


@dataclass
class Tally:
    """What the neighbourhood showed: of `runs` executions `met` kept all orders that are left, `kept` each of them."""

    runs: int = 0
    met: int = 0
    kept: Counter[Order] = field(default_factory=Counter)

    def count(self, guide: Guide) -> None:
        """Take in the execution that is over."""
        self.runs += 1
        self.met += guide.met
        for at, order in enumerate(guide.orders):
            if order.before in guide.done and at not in guide.broken:
                self.kept[order] += 1


def why(old: Old, tally: Tally, following: Following) -> list[str]:
    """Return the reasons, a line each."""
    living = old.living()
    out = [_dead(old, order) for order in old.orders if order not in living]
    if tally.met and living:
        return [*out, f"{tally.met} of {tally.runs} executions kept all orders that are left"]
    for order in living:
        reason = _most_seen(following, order)
        if reason or not tally.kept[order]:
            out.append(f"forbidden: {_said(old, order)}: {reason or 'no execution kept it'}")
    if following.stuck:
        out.append(f"the recorded order ends before {following.stuck}")
    return out


def unexplained(old: Old) -> list[str]:
    """Return what needed orders speak of that does not run any more: threads, functions."""
    functions = {place.function for place in old.places.met}
    out: dict[str, None] = {}
    for mark in (mark for order in old.orders for mark in order):
        place = old.anchors.places[mark.place]
        if mark.track not in old.threads.claimed:
            out[f"no thread is {old.name(mark.track)}"] = None
        elif not any(same_function(place.function, name) for name in functions):
            out[f"nothing is done in {place.function}"] = None
    return list(out)


def _said(old: Old, order: Order) -> str:
    return f"{old.text(order.before)} < {old.text(order.after)}"


def _most_seen(following: Following, order: Order) -> str:
    counts = following.listener.whys
    seen = [(count, reason) for (broken, reason), count in counts.items() if broken == order]
    return max(seen)[1] if seen else ""


def _dead(old: Old, order: Order) -> str:
    gone = [mark for mark in order if (mark.track, mark.place) not in old.seen]
    names = " and ".join(dict.fromkeys(old.text(mark) for mark in gone))
    return f"gone: {_said(old, order)}: {names} is not done any more"
