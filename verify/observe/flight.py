"""The reader of the flight recorder: any process, at any moment, also while the writer stands still or is dead.

Promises: `read` returns a snapshot, or raises `FlightError` naming the file. A record in the middle of a write is read
again; one that a killed writer left half-written is left out. Whatever a hostile file says, the reading is bounded: all
offsets are the layout's own, every index and length is checked.
Does no writing: `recorder` does.
"""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from verify import _real
from verify.observe import layout
from verify.observe.layout import KINDS, NONE, OPERATIONS, ROLES
from verify.observe.snapshot import (
    Entry,
    Frame,
    Hold,
    Notify,
    ObjectState,
    Snapshot,
    ThreadState,
    Wait,
)  # fmt: skip

TRIES = 20
MOST_ENDED = 32
"""Threads that have ended, hold nothing and are not in the ring: how many of the last are told of."""
NOWHERE = Frame("", 0, "")


class FlightError(Exception):
    """A file that is no flight of this version; the message begins with its path."""


class Source(NamedTuple):
    """The file, of which any part can be read again."""

    path: Path

    def again(self, offset: int, size: int) -> bytes:
        """Return a part of the file as it is now."""
        try:
            with self.path.open("rb") as file:
                file.seek(offset)
                return file.read(size)
        except OSError as error:
            raise FlightError(f"{self.path}: {error.strerror}") from None


def read(path: Path | str) -> Snapshot:
    """Return what the flight at `path` says now; raise `FlightError` if it is none."""
    path = Path(path)
    try:
        with path.open("rb") as file:
            magic = file.read(len(layout.MAGIC))
            size = os.fstat(file.fileno()).st_size
    except OSError as error:
        raise FlightError(f"{path}: {error.strerror}") from None
    if size != layout.SIZE or magic != layout.MAGIC:
        raise FlightError(
            f"{path}: not a flight recording ({size} bytes); give a *.s3f file stage3 wrote"
        )
    return _Reading(Source(path)).snapshot()


def read_all(directory: Path | str) -> list[Snapshot]:
    """Return the snapshots of all flights in a directory, oldest process first; what is no flight is left out."""
    out = []
    for path in Path(directory).glob(f"*{layout.SUFFIX}"):
        try:
            out.append(read(path))
        except FlightError:
            continue  # it ended, or is being made
    return sorted(out, key=lambda snapshot: snapshot.started_ns)


class _Reading:
    """Parses one copy of a file."""

    def __init__(self, source: Source) -> None:
        self.source = source
        # The ring first, the tables it refers to after it. Twice at once: an entry that differs was written meanwhile.
        ring = layout.MOST_ENTRIES * layout.ENTRY.size
        self.rings = [source.again(layout.RING_AT, ring) for _ in range(2)]
        self.data = source.again(0, layout.SIZE)
        if len(self.data) != layout.SIZE or any(len(each) != ring for each in self.rings):
            raise FlightError(f"{source.path}: shorter than it was a moment ago; read it again")
        self.known_stacks: dict[int, tuple[Frame, ...]] = {}

    def snapshot(self) -> Snapshot:
        _, version, state, pid, ppid, started, flags, bank, python, length = (
            layout.HEADER.unpack_from(self.data)
        )
        if version != layout.VERSION:
            raise FlightError(
                f"{self.source.path}: version {version}, but this stage3 reads version {layout.VERSION}; "
                "use the stage3 that wrote it"
            )
        ring, progress, last = self._ring()
        threads = self._threads(ring, last)
        return Snapshot(
            pid=pid,
            ppid=ppid,
            argv=self._argv(length),
            python=python.rstrip(b"\0").decode("ascii", "replace"),
            started_ns=started,
            taken_ns=_real.monotonic_ns(),
            progress=progress,
            recorded=state == layout.RECORDING,
            gil_free=bool(flags & layout.GIL_FREE),
            threads=threads,
            objects=self._objects(threads),
            ring=ring,
            notes=self._notes(bank & 1),
            incomplete=tuple(text for flag, text in layout.LIMITS.items() if flags & flag),
        )

    def _argv(self, length: int) -> tuple[str, ...]:
        raw = self.data[layout.ARGV_AT : layout.ARGV_AT + min(length, layout.MOST_ARGV)]
        value = _parsed(raw)
        return tuple(map(str, value)) if isinstance(value, list) else ()

    def _notes(self, bank: int) -> dict[str, str]:
        at = layout.NOTES_AT + bank * layout.NOTES_SIZE
        length = int.from_bytes(self.data[at : at + 4], "little")
        value = _parsed(self.data[at + 4 : at + 4 + min(length, layout.NOTES_SIZE - 4)])
        if not isinstance(value, dict):
            return {}
        return {str(key): str(each) for key, each in value.items()}

    # Strings, frames and stacks

    def _string(self, offset: int) -> str:
        if not 0 < offset <= layout.STRINGS_SIZE - 2:
            return ""
        at = layout.STRINGS_AT + offset
        length = int.from_bytes(self.data[at : at + 2], "little")
        length = min(length, layout.LONGEST_STRING, layout.STRINGS_SIZE - 2 - offset)
        return self.data[at + 2 : at + 2 + length].decode("utf-8", "replace")

    def _frame(self, number: int) -> Frame:
        if not 0 < number < layout.MOST_FRAMES:
            return NOWHERE
        at = layout.FRAMES_AT + number * layout.FRAME.size
        file, line, function, _ = layout.FRAME.unpack_from(self.data, at)
        return Frame(self._string(file), line, self._string(function))

    def _stack(self, number: int) -> tuple[Frame, ...]:
        if not 0 < number < layout.MOST_STACKS:
            return ()
        known = self.known_stacks.get(number)
        if known is None:
            at = layout.STACKS_AT + number * layout.STACK.size
            known = tuple(
                self._frame(each) for each in layout.STACK.unpack_from(self.data, at) if each
            )
            self.known_stacks[number] = known
        return known

    # The ring

    def _ring(self) -> tuple[tuple[Entry, ...], int, dict[int, tuple[int, int]]]:
        """Return the entries in order, the highest number, and for each slot its count and time at its last entry."""
        size = layout.ENTRY.size
        first, second = self.rings
        highest = 0
        out: list[Entry] = []
        last: dict[int, tuple[int, int]] = {}
        for place in range(layout.MOST_ENTRIES):
            raw = first[place * size : place * size + size]
            seq, ns, slot, operation, result, _, thing, stack, count = layout.ENTRY.unpack(raw)
            if (
                seq % layout.MOST_ENTRIES != place
                or not 0 < operation < len(OPERATIONS)
                or not slot
                or not count  # the last field is written last: a writer stopped before it got there
            ):
                continue
            highest = max(highest, seq)
            if raw != second[place * size : place * size + size]:
                continue
            site = self._stack(stack)
            value = (None, False, True)[result] if result < 3 else None
            out.append(
                Entry(
                    seq, ns, slot, OPERATIONS[operation], thing, value, site[0] if site else NOWHERE
                )
            )
            if (count, ns) > last.get(slot, (0, 0)):
                last[slot] = (count, ns)
        out.sort(key=lambda entry: entry.seq)
        kept = [entry for entry in out if entry.seq > highest - layout.MOST_ENTRIES]
        return tuple(kept), highest, last

    # Threads

    def _threads(
        self, ring: tuple[Entry, ...], last: dict[int, tuple[int, int]]
    ) -> tuple[ThreadState, ...]:
        found = [
            thread
            for place in range(1, layout.MOST_THREADS)
            if (thread := self._thread(place, last)) is not None
        ]
        mentioned = {entry.slot for entry in ring}
        idle = [each for each in found if not (each.alive or each.holds or each.slot in mentioned)]
        idle.sort(key=lambda thread: thread.slot)
        left_out = {thread.slot for thread in idle[:-MOST_ENDED]}
        found.sort(key=lambda thread: thread.slot)
        return tuple(thread for thread in found if thread.slot not in left_out)

    def _steady(self, place: int) -> bytes:
        """Return a thread's slot as it was at one moment, or after many tries as it is."""
        at = layout.THREADS_AT + place * layout.SLOT_SIZE
        raw = self.data[at : at + layout.SLOT_SIZE]
        if not any(raw[:16]):
            return raw
        for _ in range(TRIES):
            again = self.source.again(at, layout.SLOT_SIZE)
            if again == raw and _is_whole(raw):
                break
            raw = again if len(again) == layout.SLOT_SIZE else raw
        return raw

    def _thread(self, place: int, last: dict[int, tuple[int, int]]) -> ThreadState | None:
        raw = self._steady(place)
        _, slot, ident, native, started, ended, flags, role, target, length, name, _ = (
            layout.IDENTITY.unpack_from(raw)
        )
        if not slot:
            return None
        operations, last_ns = layout.COUNTS.unpack_from(raw, layout.COUNTS_AT)
        count, ns = last.get(slot, (0, 0))
        return ThreadState(
            slot=slot,
            ident=ident,
            native_id=native,
            name=name[: min(length, 64)].decode("utf-8", "replace"),
            role=ROLES[role] if role < len(ROLES) else ROLES[0],
            alive=not ended,
            daemon=bool(flags & layout.DAEMON),
            started_ns=started,
            ended_ns=ended or None,
            operations=max(operations, count),
            last_ns=max(last_ns, ns),
            waiting=self._wait(raw),
            holds=self._holds(raw),
            target=self._string(target),
        )

    def _wait(self, raw: bytes) -> Wait | None:
        _, thing, since, timeout, stack, operation, _ = layout.WAIT.unpack_from(raw, layout.WAIT_AT)
        if not 0 < operation < len(OPERATIONS):
            return None
        limit = None if timeout == NONE else timeout
        return Wait(thing, OPERATIONS[operation], since, limit, self._stack(stack))

    def _holds(self, raw: bytes) -> tuple[Hold, ...]:
        out = []
        for place in range(layout.MOST_HOLDS):
            at = layout.HOLDS_AT + place * layout.HOLD.size
            thing, since, count, stack = layout.HOLD.unpack_from(raw, at)
            if thing and count:
                out.append(Hold(thing, since, count, self._stack(stack)))
        out.sort(key=lambda hold: hold.since_ns)
        return tuple(out)

    # Objects

    def _objects(self, threads: tuple[ThreadState, ...]) -> tuple[ObjectState, ...]:
        owners = {hold.object: thread.slot for thread in threads for hold in thread.holds}
        found: dict[int, ObjectState] = {}
        for place in range(1, layout.MOST_OBJECTS + layout.OVERFLOW):
            at = layout.OBJECTS_AT + place * layout.OBJECT.size
            if any(self.data[at : at + 8]):
                thing = self._object(at, owners)
                found[thing.id] = thing
        for thing in list(found.values()):
            lock = found.get(thing.lock) if thing.lock is not None else None
            if lock is not None and lock.label == thing.label:
                found[lock.id] = replace(lock, label=f"{lock.label} (its {lock.kind})")
        return tuple(found[number] for number in sorted(found))

    def _object(self, at: int, owners: dict[int, int]) -> ObjectState:
        number, value, limit, lock, ns, slot, waiters, notified_at, label, site, kind = (
            layout.OBJECT.unpack_from(self.data, at)
        )
        stack = self._stack(site)
        return ObjectState(
            id=number,
            kind=KINDS[kind] if kind < len(KINDS) else "",
            label=self._string(label),
            created=stack[0] if stack else None,
            owner=owners.get(number),
            value=None if value == NONE else value,
            limit=None if limit == NONE else limit,
            lock=None if lock == NONE else lock,
            last_notify=Notify(slot, ns, waiters, self._stack(notified_at)) if slot else None,
        )


def _is_whole(raw: bytes) -> bool:
    """Say whether the stamps at both ends of a slot's parts agree."""
    wait = layout.WAIT_AT
    tail = layout.IDENTITY.size - 8
    return (
        raw[:8] == raw[tail : tail + 8]
        and raw[wait : wait + 8] == raw[wait + layout.WAIT.size - 8 : wait + layout.WAIT.size]
    )


def _parsed(raw: bytes) -> object:
    try:
        value: object = json.loads(raw.decode())
    except (ValueError, RecursionError):
        return None
    return value
