"""An explanation as text: the orders that make the run fail, how sure that is, and the critical pair.

Promises: pure formatting, no wider than what stands in the trace; what was sampled is said in numbers, and a number
that was not sampled is not said.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from traces.explanation import chains
from traces.printing import counted, plain

if TYPE_CHECKING:
    from collections.abc import Iterator

    from traces.explanation import Event, Explanation, Order, Shrunk
    from traces.schema import Trace
    from traces.text import Titles
    from traces.turning import Turning

__all__ = ["critical_pair", "why"]

MOST_TOKEN = 400


def why(trace: Trace, titles: Titles) -> Iterator[str]:
    """Yield the lines on what makes the run fail; none where nobody looked."""
    found, shrunk, turned = trace.explanation, trace.shrunk, trace.turning
    if found is None and shrunk is None and turned is None:
        return
    yield ""
    yield "Why it fails"
    if found is not None:
        yield from _orders(found, titles)
    if turned is not None:
        yield from _turned(turned, titles)
    if shrunk is not None:
        yield from _shrunk(shrunk, len(trace.steps))


def _orders(found: Explanation, titles: Titles) -> Iterator[str]:
    if not found.orders:
        yield f"  in any order: {found.failing} of {counted(found.sampled, 'sampled schedule')} fail in this way"
        return
    yield "  when these operations take effect in this order (@ is the step below):"
    for chain in chains(found.orders):
        yield "    " + "  <  ".join(_event(event, titles) for event in chain)
    unmet = f"; {found.unmet} more did not come to meet them" if found.unmet else ""
    yield (
        f"  {found.failing} of {counted(found.sampled, 'sampled schedule')} that meet "
        f"{'it' if len(found.orders) == 1 else 'all of them'} fail in this way{unmet}"
    )
    yield from (f"  {line}" for line in _reversals(found, titles))


def _turned(turned: Turning, titles: Titles) -> Iterator[str]:
    yield (
        f"  decided at step {turned.step}, where {titles.task(turned.task)} goes on: {turned.failing} of "
        f"{counted(turned.sampled, 'sampled schedule')} that go so far fail in this way"
    )
    if turned.instead:
        yield (
            f"  with {titles.task(turned.instead)} going on there instead {turned.passing} of "
            f"{counted(turned.others, 'sampled schedule')} end well, {turned.others_failing} fail in this way"
        )
    if 0 < len(turned.token) <= MOST_TOKEN:
        yield f"  one that ends well: {plain(turned.token)}"


def _reversals(found: Explanation, titles: Titles) -> Iterator[str]:
    if all(order.necessary for order in found.orders):
        least = min(order.reversed for order in found.orders)
        each = "it is" if len(found.orders) == 1 else "each is"
        yield f"{each} necessary: with it reversed, none of {least} sampled schedules fails in this way"
    else:
        for order in found.orders:
            yield f"reversed, {_pair(order, titles)}: {_share(order)}"
    if not found.reduced:
        yield "the budget ended before leaving out each of them was tried"


def _share(order: Order) -> str:
    if not order.reversed:
        return "no sampled schedule could meet that and the other orders"
    return f"{order.failing} of {order.reversed} sampled schedules fail in this way"


def _pair(order: Order, titles: Titles) -> str:
    return f"{_event(order.before, titles)} < {_event(order.after, titles)}"


def _event(event: Event, titles: Titles) -> str:
    what = f"{titles.task(event.task)}: {plain(event.op)} {titles.object(event.object)}"
    return f"{what} @{event.step}" if event.step is not None else f"{what} (stands before it)"


def _shrunk(shrunk: Shrunk, steps: int) -> Iterator[str]:
    found = f"{counted(shrunk.found_preemptions, 'preemption')} in {counted(shrunk.found_steps, 'step')}"
    now = f"{counted(shrunk.preemptions, 'preemption')} in {counted(steps, 'step')}"
    tried = counted(shrunk.runs, "execution")
    least = shrunk.fewest and shrunk.preemptions
    proof = "; no schedule with fewer preemptions fails in this way" if least else ""
    if found == now:
        yield f"  found with {now}, and no simpler in {tried}{proof}"
    else:
        yield f"  shrunk from {found} to {now} ({tried}){proof}"
    if found != now and 0 < len(shrunk.token) <= MOST_TOKEN:
        yield f"  as it was found: {plain(shrunk.token)}"


def critical_pair(trace: Trace, titles: Titles) -> Iterator[str]:
    """Yield the pair of operations whose order is decided last, with both backtraces."""
    found = trace.explanation
    if found is None or found.critical is None:
        return
    order = found.orders[found.critical]
    yield ""
    yield "Critical pair: the order that is decided last"
    for place, event in (("first", order.before), ("then", order.after)):
        site = f" at {plain(event.site)}" if event.site else ""
        yield f"  {place} {_event(event, titles)}{site}"
        for frame in event.stack:
            yield f"    {plain(frame.file)}:{frame.line} in {plain(frame.function)}"
            if frame.source:
                yield f"      {plain(frame.source.strip())}"
