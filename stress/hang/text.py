"""A hang report as text: verdict first, then cause, threads, last operations, and the line to type next.

Promises: the first line is the verdict; characters that would move a terminal's cursor are escaped;
the same report gives the same text.
"""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Final

from traces.text import plain

if TYPE_CHECKING:
    from collections.abc import Iterator

    from stress.hang.model import HangReport, HeldRow, ThreadRow
    from verify.backtraces import StackFrame
    from verify.observe.snapshot import Snapshot

__all__ = ["OPERATIONS", "brief", "frame_line", "operation_lines", "show", "stack_lines"]

OPERATIONS: Final = 40
"""Last operations shown; the JSON has all that were recorded."""
RECORDER: Final = "/verify/observe/"
FOLDED: Final = (
    "/_pytest/",
    "/pluggy/",
    "/site-packages/pytest/",
    "/xdist/",
    "/execnet/",
    "<frozen runpy>",
)
FOLD: Final = "..."


def brief(report: HangReport) -> str:
    """Return verdict and cause on one line."""
    kind = "" if report.kind == report.verdict else f" ({report.kind})"
    return plain(f"{report.verdict}{kind}: {report.cause}")


def show(report: HangReport) -> str:
    """Return the whole report."""
    lines = [f"HANG: {brief(report)}", f"  seen: {plain(report.headline)}"]
    if report.pid:
        lines.append(f"  process {report.pid}: {plain(shlex.join(report.command)) or 'unknown'}")
    lines += [f"  {plain(detail)}" for detail in report.details]
    lines += _notes(report)
    for pid in dict.fromkeys(row.pid for row in report.threads):
        rows = [row for row in report.threads if row.pid == pid]
        lines += ["", f"threads of process {pid} ({len(rows)}):"]
        for row in rows:
            lines += thread_lines(row)
    for snapshot in report.snapshots:
        lines += _operations(snapshot)
    for title, text in report.attached.items():
        lines += ["", f"{plain(title)}:", *(f"  {plain(line)}" for line in text.splitlines())]
    if report.problems:
        lines += ["", "what could not be had:", *(f"  {plain(each)}" for each in report.problems)]
    if report.repro:
        lines += ["", plain(report.repro)]
    return "\n".join(lines) + "\n"


def _notes(report: HangReport) -> list[str]:
    if not report.notes:
        return []
    return ["", "notes:", *(f"  {plain(k)}: {plain(v)}" for k, v in sorted(report.notes.items()))]


def thread_lines(row: ThreadRow) -> Iterator[str]:
    """Yield the lines on one thread: what it is, waits for and holds, and its stack."""
    marks = [mark for mark, on in (("daemon", row.daemon), ("HOLDS THE GIL", row.owns_gil)) if on]
    marked = f" [{', '.join(marks)}]" if marks else ""
    number = f", thread {row.native_id}" if row.native_id else ""
    yield ""
    yield f"  {plain(row.name)} ({plain(row.role)}{number}){marked}: {plain(doing(row))}"
    if row.notify:
        yield f"    last notify {plain(row.notify)}"
    for held in row.held:
        yield from _held(held)
    if row.stack:
        yield "    stack, innermost last:"
        yield from (f"      {line}" for line in stack_lines(row.stack))


def doing(row: ThreadRow) -> str:
    """Return what a thread does, for whom it waits and since when, in one phrase."""
    text = f"{row.state}" + (f", {row.waits_for}" if row.waits_for else "")
    operation = row.waits_for.partition(" ")[0]  # what follows is the program's own word
    if row.holder and not operation.endswith((".join", "._shutdown")):
        text += f", held by {row.holder}"
    return text + (f", since {row.since_s:.3f} s" if row.since_s is not None else "")


def _held(held: HeldRow) -> Iterator[str]:
    times = f" ({held.count} times)" if held.count > 1 else ""
    yield f"    holds {plain(held.name)}{times}, taken {held.since_s:.3f} s ago at"
    yield from (f"      {frame_line(frame)}" for frame in held.stack)


def stack_lines(stack: tuple[StackFrame, ...]) -> list[str]:
    """Return a stack without what says nothing: C frames that start the thread, recorder, a test runner's inside."""
    first = next((place for place, frame in enumerate(stack) if not frame.native), 0)
    lines: list[str] = []
    for frame in stack[first:]:
        if any(part in frame.file for part in FOLDED):
            if not lines or lines[-1] != FOLD:
                lines.append(FOLD)
        elif RECORDER not in frame.file:
            lines.append(frame_line(frame))
    return lines[-200:]


def frame_line(frame: StackFrame) -> str:
    """Return one frame on a line."""
    if frame.native:
        return f"C  {plain(frame.function)} ({plain(frame.file.rpartition('/')[2])})"
    return f"{plain(frame.file)}:{frame.line} {plain(frame.function)}"


def operation_lines(snapshot: Snapshot, most: int = OPERATIONS) -> Iterator[str]:
    """Yield the last operations of a process, one a line, the latest last."""
    names = {thread.slot: thread.name for thread in snapshot.threads}
    labels = {thing.id: thing.label for thing in snapshot.objects}
    for entry in snapshot.ring[-most:]:
        ago = (snapshot.taken_ns - entry.ns) / 1e9
        result = {None: "", True: "", False: " -> refused"}[entry.result]
        who = plain(names.get(entry.slot, f"thread {entry.slot}"))
        what = plain(f"{entry.operation} {labels.get(entry.object, '')}".strip())
        site = f"{plain(entry.site.file)}:{entry.site.line} {plain(entry.site.function)}"
        yield f"{entry.seq:>9} {ago:>9.3f} s ago  {who:<20} {what}{result}  {site}"


def _operations(snapshot: Snapshot) -> list[str]:
    if not snapshot.ring:
        return []
    shown = min(OPERATIONS, len(snapshot.ring))
    title = f"last {shown} of {snapshot.progress:,} operations of process {snapshot.pid}:"
    return ["", title, *(f"  {line}" for line in operation_lines(snapshot))]
