"""The flight recorder's file: what is written is read, from other processes too; a hostile file ends in words."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from verify import _real
from verify.observe import flight, layout
from verify.observe.flight import FlightError, read, read_all
from verify.observe.layout import KIND, OP
from verify.observe.recorder import Me, Recorder, object_at
from verify.observe.snapshot import from_json, to_json

HERE = sys._getframe()


def pages(directory: Path) -> tuple[Recorder, Me]:
    """Return a recorder with a little of everything in it."""
    recorder = Recorder()
    recorder.open(directory)
    me = recorder.enter()
    lock, _ = recorder.register(KIND["Lock"], HERE)
    queue, place = recorder.register(KIND["Queue"], HERE, value=3, limit=5, lock=lock)
    stack = recorder.stack(HERE)
    layout.HOLD.pack_into(recorder.buffer, me.free.pop(), lock, 77, 1, stack)
    layout.NOTIFY.pack_into(
        recorder.buffer, object_at(place) + layout.OBJECT_NOTIFY_AT, 88, me.slot, 2, stack
    )
    me.log(OP["Lock.acquire"], lock, stack)
    me.log(OP["Queue.get"], queue, stack, result=1)
    me.block(queue, OP["Queue.put"], 1.5, stack)
    recorder.note("phase", "setup")
    return recorder, me


def test_written_is_read(tmp_path: Path) -> None:
    """Each kind of record comes back."""
    recorder, me = pages(tmp_path)
    assert recorder.path is not None
    taken = read(recorder.path)
    (thread,) = taken.threads
    assert (os.getpid(), os.getppid(), {"phase": "setup"}, 2, True) == (
        taken.pid, taken.ppid, taken.notes, taken.progress, taken.recorded,
    )  # fmt: skip
    assert (me.slot, threading.get_ident(), threading.get_native_id(), "MainThread", "main", True) == (
        thread.slot, thread.ident, thread.native_id, thread.name, thread.role, thread.alive,
    )  # fmt: skip
    assert thread.waiting is not None
    assert ("Queue.put", 2, 1_500_000_000) == (
        thread.waiting.operation, thread.waiting.object, thread.waiting.timeout_ns,
    )  # fmt: skip
    (hold,) = thread.holds
    assert (1, 77, 1, __file__) == (hold.object, hold.since_ns, hold.count, hold.stack[0].file)
    lock, queue = taken.objects
    assert ("Lock", me.slot, "Queue", 3, 5, 1) == (
        lock.kind, lock.owner, queue.kind, queue.value, queue.limit, queue.lock,
    )  # fmt: skip
    assert queue.last_notify is not None
    assert (88, me.slot, 2) == (
        queue.last_notify.ns, queue.last_notify.slot, queue.last_notify.waiters_then,
    )  # fmt: skip
    assert [("Lock.acquire", 1, None), ("Queue.get", 2, False)] == [
        (entry.operation, entry.object, entry.result) for entry in taken.ring
    ]
    assert taken == from_json(to_json(taken))


def test_ring_keeps_the_last(tmp_path: Path) -> None:
    """After more operations than the ring has room for, the last 4,096 are there, in order."""
    recorder, me = pages(tmp_path)
    me.unblock(None)
    for _ in range(5000):
        me.log(OP["Lock.release"], 1, 0)
    assert recorder.path is not None
    taken = read(recorder.path)
    assert (5002, list(range(907, 5003))) == (taken.progress, [each.seq for each in taken.ring])
    assert 5002 == taken.threads[0].operations


def test_half_written_entry(tmp_path: Path) -> None:
    """An entry whose number does not belong to its place is left out, and so is one without operation or end."""
    recorder, _ = pages(tmp_path)
    layout.ENTRY.pack_into(recorder.buffer, layout.RING_AT + 36 * 2, 3, 1, 1, 1, 0, 0, 1, 0, 1)
    layout.ENTRY.pack_into(recorder.buffer, layout.RING_AT + 36 * 3, 3, 1, 1, 0, 0, 0, 1, 0, 1)
    layout.ENTRY.pack_into(recorder.buffer, layout.RING_AT + 36 * 4, 4, 1, 1, 1, 0, 0, 0, 0, 0)
    assert recorder.path is not None
    assert [1] == [entry.seq for entry in read(recorder.path).ring]


def test_half_written_slot(tmp_path: Path) -> None:
    """A slot whose writer died in the middle is read as it is after some tries."""
    recorder, me = pages(tmp_path)
    recorder.words[me.base >> 3] = 999
    assert recorder.path is not None
    assert "MainThread" == read(recorder.path).threads[0].name


def test_slots_are_used_again(tmp_path: Path) -> None:
    """Threads that ended make room, but not while they hold something; numbers are never used again."""
    recorder, me = pages(tmp_path)
    me.unblock(None)
    recorder.leave(me)
    places = set()
    for _ in range(3000):
        each = recorder.enter()
        places.add(each.place)
        recorder.leave(each)
    assert recorder.path is not None
    taken = read(recorder.path)
    assert me.place not in places
    assert (3001, 1) == (taken.threads[-1].slot, taken.threads[0].slot)
    assert () == taken.incomplete
    assert 1 == taken.threads[0].holds[0].object


def test_too_many_threads(tmp_path: Path) -> None:
    """A thread that finds no slot goes on unrecorded, and the snapshot says so."""
    recorder, _ = pages(tmp_path)
    for _ in range(layout.MOST_THREADS):
        recorder.enter()
    assert recorder.path is not None
    assert (layout.LIMITS[layout.THREADS_FULL],) == read(recorder.path).incomplete


def test_tables_that_are_full(tmp_path: Path) -> None:
    """Objects, names and notes beyond the bounds are left out in words."""
    recorder, _ = pages(tmp_path)
    for _ in range(layout.MOST_OBJECTS + 5):
        recorder.register(KIND["Lock"], HERE)
    for number in range(300):
        recorder.string(f"{number:05}" * 800)
    recorder.note("long", "x" * 40_000)
    assert recorder.path is not None
    taken = read(recorder.path)
    flags = (layout.STRINGS_FULL, layout.OBJECTS_FULL, layout.NOTES_FULL)
    assert (tuple(layout.LIMITS[flag] for flag in flags), {"phase": "setup"}) == (
        taken.incomplete, taken.notes,
    )  # fmt: skip


def test_stacks_that_are_too_many(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stack that finds the table of keys full is none, and the recording says so."""
    recorder, _ = pages(tmp_path)
    monkeypatch.setattr(layout, "MOST_STACKS", 0)
    stack = recorder.stack(sys._getframe())
    monkeypatch.undo()

    assert recorder.path is not None
    assert (0, (layout.LIMITS[layout.STACKS_FULL],)) == (stack, read(recorder.path).incomplete)


def test_closed(tmp_path: Path) -> None:
    """After the recording has ended, stores go nowhere and the file says that it ended."""
    recorder, me = pages(tmp_path)
    path = recorder.path
    assert path is not None
    recorder.close()
    me.log(OP["Lock.release"], 1, 0)
    taken = read(path)
    assert (False, 2) == (taken.recorded, taken.progress)


WRITER = """
import sys
from pathlib import Path
from verify.observe.recorder import Recorder
recorder = Recorder()
recorder.open(Path(sys.argv[1]))
me = recorder.enter()
print(recorder.path, flush=True)
while True:
    me.log(1, 1, 0)
    me.block(7, 1, None, 0)
    me.unblock(None)
"""


@pytest.mark.slow
def test_read_while_written(tmp_path: Path) -> None:
    """A reader beside a busy writer always gets a whole snapshot; a killed writer's file stays readable."""
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, str(tmp_path)], stdout=subprocess.PIPE, text=True
    ) as writer:
        assert writer.stdout is not None
        path = Path(writer.stdout.readline().strip())
        seen = [read(path) for _ in range(10)]
        writer.send_signal(signal.SIGKILL)
    seen.append(read(path))
    progress = [each.progress for each in seen]
    assert sorted(progress) == progress
    for each in seen:
        numbers = [entry.seq for entry in each.ring]
        assert sorted(set(numbers)) == numbers
        assert {("Lock.acquire", 1)} >= {(entry.operation, entry.object) for entry in each.ring}
        (thread,) = each.threads
        assert thread.waiting is None or (7, "Lock.acquire") == (
            thread.waiting.object, thread.waiting.operation,
        )  # fmt: skip


def test_not_a_flight(tmp_path: Path) -> None:
    """What is no recording is refused with its path; among others it is passed over."""
    path = tmp_path / "a.s3f"
    with pytest.raises(FlightError, match=r"a\.s3f: No such file"):
        read(path)
    path.write_bytes(b"s3flight")
    with pytest.raises(FlightError, match=r"a\.s3f: not a flight recording \(8 bytes\)"):
        read(path)
    recorder, _ = pages(tmp_path)
    assert [os.getpid()] == [each.pid for each in read_all(tmp_path)]
    recorder.buffer[8:12] = b"\x09\0\0\0"
    assert recorder.path is not None
    with pytest.raises(FlightError, match="version 9, but this stage3 reads version 1"):
        read(recorder.path)


def test_open_fails(tmp_path: Path) -> None:
    """A directory that is not there is an OSError, and the recorder writes nowhere."""
    recorder = Recorder()
    with pytest.raises(FileNotFoundError):
        recorder.open(tmp_path / "none")
    assert recorder.path is None


IMAGE = bytearray()


def image(directory: Path) -> bytearray:
    """Return a copy of a file with a little of everything."""
    if not IMAGE:
        recorder, _ = pages(directory)
        assert recorder.path is not None
        IMAGE[:] = recorder.path.read_bytes()
    return bytearray(IMAGE)


SPOTS = st.sampled_from(
    (0, layout.ARGV_AT, layout.THREADS_AT + layout.SLOT_SIZE, layout.OBJECTS_AT + layout.OBJECT.size,
     layout.STRINGS_AT, layout.FRAMES_AT, layout.STACKS_AT, layout.RING_AT, layout.NOTES_AT,
     layout.NOTES_AT + layout.NOTES_SIZE)
)  # fmt: skip


@pytest.mark.slow
@given(
    edits=st.lists(
        st.tuples(SPOTS, st.integers(0, 300), st.binary(min_size=1, max_size=40)), max_size=6
    )
)
def test_mutated(
    tmp_path_factory: pytest.TempPathFactory, edits: list[tuple[int, int, bytes]]
) -> None:
    """Whatever stands in the file, it is refused, or read as a snapshot that its own text can carry."""
    directory = tmp_path_factory.getbasetemp()
    data = image(directory)
    for spot, offset, junk in edits:
        data[spot + offset : spot + offset + len(junk)] = junk
    path = directory / "mutated.s3f"
    path.write_bytes(data[: layout.SIZE])
    try:
        taken = flight.read(path)
    except FlightError as error:
        said = str(error)
        assert said.startswith(str(path))
    else:
        assert taken == from_json(to_json(taken))


@given(size=st.integers(0, layout.SIZE - 1))
def test_truncated(tmp_path_factory: pytest.TempPathFactory, size: int) -> None:
    """A file of any other size is refused."""
    directory = tmp_path_factory.getbasetemp()
    path = directory / "short.s3f"
    path.write_bytes(image(directory)[:size])
    with pytest.raises(FlightError, match="not a flight recording"):
        flight.read(path)


def test_threads_of_the_toolkit_stay_out(tmp_path: Path) -> None:
    """A thread that never touches a traced object has no slot."""
    recorder, _ = pages(tmp_path)
    done = _real.allocate_lock()
    done.acquire()
    _real.start_new_thread(done.release, ())
    done.acquire()
    assert recorder.path is not None
    assert 1 == len(read(recorder.path).threads)
