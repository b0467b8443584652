"""The destination process of `stage3 migrate`: one machine that waits for one source.

Promises: takes its orders on standard input and answers on standard output (`stress.side_channel`);
digests every page after the last load and before the first vCPU step; ends when the source says so
or is gone, with code 0, or 5 when it stood still. A bad address is answered, not raised.
Assumes: it was started by `stress.migrate`. Does not: compare anything.
"""

from __future__ import annotations

import os
import pathlib
import sys
import threading
from typing import TYPE_CHECKING, Final

from mig import transport
from mig.incoming import Incoming, State
from mig.machine import Machine
from stress import digests, guests, real_guests
from stress.migrate_types import MigrateInputError
from stress.side_channel import ChannelError, Message, receive, send
from stress.watchdog.counter import CounterWatchdog

if TYPE_CHECKING:
    from typing import BinaryIO

    from stress.side_channel import Value

ACCEPT_TIMEOUT: Final = 30.0
"""Seconds the source has to connect."""
ALIVE_EVERY: Final = 1.0
"""Seconds after which the source hears that bytes still come: it may be done already."""


class _Progress:
    """Bytes received and steps taken; idle waiting for orders counts as getting on."""

    def __init__(self) -> None:
        self.incoming: Incoming | None = None
        self.idle = 0
        self.waiting = threading.Event()

    def value(self) -> int:
        if self.waiting.is_set():
            self.idle += 1
        return self.idle + (0 if self.incoming is None else self.incoming.received_bytes)


def _digest_message(machine: Machine, answers: BinaryIO) -> Message:
    def alive() -> None:
        send(answers, Message("alive", {}))

    blocks = machine.ram.blocks()
    made = {block.name: digests.page_digests(block.view, alive) for block in blocks}
    payload = b"".join(each.records for each in made.values())
    facts: list[Value] = [[name, each.pages] for name, each in made.items()]
    records: list[Value] = [
        [name, len(each.records) // digests.RECORD] for name, each in made.items()
    ]
    states = guests.vcpu_states(machine).items()
    vcpus: dict[str, Value] = {name: state.hex() for name, state in states}
    return Message("digests", {"blocks": facts, "records": records, "vcpus": vcpus}, payload)


def _result_message(incoming: Incoming) -> Message:
    loader = incoming.loader
    return Message(
        "result",
        {
            "completed": incoming.state is State.COMPLETED,
            "error": None if incoming.error is None else str(incoming.error),
            "received": incoming.received_bytes,
            "normal": loader.normal,
            "duplicate": loader.duplicate,
            "foreign": [
                [f"{section.name}/{section.instance}/{section.version}", len(section.body)]
                for section in incoming.foreign
            ],
        },
        b"".join(section.body for section in incoming.foreign),
    )


def _serve(orders: BinaryIO, answers: BinaryIO, order: Message, progress: _Progress) -> None:
    try:
        runs = real_guests.of_order(order)
        listener = transport.listen(order.text("uri"))
    except (MigrateInputError, transport.TransportError) as error:
        send(answers, Message("refused", {"error": str(error)}))
        return
    machine = Machine(
        "destination",
        order.pairs("blocks"),
        runs.programs,
        name=order.text("machine"),
        log=runs.log,
    )
    arrived: list[int] = []
    broken: list[str] = []
    try:
        with listener:
            send(answers, Message("listening", {"uri": listener.uri}))
            # A file is whole when the source says so.
            if listener.address.scheme == "file" and receive(orders) is None:
                return
            sock = listener.accept(ACCEPT_TIMEOUT)

        telling = threading.Lock()

        def hand_over_digests() -> None:
            progress.waiting.set()
            if runs.counting is not None:
                arrived.extend(runs.counting.counts(machine))
                broken.extend(runs.counting.faults(machine))
            with telling:
                send(answers, _digest_message(machine, answers))

        incoming = Incoming(machine, sock, before_start=hand_over_digests)
        progress.incoming = incoming
        progress.waiting.clear()
        incoming.start()
        heard = 0
        while not incoming.join(ALIVE_EVERY):
            if incoming.received_bytes != heard and telling.acquire(blocking=False):
                heard = incoming.received_bytes
                send(answers, Message("alive", {}))
                telling.release()
        progress.waiting.set()
        send(answers, _result_message(incoming))
        if runs.counting is not None and incoming.state is State.COMPLETED:
            stores, later = real_guests.gone_on(runs.counting, machine, arrived)
            send(answers, Message("guest", {"stores": stores, "faults": "; ".join(broken + later)}))
        receive(orders)
    except transport.TransportError as error:
        send(answers, Message("result", {"completed": False, "error": str(error)}))
    finally:
        machine.close()
        runs.close()


def main() -> int:
    """Read one order, serve it, and return the exit code."""
    # Standard output carries messages only: whatever else is printed goes to standard error.
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    orders = sys.stdin.buffer
    progress = _Progress()
    progress.waiting.set()
    try:
        order = receive(orders)
        if order is None:
            return 0
        directory = pathlib.Path(order.text("output"))
        with CounterWatchdog(
            progress.value,
            order.number("stall_ms") / 1000,
            directory,
            processes=lambda: {"destination": os.getpid()},
        ):
            _serve(orders, answers, order, progress)
    except ChannelError as error:
        sys.stderr.write(f"migration destination: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
