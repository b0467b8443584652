"""Trace points and lock order: the tables say what is there, and all of it."""

from __future__ import annotations

import re
import threading

import pytest

from mig import locks, tracepoints
from mig.designs import by_name
from mig.migration import Migration
from tests.mig.machines import Notes, pair


def rows() -> dict[str, str]:
    """Name and second column of each row of the tables in the module's docstring."""
    found: dict[str, str] = {}
    for line in (tracepoints.__doc__ or "").splitlines():
        if match := re.match(r"\| ([a-z_, ]+) \| (.*?) \|", line):
            found.update(dict.fromkeys(match[1].split(", "), match[2]))
    found.pop("name")
    return found


def test_table() -> None:
    """A migration tells nothing that the tables do not name; the values of events are theirs."""

    class Marking(Notes):
        def event(self, name: str, **values: int | str | bool) -> None:
            super().event(name, **values)
            if name == "logging_started":
                made.source.log.mark(made.source.ram.blocks()[0], 0)

    told: set[str] = set()
    values: dict[str, list[str]] = {}
    for design in ("thread", "thread+stop-by-bottom-half"):
        with pair(design=by_name(design)) as made:
            notes = Marking()
            made.source.trace.listener = made.destination.trace.listener = notes
            made.source.start()
            made.migrate()
            told |= {name for name, _, _, _ in notes.accesses} | {name for name, _ in notes.events}
            values |= {name: list(given) for name, given in notes.events}
    assert rows().keys() == told
    for name, given in values.items():
        described = re.sub(r"\(.*?\)|:.*", "", rows()[name])
        assert given == re.findall(r"[a-z_]+", described)


def test_silence() -> None:
    """Nobody listens: a migration ends just the same."""
    with pair() as made:
        made.source.start()
        made.migrate()
        assert made.equal


@pytest.mark.parametrize("place", [*locks.ORDER, *locks.LEAVES])
def test_locks(place: str) -> None:
    """Each lock of the declared order is an attribute of that name, and a plain lock."""
    with pair() as made:
        machine = made.source
        machine.set_capabilities(return_path=True)
        migration = Migration(machine, made.near, machine.design)
        owners = {
            "Machine": machine,
            "RamList": machine.ram,
            "Bitmap": migration.ram.bitmap,
            "Channel": migration.channel,
            "StateCell": migration.state,
            "EventHub": machine.events,
            "ReturnPath": migration.return_path,
        }
        owner, _, attribute = place.partition(".")
        assert isinstance(getattr(owners[owner], attribute), type(threading.Lock()))
        made.incoming.start()
        made.near.close()
        made.incoming.join()
