"""Damaged streams: fields are known, mutants are the same every time, and a short fuzz run finds nothing."""

from __future__ import annotations

import contextlib
import itertools
import random
from typing import TYPE_CHECKING

import pytest

from bench import fuzz_streams
from bench.streams import bases, layout, mutate, target

if TYPE_CHECKING:
    import pathlib


def test_fields_cover_a_stream() -> None:
    """Fields follow each other from the first byte to the last; a cut stream has none."""
    stream = bases.everything().stream
    fields = layout.fields(stream)
    assert (fields[0].at, fields[-1].end) == (0, len(stream))
    assert all(one.end == two.at for one, two in itertools.pairwise(fields))
    assert {"machine name", "page word", "delta", "device state"} <= {name for _, _, name in fields}
    with pytest.raises(ValueError, match="does not end with a VM description"):
        layout.fields(stream[:-1])


def test_undamaged_streams_are_accepted() -> None:
    """What is damaged is accepted before; a sample made small lacks pages and nothing else."""
    for base in (bases.own(), bases.everything(), bases.asked(), bases.claiming()):
        with contextlib.closing(base.destination()) as machine:
            verdict = target.receive(machine, base.stream, random.Random(1))
        assert verdict == target.Verdict(True, "")
    base = bases.shortened(bases.SAMPLES[0])
    with contextlib.closing(base.destination()) as machine:
        assert (
            "pages that never came" in target.receive(machine, base.stream, random.Random(1)).error
        )


def test_mutants_come_again() -> None:
    """A seed gives the same mutants, and hardly any is the stream itself."""
    made = [bases.everything(), bases.commanded()]
    first, second = (mutate.Damager(made, random.Random(7)) for _ in range(2))
    pairs = [(first.one(), second.one()) for _ in range(200)]
    assert all(one == two for one, two in pairs)
    assert sum(stream != base.stream for (base, stream), _ in pairs) > 180


@pytest.mark.slow
def test_short_fuzz_run() -> None:
    """Every line and branch of the decoders is reached; nothing but refusals, and little memory."""
    found = fuzz_streams.run(1500, 2012)
    assert [str(missed) for missed in found.missed] == []
    assert found.grown < fuzz_streams.MOST_BYTES
    assert len(found.refusals) > 40
    assert found.started < found.streams / 10


def test_crash_is_kept(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stream that raises what it should not is written down."""
    monkeypatch.chdir(tmp_path)

    def broken(*_: object) -> target.Verdict:
        raise ZeroDivisionError

    monkeypatch.setattr(target, "receive", broken)
    with pytest.raises(ZeroDivisionError):
        fuzz_streams.run(50, 1)
    assert (tmp_path / fuzz_streams.LOST).stat().st_size > 0
