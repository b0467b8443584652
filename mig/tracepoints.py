"""The engine's scheduling hooks: named accesses to shared state and named events.

Promises: costs one attribute test while nobody listens. `access` comes immediately before shared
state is touched, with no lock operation in between, so a listener may switch threads inside it.
`event` comes immediately after something happened and is never a place to switch.
Assumes: the listener is set before the machine's threads start.
Does not: record, filter or order anything.

Accesses (`lo`, `hi` bound the touched range; `write` says whether it changes):

| name | object | range |
|---|---|---|
| guest_page | guest memory | global page numbers |
| dirty_log | the shared dirty log | global page numbers |
| bitmap | the private migration bitmap and its counter | global page numbers |
| channel | the buffer of unsent bytes | 0, 1 |
| stop_flag | whether the guest has been stopped, polled by a design | 0, 1 |
| exit_request | a vCPU is asked to leave the guest, looked at between two of its stores | vCPU number, + 1 |

Events:

| name | values |
|---|---|
| page_marked | page |
| page_sent | page, zero |
| sync | number (0: the one of the setup), newly, marked_since |
| logging_started, logging_stopped | - |
| run_state | role, state |
| migration_state | old, new |
| append | bytes |
| write_begin, write_end | bytes, big_lock_held |
| vcpu_stopped, vcpu_resumed | vcpu |
| vm_stopped | role: every vCPU is stopped |
| complete_begin, complete_end | remaining (pages still dirty) |
| incoming_state | state |
"""

from __future__ import annotations

from typing import Protocol


class Listener(Protocol):
    """Whoever wants to know: the toolkit, a recorder, a test."""

    def access(self, name: str, lo: int, hi: int, write: bool) -> None:  # noqa: FBT001 - hot path
        """Shared state `name`, range [lo, hi), is about to be read or written."""

    def event(self, name: str, **values: int | str | bool) -> None:
        """Something happened; `values` as in the table above."""


class Tracepoints:
    """The hooks of one machine; `role` is 'source' or 'destination'."""

    __slots__ = ("listener", "role")

    def __init__(self, role: str = "source", listener: Listener | None = None) -> None:
        self.role = role
        self.listener = listener
