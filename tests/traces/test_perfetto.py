"""The export for Perfetto, read back by Perfetto's own classes and, where it can be had, by its trace_processor."""

from __future__ import annotations

import os
import shutil
import sys
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from tests.traces.values import explained, staged
from traces.errors import InputError
from traces.perfetto import packets, to_perfetto

if TYPE_CHECKING:
    from pathlib import Path

SHELL = os.environ.get("TRACE_PROCESSOR") or shutil.which("trace_processor_shell")


def read(data: bytes) -> Any:
    """Return the trace that Perfetto's classes find in `data`."""
    perfetto = pytest.importorskip("perfetto.protos.perfetto.trace.perfetto_trace_pb2")
    return perfetto.Trace.FromString(data)


def test_read_back() -> None:
    """Every packet is one that Perfetto knows; threads, steps, holds and waits are slices of tracks."""
    pytest.importorskip("perfetto")
    trace = read(to_perfetto(staged()))
    names = {
        p.track_descriptor.uuid: p.track_descriptor.name
        for p in trace.packet
        if p.HasField("track_descriptor")
    }
    kinds = Counter(p.track_event.type for p in trace.packet if p.HasField("track_event"))
    begin, end, instant = 1, 2, 3
    assert {"accounts:race", "main", "t1", "t2", "holds a", "holds b", "waits"} == set(
        names.values()
    )
    assert {begin: 11, end: 11, instant: 1} == dict(kinds)
    first = next(p.track_event for p in trace.packet if p.track_event.name == "acquire a")
    said = {a.name: a.string_value for a in first.debug_annotations}
    assert {
        "step": "2",
        "virtual time": "0.000002000 s",
        "source": "accounts.py:8 transfer",
        "result": "ok",
    } == said
    assert "t1" == names[first.track_uuid]


def test_orders_are_flows() -> None:
    """An order begins a flow at one step; it ends at the other where that took effect."""
    pytest.importorskip("perfetto")
    trace = read(to_perfetto(explained()))
    flows = {
        p.track_event.name: list(p.track_event.flow_ids)
        for p in trace.packet
        if p.track_event.flow_ids
    }
    assert {"acquire a": [1], "acquire b": [2]} == flows


def test_in_order_and_balanced() -> None:
    """Time never goes back, and on every track each slice ends before the next begins or lies inside."""
    depth: Counter[object] = Counter()
    last = 0
    for packet in packets(staged()):
        if "trackEvent" not in packet:
            continue
        event, at = packet["trackEvent"], packet["timestamp"]
        assert isinstance(event, dict)
        assert isinstance(at, int)
        assert last <= at
        last = at
        depth[event["trackUuid"]] += {"TYPE_SLICE_BEGIN": 1, "TYPE_SLICE_END": -1}.get(
            event["type"], 0
        )
        assert 0 <= depth[event["trackUuid"]]
    assert {0} == set(depth.values())


def test_without_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the package is missing the error says what to install."""
    monkeypatch.setitem(sys.modules, "perfetto.protos.perfetto.trace", None)
    with pytest.raises(InputError, match=r"pip install 'stage3\[perfetto\]'"):
        to_perfetto(staged())


@pytest.mark.slow
@pytest.mark.skipif(SHELL is None, reason="no trace_processor_shell on PATH or in TRACE_PROCESSOR")
def test_trace_processor(tmp_path: Path) -> None:
    """Perfetto's query engine finds the slices."""
    api = pytest.importorskip("perfetto.trace_processor")
    path = tmp_path / "x.pftrace"
    path.write_bytes(to_perfetto(staged()))
    config = api.TraceProcessorConfig(bin_path=SHELL)
    with api.TraceProcessor(trace=str(path), config=config) as processor:
        names = {row.name for row in processor.query("select name from slice")}
    assert {"acquire a", "a", "b"} <= names
