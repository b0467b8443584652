"""What is known of one process at one moment: its threads, what each waits for and holds, its last operations.

Promises: plain frozen values; `from_json(to_json(snapshot)) == snapshot`; `from_json` takes text from anywhere
and either returns a snapshot whose every field has its type and keeps its bound, or raises `SnapshotError` naming
the field. Times are `time.monotonic_ns()`, one clock for all processes of a machine.
Assumes nothing of the process: what was not known is None, 0, "" or an empty tuple. Does no I/O.

Operations are worded as in the reports of a check: "Lock.acquire", "Condition.wait", "Queue.get".
"""

from __future__ import annotations

import json
import types
import typing
from dataclasses import MISSING, asdict, dataclass, field, fields

FORMAT = "stage3-snapshot"
VERSION = 1

MOST_CHARACTERS = 64 * 1024 * 1024
MOST_ROWS = 100_000
MOST_TEXT = 1_000_000
MOST_WHOLE = 2**64


class SnapshotError(ValueError):
    """Text that is no snapshot; the message names the field and shows the value."""


@dataclass(frozen=True, slots=True)
class Frame:
    """One level of a backtrace: line 0 where only the function is known."""

    file: str
    line: int
    function: str


@dataclass(frozen=True, slots=True)
class Hold:
    """A lock that a thread holds, since when, and where it took it; `count` above 1 for an RLock taken again.

    `stack` has the innermost frame first, without the frames of `threading` and `queue`.
    """

    object: int
    since_ns: int
    count: int
    stack: tuple[Frame, ...]


@dataclass(frozen=True, slots=True)
class Wait:
    """What a thread is blocked in: operation and object (0: none), since when, and until when at most.

    `timeout_ns` is the time-out it was called with, None for "for ever"; `stack` innermost first.
    """

    object: int
    operation: str
    since_ns: int
    timeout_ns: int | None
    stack: tuple[Frame, ...]


@dataclass(frozen=True, slots=True)
class ThreadState:
    """One thread. `slot` is its number in the process, from 1 in order of first sight, never used again.

    `name` is the present one (renames are seen), `target` what it runs, `role` one of "main", "thread",
    "timer", "pool worker", "foreign" (started outside Python). `operations` and `last_ns` say how many
    operations it made and when the last one ended. A thread that ended has `alive` False; it is kept while it
    holds something, and for a while anyway. `holds` is in order of acquisition.
    """

    slot: int
    ident: int
    native_id: int
    name: str
    role: str
    alive: bool
    daemon: bool
    started_ns: int
    ended_ns: int | None
    operations: int
    last_ns: int
    waiting: Wait | None
    holds: tuple[Hold, ...]
    target: str


@dataclass(frozen=True, slots=True)
class Notify:
    """The last notification of a condition, event or queue, and how many waited then."""

    slot: int
    ns: int
    waiters_then: int
    stack: tuple[Frame, ...]


@dataclass(frozen=True, slots=True)
class ObjectState:
    """One synchronisation object. `id` counts from 1 in order of creation and is never used again.

    `kind` is "Lock", "RLock", "Condition", "Event", "Semaphore", "Barrier", "Queue", "SimpleQueue", "Thread"
    or "Future"; `label` is "Account.lock" or "Lock made at file:line"; `owner` the slot that holds it;
    `value` the permits, the queue's length, the barrier's arrivals, the event's flag, or a thread's slot;
    `limit` the bound of the value (1 for the future of a thread pool, which only its workers finish); `lock` the lock
    of a condition, or the inner lock of a composed object.
    """

    id: int
    kind: str
    label: str
    created: Frame | None
    owner: int | None
    value: int | None
    limit: int | None
    lock: int | None
    last_notify: Notify | None


@dataclass(frozen=True, slots=True)
class Entry:
    """One operation of the ring, by `seq`, which counts all operations of the process.

    An acquire is numbered while the lock is held, a release before it is given back, so the entries of one
    object stand in their true order. `object` is 0 where there is none; `result` is what the call returned where
    that was a truth value (False: timed out, or not taken).
    """

    seq: int
    ns: int
    slot: int
    operation: str
    object: int
    result: bool | None
    site: Frame


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One process: who it is, its threads and objects, the last operations in order, and its notes.

    `progress` counts all operations so far; `recorded` says whether it still records (False: it ended or
    stopped); `incomplete` lists in sentences what did not fit into the recording.
    """

    pid: int
    ppid: int
    argv: tuple[str, ...]
    python: str
    started_ns: int
    taken_ns: int
    progress: int
    recorded: bool
    gil_free: bool
    threads: tuple[ThreadState, ...]
    objects: tuple[ObjectState, ...]
    ring: tuple[Entry, ...]
    notes: dict[str, str] = field(default_factory=dict, hash=False)
    incomplete: tuple[str, ...] = ()

    def thread(self, slot: int | None) -> ThreadState | None:
        """Return the thread with that number, or None."""
        return next((thread for thread in self.threads if thread.slot == slot), None)

    def object(self, number: int | None) -> ObjectState | None:
        """Return the object with that number, or None."""
        return next((thing for thing in self.objects if thing.id == number), None)


def to_json(snapshot: Snapshot) -> str:
    """Return the snapshot as one line of ASCII JSON with format name and version."""
    return json.dumps(to_value(snapshot), allow_nan=False)


def to_value(snapshot: Snapshot) -> dict[str, object]:
    """Return what `to_json` writes as a value of its own, for a document around it."""
    return {"format": FORMAT, "version": VERSION, **asdict(snapshot)}


def from_json(text: str) -> Snapshot:
    """Return the snapshot that `text` holds; raise `SnapshotError` for what `to_json` cannot write."""
    if len(text) > MOST_CHARACTERS:
        raise SnapshotError(f"snapshot: {len(text)} characters, at most {MOST_CHARACTERS}")
    try:
        value: object = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise SnapshotError(f"snapshot: not JSON ({error}); give a file stage3 wrote") from None
    return from_value(value)


def from_value(value: object) -> Snapshot:
    """Return the snapshot that a value of `to_value` holds; raise `SnapshotError` for any other."""
    if not isinstance(value, dict) or value.get("format") != FORMAT:
        raise SnapshotError(f'snapshot: no "{FORMAT}"; give a file stage3 wrote')
    if value.get("version") != VERSION or isinstance(value.get("version"), bool):
        raise SnapshotError(
            f"version: {_shown(value.get('version'))}, but this stage3 reads version {VERSION}"
        )
    rest = {name: each for name, each in value.items() if name not in {"format", "version"}}
    decoded = _decode(rest, Snapshot, "snapshot")
    assert isinstance(decoded, Snapshot)
    return decoded


_HINTS: dict[type, dict[str, object]] = {}


def _decode(value: object, hint: object, where: str) -> object:
    """Return `value` as the type `hint` says; raise `SnapshotError` naming `where`."""
    origin = typing.get_origin(hint)
    arguments = typing.get_args(hint)
    if origin is types.UnionType:
        (wanted,) = (each for each in arguments if each is not type(None))
        return None if value is None else _decode(value, wanted, where)
    if origin is tuple:
        return _decode_rows(value, arguments[0], where)
    if origin is dict:
        return _decode_texts(value, where)
    if isinstance(hint, type) and hint in _RECORDS:
        return _decode_record(value, hint, where)
    if hint is int:
        if type(value) is not int or not 0 <= value < MOST_WHOLE:
            raise _wrong(where, value, "a whole number from 0")
    elif type(value) is not hint:
        raise _wrong(where, value, "true or false" if hint is bool else "text")
    if isinstance(value, str) and len(value) > MOST_TEXT:
        raise _wrong(where, value, f"at most {MOST_TEXT} characters")
    return value


def _decode_rows(value: object, hint: object, where: str) -> tuple[object, ...]:
    if not isinstance(value, list | tuple) or len(value) > MOST_ROWS:
        raise _wrong(where, value, f"a list of at most {MOST_ROWS}")
    return tuple(_decode(each, hint, f"{where}[{place}]") for place, each in enumerate(value))


def _decode_texts(value: object, where: str) -> dict[str, str]:
    if not isinstance(value, dict) or len(value) > MOST_ROWS:
        raise _wrong(where, value, f"an object of at most {MOST_ROWS} texts")
    out: dict[str, str] = {}
    for name, each in value.items():
        if not isinstance(name, str) or not isinstance(each, str) or len(each) > MOST_TEXT:
            raise _wrong(f"{where}.{name}", each, "text")
        out[name] = each
    return out


def _decode_record(value: object, kind: type, where: str) -> object:
    if not isinstance(value, dict):
        raise _wrong(where, value, "an object")
    hints = _HINTS.get(kind)
    if hints is None:
        hints = _HINTS[kind] = typing.get_type_hints(kind)
    wanted = _RECORDS[kind]
    unknown = next((name for name in value if name not in hints), None)
    if unknown is not None:
        raise SnapshotError(f"{where}.{str(unknown)[:80]}: no such field; give a file stage3 wrote")
    missing = next((name for name in wanted if name not in value), None)
    if missing is not None:
        raise SnapshotError(f"{where}.{missing}: missing; give a file stage3 wrote")
    made: object = kind(
        **{name: _decode(each, hints[name], f"{where}.{name}") for name, each in value.items()}
    )
    return made


_RECORDS: dict[type, tuple[str, ...]] = {
    kind: tuple(
        each.name for each in fields(kind) if each.default is MISSING and each.default_factory is MISSING
    )
    for kind in (Frame, Hold, Wait, ThreadState, Notify, ObjectState, Entry, Snapshot)
}  # fmt: skip
"""The records and the fields that each needs."""


def _wrong(where: str, value: object, wanted: str) -> SnapshotError:
    return SnapshotError(f"{where}: {_shown(value)}, wanted {wanted}")


def _shown(value: object) -> str:
    shown = repr(value) if isinstance(value, str | int | float | None) else type(value).__name__
    return shown if len(shown) <= 80 else f"{shown[:77]}..."
