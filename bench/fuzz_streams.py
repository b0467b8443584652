"""Damaged migration streams into the destination: `python -m bench.fuzz_streams [--streams N] [--seed S]`.

Most go through a whole destination, some through the decoder alone with small limits, some to the decoder of the
return path. A stream that ends in anything but a start or a refusal is written to a file and shown. Printed are how
they ended, the decoders' lines and branches that were never reached, and the most memory above that of the start.
Exit code 1: a crash, a hang, a branch not reached, or more than 64 MiB.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import dataclasses
import gc
import pathlib
import random
import signal
import sys
import time
from typing import TYPE_CHECKING, Final

from bench.streams import answers, bases, mutate, rare, target
from bench.streams.reached import Reached

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType

    from bench.streams.bases import Base
    from bench.streams.reached import Missed

MOST_BYTES: Final = 64 << 20
ANSWERS: Final = 1000
"""Damaged answers given before the streams."""
SECONDS: Final = 20
"""For one stream; more is a hang."""
LOST: Final = pathlib.Path("stage3-out") / "fuzz-stream.mig"
"""Where a stream goes that did what it should not."""


class Hang(Exception):  # noqa: N818 - what happened
    """One stream took too long."""


@dataclasses.dataclass
class Found:
    """What a run came to."""

    streams: int
    started: int = 0
    """Streams that a destination accepted."""
    refusals: collections.Counter[str] = dataclasses.field(default_factory=collections.Counter)
    missed: list[Missed] = dataclasses.field(default_factory=list)
    grown: int = 0
    """Bytes of memory above the start, at most."""
    seconds: float = 0.0


def _memory(name: str) -> int:
    """A figure of this process's memory in bytes: VmRSS, VmHWM."""
    for line in pathlib.Path("/proc/self/status").read_text().splitlines():
        if line.startswith(name):
            return int(line.split()[1]) << 10
    raise LookupError(name)


def _ring(_number: int, _frame: FrameType | None) -> None:
    raise Hang(f"one stream took more than {SECONDS} s")


@contextlib.contextmanager
def _kept(base: Base, stream: bytes) -> Iterator[None]:
    """Write down a stream that does what it should not."""
    try:
        yield
    except BaseException:
        LOST.parent.mkdir(exist_ok=True)
        LOST.write_bytes(stream)
        print(f"base {base.name}; the stream is in {LOST}")
        raise


def _receive(base: Base, stream: bytes, draw: random.Random, found: Found) -> None:
    """Give one stream to a destination of its base."""
    with _kept(base, stream), contextlib.closing(base.destination()) as machine:
        verdict = target.receive(machine, stream, draw)
    found.started += verdict.started
    if not verdict.started:
        found.refusals[type_of(verdict.error)] += 1


def _one(damager: mutate.Damager, draw: random.Random, found: Found) -> None:
    """Make and give one stream."""
    kind = draw.random()
    if kind < 0.05:
        target.decode_answers(answers.one(draw), answers.BLOCKS, draw)
        return
    base, stream = damager.one()
    if kind < 0.35:
        with _kept(base, stream):
            tiny, known = draw.random() < 0.7, draw.random() < 0.5
            target.decode(stream, draw, tiny=tiny, known=known)
    else:
        _receive(base, stream, draw, found)


def type_of(error: str) -> str:
    """An error without its numbers and names, to be counted."""
    words = [word for word in error.partition(";")[0].split() if word.isascii() and word.isalpha()]
    return " ".join(words)[:60]


def _give(streams: int, seed: int, found: Found, next_one: Callable[[], None]) -> None:
    """The rare streams, then `streams` by chance; `next_one` is called before each."""
    draw = random.Random(seed)
    damager = mutate.Damager(bases.all_of_them(), draw)
    rare.apart()
    for base, stream in rare.all_of_them():
        next_one()
        target.decode(stream, draw, tiny=False, known=False)
        target.decode(stream, draw, tiny=True, known=False)
        target.decode(stream, draw, tiny=True, known=True)
        _receive(base, stream, draw, found)
    for _ in range(ANSWERS):
        target.decode_answers(answers.one(draw), answers.BLOCKS, draw)
    for _ in range(streams):
        next_one()
        _one(damager, draw, found)


def run(streams: int, seed: int, next_one: Callable[[], None] = lambda: None) -> Found:
    """Give `streams` damaged streams; raises what a destination should not."""
    found = Found(streams)
    gc.collect()
    pathlib.Path("/proc/self/clear_refs").write_text("5")
    start, begin = _memory("VmRSS"), time.monotonic()
    with Reached() as reached:
        _give(streams, seed, found, next_one)
    found.seconds = time.monotonic() - begin
    found.grown = _memory("VmHWM") - start
    found.missed = reached.missed()
    return found


def _alarm() -> None:
    """Another stream begins: it has `SECONDS` from now on."""
    signal.alarm(SECONDS)


def main() -> None:
    """Run, print, judge."""
    parser = argparse.ArgumentParser(prog="python -m bench.fuzz_streams")
    parser.add_argument("--streams", type=int, default=200_000)
    parser.add_argument("--seed", type=int, default=2012)
    args = parser.parse_args()
    signal.signal(signal.SIGALRM, _ring)
    found = run(args.streams, args.seed, _alarm)
    signal.alarm(0)
    print(f"{found.streams:,} damaged streams in {found.seconds:.0f} s: no crash, no hang")
    print(f"{found.started:,} started a guest; refusals of {len(found.refusals)} kinds:")
    for kind, count in found.refusals.most_common(12):
        print(f"  {count:7,} {kind}")
    print(f"lines and branches of the decoders never reached: {len(found.missed)}")
    for missed in found.missed:
        print(f"  {missed}")
    print(f"memory: at most {found.grown / 2**20:.1f} MiB more than before (less than 64)")
    sys.exit(bool(found.missed) or found.grown > MOST_BYTES)


if __name__ == "__main__":
    main()
