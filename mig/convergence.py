"""When to stop the guest, and when to slow it down: two rules as plain values, without locks or clocks.

Promises: every answer depends only on what was told before; a guest that can be moved within the limit is, after at
most `MOST_ROUNDS` rounds more than its first chance.
Does not: stop or slow anything.

**Stopping.** Sending stops being worth while at the first of these, looked at when a round is over and a fresh harvest
says what is left: (1) it is sent within `SOON`; (2) it is more than `SHRINK` of what the round before left, so that
another round would win little; (3) waiting was tried before, and more was left than the limit allows; (4) it was
waited for `MOST_ROUNDS` rounds. Nothing is stopped that the limit does not allow. QEMU stops at the first chance, with
as much left as the limit allows. What the wait costs: a round within the limit takes no longer than the limit, and each
is at most `SHRINK` of the one before: together less than `1 / (1 - SHRINK)` limits, and nearly all of it is time in
which bytes travel that would have to travel anyway.

**Slowing down** (auto-converge). A period of a second or more in which more was dirtied than the threshold's share of
what was sent counts; after two in a row the vCPUs are slowed by the initial percentage, then by the increment more,
up to the maximum. Source: QEMU migration/ram.c (migration_trigger_throttle, mig_throttle_guest_down).
"""

from __future__ import annotations

from typing import Final, NamedTuple

SOON: Final = 0.002
"""Seconds: about what stopping and starting the vCPUs take in any case."""
SHRINK: Final = 0.75
MOST_ROUNDS: Final = 10
PERIOD: Final = 1.0
"""Seconds of the shortest period that is judged."""
PERIODS: Final = 2


class Switchover:
    """Whether to stop the guest after each of the rounds of one migration."""

    def __init__(self, total: int) -> None:
        self._before = total
        self._waited = 0
        self._lost = False

    def stop_now(self, left: int, allowed: int, soon: int) -> bool:
        """Whether to stop with `left` bytes to send.

        `allowed` bytes are sent within the downtime limit, `soon` bytes within `SOON`.
        """
        before, self._before = self._before, left
        if left > allowed:
            self._lost = self._lost or self._waited > 0
            return False
        self._waited += 1
        return left <= soon or left > before * SHRINK or self._lost or self._waited > MOST_ROUNDS


class Throttle(NamedTuple):
    """The parameters of auto-converge, in percent."""

    threshold: int
    initial: int
    increment: int
    most: int


class AutoConverge:
    """How much the vCPUs of one migration are slowed, period by period."""

    def __init__(self, now: float) -> None:
        self._since = now
        self._dirtied = 0
        self._sent = 0
        self._in_a_row = 0

    def percent(self, now: float, newly: int, sent: int, throttle: Throttle, percent: int) -> int:
        """The percentage from now on; it is `percent` so far.

        At a sync: `newly` bytes were dirtied since the last one, `sent` bytes were sent since the start.
        """
        self._dirtied += newly
        if now - self._since < PERIOD:
            return percent
        much = self._dirtied * 100 > (sent - self._sent) * throttle.threshold
        self._since, self._dirtied, self._sent = now, 0, sent
        self._in_a_row = self._in_a_row + 1 if much else 0
        if self._in_a_row < PERIODS:
            return percent
        self._in_a_row = 0
        return min(percent + throttle.increment if percent else throttle.initial, throttle.most)
