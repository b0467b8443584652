"""M10. The end is asked for, and the socket on which the sender blocks is not shut.

Upstream: repaired by 077fbb5942 (2021): the clean-up joined senders that were blocked in sendmsg.
1. migration: writes to a peer that has stopped reading, and blocks.
2. main: cancels; the state moves, and the socket stays as it is.
3. main: waits for the end, the migration for the peer.
Fix: shut the socket down before anybody waits for the thread.
"""

from __future__ import annotations

from mig.channel import Channel
from stress.migration.defects.frame import Defect, Step


def abort(self: Channel, error: OSError) -> None:
    """Record the error."""
    self.fail(error)


DEFECT = Defect(
    __doc__,
    "stalled_peer",
    "lost wake-up",
    "Event.wait",
    (Step(Channel, "abort", abort, "72ef447d"),),
)
