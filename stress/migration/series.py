"""Figures of a migration over time, as QEMU's guestperf takes them: a JSON object a line.

Promises: a thread of its own looks ten times a second, takes no lock of the machine, and writes each
sample whole; the last one is taken after the end.
Does not: judge.
"""

from __future__ import annotations

import contextlib
import json
import threading
import time
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Final

from mig.vcpu.soft import Registers

if TYPE_CHECKING:
    import pathlib
    from collections.abc import Iterator
    from typing import TextIO

    from stress.guests import Source

PERIOD: Final = 0.1
"""Seconds between two samples."""
LONGEST_LINE: Final = 2048
MOST_SYNCS: Final = 40
MOST_BYTES: Final = 256 << 20


class SeriesError(ValueError):
    """A file that holds no series; the text names it and the line."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One look. Seconds since the start, bytes, bytes a second; `stores` is the guest's progress in pages."""

    seconds: float
    status: str
    running: bool
    transferred: int
    remaining: int
    buffered: int
    syncs: list[int]
    """Pages found newly dirty in each sync after the setup's: the first and the latest of them."""
    left: list[int]
    """Once the last round is appended: its pages, stream bytes to write, bytes of the budget used before."""
    stores: int
    bandwidth: float
    threshold: int


def take(source: Source) -> Sample:
    """One look at a migration."""
    migration = source.migration
    ram, channel = migration.ram, migration.channel
    return Sample(
        seconds=time.monotonic() - migration.times.start,
        status=migration.state.value.value,
        running=source.machine.running,
        transferred=channel.written,
        remaining=ram.remaining,
        buffered=channel.buffered,
        syncs=[sync.newly for sync in (*ram.syncs[:MOST_SYNCS], *ram.syncs[MOST_SYNCS:][-1:])],
        left=list(migration.at_stop or ()),
        stores=sum(
            cpu.program.counter
            for cpu in source.machine.cpus.all
            if isinstance(cpu.program, Registers)
        ),
        bandwidth=migration.bandwidth,
        threshold=migration.threshold,
    )


@contextlib.contextmanager
def recorded(source: Source, path: pathlib.Path | None) -> Iterator[None]:
    """Take samples for the length of a `with` block into `path`; none where it is None."""
    if path is None:
        yield
        return
    with contextlib.ExitStack() as stack:
        file = stack.enter_context(path.open("w", encoding="utf-8"))
        over = threading.Event()
        thread = threading.Thread(
            target=_keep_looking, args=(source, file, over), name="sampler", daemon=True
        )
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()


def _keep_looking(source: Source, file: TextIO, over: threading.Event) -> None:
    ended = False
    while not ended:
        ended = over.wait(PERIOD)
        sample = take(source)
        file.write(json.dumps(asdict(sample)) + "\n")
        file.flush()


def load(path: pathlib.Path) -> list[Sample]:
    """Read a series; raises `SeriesError`. A last line that is not whole is left out: the writer was ended."""
    try:
        with path.open(encoding="utf-8") as file:
            text = file.read(MOST_BYTES)
    except (OSError, ValueError) as error:
        raise SeriesError(
            f"{path} cannot be read ({error}); give a file that --series wrote"
        ) from None
    whole = text[: text.rfind("\n") + 1]
    return [_parsed(path, number, line) for number, line in enumerate(whole.splitlines(), 1)]


def last(path: pathlib.Path) -> Sample:
    """The newest whole sample of a series that is being written; raises `OSError`, `IndexError`, `SeriesError`."""
    with path.open("rb") as file:
        file.seek(0, 2)
        file.seek(max(0, file.tell() - LONGEST_LINE * 2))
        lines = file.read().split(b"\n")
    return _parsed(path, -1, lines[:-1][-1].decode(errors="replace"))


def _parsed(path: pathlib.Path, number: int, line: str) -> Sample:
    kinds = {"str": str, "bool": bool, "int": int, "float": (int, float), "list[int]": list}
    try:
        value: object = json.loads(line)
    except ValueError:
        value = None
    if not isinstance(value, dict) or value.keys() != {field.name for field in fields(Sample)}:
        raise SeriesError(f"{path}, line {number}, is no sample; give a file that --series wrote")
    for field in fields(Sample):
        if not isinstance(value[field.name], kinds[str(field.type)]):  # type: ignore[arg-type] # types by name
            raise SeriesError(
                f"{path}, line {number}: {field.name} is {value[field.name]!r}; give a file that --series wrote"
            )
    return Sample(**value)
