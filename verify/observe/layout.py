"""The flight recorder's file: where each thing lies, its structs and its vocabulary. Version 1.

Promises: one fixed size and fixed offsets, little-endian, so a reader needs no pointer that a writer could get wrong.
Does no I/O: `recorder` writes, `flight` reads.

The file, in order: header, thread slots, objects, strings, frames, stacks, ring, two banks of notes.
- A thread slot has three parts, each written by one `pack_into`: identity and wait (a stamp at both ends: a reader
  that sees two different ones, or two reads that differ, reads again), and the holds, each valid while its object is
  not 0.
- A string is referred to by its offset in the string region (two bytes of length, then UTF-8); a frame, a stack and
  an object's place by index. 0 means none everywhere.
- Entry `seq` of the ring lies at `seq % MOST_ENTRIES`.
- The header says which bank of notes counts: a writer killed half-way through the other one spoils nothing.
"""

from __future__ import annotations

from struct import Struct

MAGIC = b"s3flight"
VERSION = 1
SUFFIX = ".s3f"
NONE = 2**64 - 1

HEADER = Struct("<8sIIQQQII32sI")
"""Magic, version, state, pid, ppid, started_ns, flags, bank of notes, python, length of argv (JSON, behind it)."""
STATE_AT = 12
FLAGS_AT = 40
BANK_AT = 44
ARGV_AT = 128
MOST_ARGV = 3968
HEADER_SIZE = 4096
RECORDING, STOPPED = 1, 2

GIL_FREE, THREADS_FULL, STRINGS_FULL, STACKS_FULL, OBJECTS_FULL, HOLDS_FULL, NOTES_FULL = (
    1 << bit for bit in range(7)
)
LIMITS = {
    THREADS_FULL: "more than 1,023 threads at a time: some are not recorded",
    STRINGS_FULL: "more than 1 MiB of names: some are missing",
    STACKS_FULL: "more than 8,191 different stacks: some are missing",
    OBJECTS_FULL: "more than 16,383 objects at a time: some have no label",
    HOLDS_FULL: "a thread held more than 32 locks: some are missing",
    NOTES_FULL: "more than 32 KiB of notes: some are missing",
}
"""What each flag says of the recording; GIL_FREE alone is not a shortage."""

MOST_THREADS = 1024
SLOT_SIZE = 1024
IDENTITY = Struct("<QQQQQQIIII64sQ")
"""Stamp, slot, ident, native id, started_ns, ended_ns, flags, role, target (string), length of name, name, stamp."""
DAEMON = 1
COUNTS_AT = 144
COUNTS = Struct("<QQ")
"""Operations so far, and when the last one ended: brought up to date every 64 operations and at each wait."""
WAIT_AT = 160
WAIT = Struct("<QQQQIIQ")
"""Stamp, object, since_ns, timeout_ns (NONE: for ever), stack, operation (0: not waiting), stamp."""
HOLDS_AT = 256
HOLD = Struct("<QQII")
"""Object, since_ns, count, stack."""
MOST_HOLDS = 32
HOLD_COUNT_AT = 16
THREADS_AT = HEADER_SIZE

MOST_OBJECTS = 16384
OVERFLOW = 1024
"""Places behind the others for objects that found none; they share them, and the newest of each is what is written."""
OBJECT = Struct("<QQQQQIIIIII")
"""Id, value, limit, lock (NONE: none), notify_ns, notify slot, waiters then, stack, label, site (stack), kind."""
OBJECT_VALUE_AT = 8
OBJECT_LIMIT_AT = 16
OBJECT_NOTIFY_AT = 32
NOTIFY = Struct("<QIII")
OBJECTS_AT = THREADS_AT + MOST_THREADS * SLOT_SIZE

STRINGS_AT = OBJECTS_AT + (MOST_OBJECTS + OVERFLOW) * OBJECT.size
STRINGS_SIZE = 1 << 20
LONGEST_STRING = 4096

FRAME = Struct("<IIII")
"""File, line, function, 0."""
MOST_FRAMES = 16384
FRAMES_AT = STRINGS_AT + STRINGS_SIZE
STACK = Struct("<8I")
MOST_STACKS = 8192
STACKS_AT = FRAMES_AT + MOST_FRAMES * FRAME.size

ENTRY = Struct("<QQIHBBIII")
"""Seq, ns, slot, operation, result (0: none, 1: False, 2: True), 0, object, stack, the thread's count."""
MOST_ENTRIES = 4096
RING_AT = STACKS_AT + MOST_STACKS * STACK.size

NOTES_AT = RING_AT + MOST_ENTRIES * ENTRY.size
NOTES_SIZE = 32768
"""Size of a bank: four bytes of length, then JSON."""
SIZE = NOTES_AT + 2 * NOTES_SIZE

ROLES = ("thread", "main", "timer", "pool worker", "foreign")

KINDS = (
    "", "Lock", "RLock", "Condition", "Event", "Semaphore", "Barrier", "Queue", "SimpleQueue", "Thread", "Future",
)  # fmt: skip

OPERATIONS = (
    "", "Lock.acquire", "Lock.try_acquire", "Lock.release", "RLock.acquire", "RLock.reacquire", "RLock.try_acquire",
    "RLock.release", "Condition.wait", "Condition.wake", "Condition.notify", "Condition.notify_all", "Event.wait",
    "Event.set", "Event.clear", "Semaphore.acquire", "Semaphore.try_acquire", "Semaphore.release", "Barrier.wait",
    "Barrier.reset", "Barrier.abort", "Queue.put", "Queue.get", "Queue.join", "Queue.task_done", "Queue.shutdown",
    "SimpleQueue.put", "SimpleQueue.get", "Thread.start", "Thread.join", "threading._shutdown", "Future.result",
    "Future.exception", "Future.set_result", "Future.set_exception", "Future.cancel", "time.sleep", "Selector.select",
    "select.select", "socket.accept", "socket.connect", "socket.recv", "socket.send",
)  # fmt: skip
"""Names as in the reports of a check; an operation is written as its place here."""
OP = {name: place for place, name in enumerate(OPERATIONS)}
KIND = {name: place for place, name in enumerate(KINDS)}
