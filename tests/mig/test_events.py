"""What the user is told: order, subscribers, threads."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from mig.events import EventHub
from tests.mig.machines import WAIT, make, pair

if TYPE_CHECKING:
    from collections.abc import Mapping

Told = list[tuple[str, dict[str, str | int]]]


def noted(hub: EventHub) -> Told:
    """What a new subscriber is told."""
    told: Told = []
    hub.subscribe(lambda name, data: told.append((name, dict(data))))
    return told


def test_subscribers() -> None:
    """Each hears every event once, in order, until it unsubscribes; unheard ones are not kept."""
    hub = EventHub()
    hub.tell("STOP")
    first = noted(hub)
    second: list[str] = []
    leave = hub.subscribe(lambda name, _: second.append(name))
    hub.post("MIGRATION", status="setup")
    hub.tell("RESUME")
    leave()
    leave()
    hub.tell("STOP")
    assert [("MIGRATION", {"status": "setup"}), ("RESUME", {}), ("STOP", {})] == first
    assert ["MIGRATION", "RESUME"] == second


def test_delivered_for_another() -> None:
    """An event that comes while another thread delivers is delivered by that one, in its place."""
    hub, told = EventHub(), []

    def hear(name: str, _: Mapping[str, str | int]) -> None:
        told.append((name, threading.current_thread().name))
        if name == "STOP":
            other = threading.Thread(target=hub.tell, args=("RESUME",), name="other")
            other.start()
            other.join(WAIT)

    hub.subscribe(hear)
    hub.tell("STOP")
    here = threading.current_thread().name
    assert [("STOP", here), ("RESUME", here)] == told


def test_of_a_guest() -> None:
    """STOP and RESUME come when the guest has stopped and goes on, and not when nothing changes."""
    machine = make()
    told = noted(machine.events)
    machine.stop()
    machine.start()
    machine.stop()
    machine.stop()
    machine.close()
    assert [("RESUME", {}), ("STOP", {})] == told


def test_of_a_migration() -> None:
    """With capability `events` every state and every pass is told, under QEMU's names."""
    with pair(vcpus=0, pages=4) as made:
        made.source.start()
        told = noted(made.source.events)
        made.source.set_capabilities(events=True)
        made.migrate()
    states = [data["status"] for name, data in told if name == "MIGRATION"]
    assert ["setup", "active", "completed"] == states
    passes = [data["pass"] for name, data in told if name == "MIGRATION_PASS"]
    assert [1, 2, 3] == passes
    assert ("STOP", {}) in told


def test_not_asked_for() -> None:
    """Without the capability no word of a migration."""
    with pair(vcpus=0, pages=4) as made:
        made.source.start()
        told = noted(made.source.events)
        made.migrate()
    assert [("STOP", {})] == told
