"""A trace in Perfetto's format, for ui.perfetto.dev and trace_processor.

Promises: a track for each thread with a slice for each step; below it a track for each lock that it held and one for
its waits; the orders that make a run fail are flows. A step is one microsecond wide: virtual time stands still over
many steps, so it is an annotation of each. Needs the package `perfetto` (the extra of that name), whose protobuf
classes write the bytes. `packets` is pure.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Final

from traces.errors import InputError
from traces.printing import plain
from traces.text import Titles

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from traces.explanation import Event
    from traces.schema import Step, Trace

    Json = str | int | float | bool | None | Sequence["Json"] | Mapping[str, "Json"]

__all__ = ["packets", "to_perfetto"]

STEP_NS: Final = 1_000
SLICE_NS: Final = 900
"""Of a step, so that one ends before the next begins."""
BEGIN, END, INSTANT = "TYPE_SLICE_BEGIN", "TYPE_SLICE_END", "TYPE_INSTANT"
SEQUENCE: Final = 1
STATE_CLEARED: Final = 1
"""The sequence flag by which a reader knows that nothing came before."""


def to_perfetto(trace: Trace) -> bytes:
    """Return the bytes of a Perfetto trace; raise `InputError` where the package `perfetto` is missing."""
    try:
        from google.protobuf.json_format import ParseDict  # type: ignore[import-untyped] # noqa: PLC0415 - an extra
        from perfetto.protos.perfetto.trace import (  # type: ignore[import-untyped] # noqa: PLC0415 - an extra
            perfetto_trace_pb2,
        )
    except ImportError as error:
        remedy = "install the extra: pip install 'stage3[perfetto]'"
        raise InputError("--perfetto", f"cannot be written: {error}", remedy) from None
    message = ParseDict({"packet": list(packets(trace))}, perfetto_trace_pb2.Trace())
    return bytes(message.SerializeToString())


def packets(trace: Trace) -> Iterator[Mapping[str, Json]]:
    """Yield the packets as JSON of `perfetto.protos.TracePacket`, in order of time."""
    writer = _Packets(trace)
    events = sorted([*writer.steps(), *writer.bars()], key=lambda event: event[0])
    for number, packet in enumerate([*writer.descriptors(), *(what for _, what in events)]):
        flags: dict[str, Json] = {"sequenceFlags": STATE_CLEARED} if number == 0 else {}
        yield {"trustedPacketSequenceId": SEQUENCE, **flags, **packet}


class _Packets:
    """One trace on its way into packets; tracks are numbered as they are met."""

    def __init__(self, trace: Trace) -> None:
        self.trace = trace
        self.titles = Titles.of(trace)
        self.tracks: dict[tuple[str, str], int] = {}
        for path in self.titles.tasks:
            self.track(path)
        self.flows: defaultdict[int, list[int]] = defaultdict(list)
        self.arrivals: defaultdict[int, list[int]] = defaultdict(list)
        orders = trace.explanation.orders if trace.explanation is not None else ()
        for number, order in enumerate(orders, 1):
            for event, where in ((order.before, self.flows), (order.after, self.arrivals)):
                if (step := self._step_of(event)) is not None:
                    where[step].append(number)

    def _step_of(self, event: Event) -> int | None:
        inside = event.step is not None and event.step < len(self.trace.steps)
        return event.step if inside else None

    def track(self, task: str, below: str = "") -> int:
        """Return the number of a thread's track, or of that of a lock or of its waits below it."""
        return self.tracks.setdefault((task, below), len(self.tracks) + 2)

    def descriptors(self) -> Iterator[dict[str, Json]]:
        """Yield the run, its threads, and what lies below them; call it last, when all tracks are known."""
        run: dict[str, Json] = {"uuid": 1, "name": plain(self.trace.program.target)}
        yield {"trackDescriptor": run}
        for (task, below), number in self.tracks.items():
            parent = self.track(task) if below else 1
            name = below or self.titles.task(task)
            what: dict[str, Json] = {
                "uuid": number,
                "parentUuid": parent,
                "name": name,
                "siblingOrderRank": number,
            }
            yield {"trackDescriptor": what}

    def steps(self) -> Iterator[tuple[int, dict[str, Json]]]:
        """Yield the slices of the steps, and where it failed."""
        for step in self.trace.steps:
            yield from self._slice(step)
        if self.trace.failure is not None and self.trace.steps:
            last = self.trace.steps[-1]
            at = last.index * STEP_NS + SLICE_NS
            name = f"{self.trace.failure.cause}: {self.trace.failure.message}"
            yield at, self._event(at, INSTANT, self.track(last.task), plain(name))

    def _slice(self, step: Step) -> Iterator[tuple[int, dict[str, Json]]]:
        begin, track = step.index * STEP_NS, self.track(step.task)
        name = f"{plain(step.op)} {self.titles.object(step.object)}".rstrip()
        more: dict[str, Json] = {"debugAnnotations": _annotations(step)}
        if step.index in self.flows:
            more["flowIds"] = self.flows[step.index]
        if step.index in self.arrivals:
            more["terminatingFlowIds"] = self.arrivals[step.index]
        yield begin, self._event(begin, BEGIN, track, name, more)
        yield begin + SLICE_NS, self._event(begin + SLICE_NS, END, track)

    def bars(self) -> Iterator[tuple[int, dict[str, Json]]]:
        """Yield the slices of holds and waits."""
        scene = self.trace.scene
        for hold in scene.holds if scene is not None else ():
            name = self.titles.object(hold.lock)
            yield from self._bar(
                self.track(hold.task, f"holds {name}"), name, hold.first, hold.last
            )
        for wait in scene.waits if scene is not None else ():
            owner = f", which {self.titles.task(wait.owner)} has" if wait.owner else ""
            name = f"{plain(wait.op)} {self.titles.object(wait.object)}{owner}"
            yield from self._bar(self.track(wait.task, "waits"), name, wait.first, wait.last)

    def _bar(
        self, track: int, name: str, first: int, last: int | None
    ) -> Iterator[tuple[int, dict[str, Json]]]:
        # From the end of the step after which it was so to the end of the step that changed it.
        begin = first * STEP_NS + SLICE_NS
        end = (len(self.trace.steps) if last is None else last + 1) * STEP_NS + SLICE_NS
        yield begin, self._event(begin, BEGIN, track, name)
        yield end - 1, self._event(end - 1, END, track)

    def _event(
        self, at: int, kind: str, track: int, name: str = "", more: Mapping[str, Json] | None = None
    ) -> dict[str, Json]:
        event: dict[str, Json] = {"type": kind, "trackUuid": track, **(more or {})}
        if name:
            event["name"] = name
        return {"timestamp": at, "trackEvent": event}


def _annotations(step: Step) -> list[Json]:
    said = {
        "step": str(step.index),
        "virtual time": f"{step.time:.9f} s",
        "source": step.site,
        "result": step.result,
        "came to run by": "preemption" if step.switch else "",
    }
    return [{"name": name, "stringValue": plain(text)} for name, text in said.items() if text]
