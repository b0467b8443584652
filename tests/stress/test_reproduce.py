"""`stage3 reproduce`: from hang reports, made by hand or recorded on real threads, to schedules that replay."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stress import cli
from stress.hang import diagnose, schema, sources
from stress.hang.schema import HangError
from stress.jobs.recording import BEGAN
from stress.reproduce import evidence, target
from tests.stress.hang_values import NOW, SECOND, thread
from tests.stress.steered import FILE, crossed
from verify.abc import UsageError

if TYPE_CHECKING:
    from stress.hang.model import HangReport
    from verify.observe.snapshot import Snapshot

ROOT = Path(__file__).parents[2]
TARGET = "tests.stress.steered:crossing"


def report_of(shot: Snapshot, **attached: str) -> HangReport:
    return diagnose([shot], attached={name.replace("_", " "): text for name, text in attached.items()})  # fmt: skip


def written(report: HangReport, directory: Path) -> str:
    path = directory / "hang-1.json"
    path.write_text(schema.to_json(report))
    return str(path)


def test_report_becomes_a_replay(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Found at once, written as a trace, and the trace replays identically."""
    file = written(report_of(crossed()), tmp_path)

    assert 1 == cli.main(["reproduce", file, "--output", str(tmp_path)])
    out = capsys.readouterr().out
    assert out.startswith("reproduced: deadlock: ")
    assert f"target: {TARGET} (by the main thread's stack)" in out
    assert "in their last wait: 3 of 3 threads" in out
    (trace,) = (path for path in tmp_path.glob("*.json") if path.name != "hang-1.json")
    assert f"trace:  stage3 trace show {trace}" in out
    assert 1 == cli.main(["replay", str(trace), "--times", "3", "--no-stacks"])
    assert "replayed 3 times: 3 identical" in capsys.readouterr().out


def test_not_reached(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Says how far it came, who is not where it was, what it met, what to type next; exit code 4."""
    shot = crossed()
    two = replace(shot.threads[2], name="three")
    file = written(report_of(replace(shot, threads=(*shot.threads[:2], two))), tmp_path)

    assert 4 == cli.main(["reproduce", file, "--executions", "5", "--output", str(tmp_path)])
    out = capsys.readouterr().out
    assert out.startswith("not reproduced: deadlock: ")
    assert "not: three (Lock.acquire at steered.py:" in out
    assert "5 executions" in out
    assert f"stage3 explore {TARGET}" in out
    assert ["hang-1.json"] == [path.name for path in tmp_path.iterdir()]


def test_report_without_operations(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Stacks alone are nothing to steer by: one line that says how to record, exit code 2."""
    file = written(report_of(crossed(ring=())), tmp_path)

    assert 2 == cli.main(["reproduce", file])
    error = capsys.readouterr().err
    assert f"{file}: holds no recorded operations of process 4000" in error
    assert "stage3 watch -- COMMAND" in error
    assert 1 == error.count("\n")


@pytest.mark.parametrize(
    ("content", "wanted"),
    [
        (None, "cannot be read"),
        (b"\xff", "is not UTF-8"),
        (b"{}", 'this is not a "stage3-hang" file'),
        (b"[1", "is not JSON"),
    ],
)
def test_no_report(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: bytes | None, wanted: str
) -> None:
    """Whatever is no hang report is one line and exit code 2."""
    path = tmp_path / "hang-1.json"
    if content is not None:
        path.write_bytes(content)

    assert 2 == cli.main(["reproduce", str(path)])
    error = capsys.readouterr().err
    assert wanted in error
    assert str(path) in error
    assert 1 == error.count("\n")


def test_places_that_are_no_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A pipe is not waited for, a directory not read; an output that cannot be is refused before the search."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    file = written(report_of(crossed()), tmp_path)

    for words in ([str(pipe)], [str(tmp_path)], [file, "--output", file]):
        assert 2 == cli.main(["reproduce", *words])
        error = capsys.readouterr().err
        assert words[-1] in error
        assert 1 == error.count("\n")


def test_a_call_of_c_is_beyond_schedules(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A held interpreter lock is no matter of schedules: said so, exit code 4."""
    file = written(replace(report_of(crossed()), verdict="GIL held"), tmp_path)

    assert 4 == cli.main(["reproduce", file])
    assert "'GIL held' happens inside one call of C" in capsys.readouterr().out


def test_changed_source_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A digest that differs shows that the program is another text; the search goes on all the same."""
    texts = f"{'0' * 16} {FILE}"
    file = written(report_of(crossed(), **{sources.TITLE.replace(" ", "_"): texts}), tmp_path)

    assert 1 == cli.main(["reproduce", file, "--output", str(tmp_path)])
    told = f"other text than the one that hung: {FILE} has changed since"
    assert told in capsys.readouterr().out


def test_what_shows_another_text() -> None:
    """Digests where there are some, else lines outside their functions; files that are gone; other Pythons."""
    shot = crossed()
    own = f"{sys.version_info.major}.{sys.version_info.minor}.0"
    same = replace(shot, python=own)
    kept = {sources.TITLE.replace(" ", "_"): sources.digests([same])}
    assert [] == evidence.changes(evidence.of(report_of(same), "x"), ROOT)
    assert [] == evidence.changes(evidence.of(report_of(same, **kept), "x"), ROOT)

    moved = [replace(each, site=replace(each.site, line=1)) for each in shot.ring]
    lines = evidence.changes(evidence.of(report_of(replace(same, ring=tuple(moved))), "x"), ROOT)
    assert [f"line 1 of {FILE} is not in crossing any more"] == lines

    gone = [replace(each, site=replace(each.site, file="/no/such.py")) for each in shot.ring]
    other = replace(shot, python="2.7.18", ring=tuple(gone))
    lines = evidence.changes(evidence.of(report_of(other), "x"), ROOT)
    assert ["recorded on Python 2.7.18", "/no/such.py, where it hung, is not there"] == lines


def test_source_is_found_in_another_checkout() -> None:
    """A recorded path of another machine means the file with the same end below the working directory."""
    place = evidence.locate("/ci/build/17/tests/stress/steered.py", ROOT)

    assert FILE == place
    assert evidence.locate("/ci/build/17/none/such.py", ROOT) is None
    assert evidence.locate("/etc/passwd", ROOT) is None


def chosen(notes: dict[str, str], given: str | None = None) -> tuple[str, str]:
    found = target.find(evidence.of(report_of(crossed(notes=notes)), "x"), given, ROOT)
    return found.target, found.found


def test_targets() -> None:
    """--target first, then what the program noted, as typed, then the stack; commands are no targets."""
    scenario = "stress.migration.scenarios:cancelled?design=rfc_v1&pages=4"
    stack = (TARGET, "by the main thread's stack")

    assert ("a.b:c", "by --target") == chosen({"target": "x.y:z"}, "a.b:c")
    assert (scenario, "by --target") == chosen({}, "migration:cancelled?design=rfc_v1&pages=4")
    assert (scenario, "by the report's target") == chosen(
        {"target": "'migration:cancelled?design=rfc_v1&pages=4'"}
    )
    assert ("x.y:z", "by the report's target") == chosen({"target": "x.y:z"})
    assert stack == chosen({"target": "python -m app"})
    assert stack == chosen({"target": "'"})
    test = "tests/stress/test_reproduce.py::test_targets"
    own = "tests.stress.test_reproduce:test_targets"
    assert (own, "by the report's test") == chosen({"test": test})
    assert (own, "a test, by --target") == chosen({}, test)


def test_targets_that_cannot_be() -> None:
    """A test that needs fixtures, a stack of functions with parameters: the error says what to write."""
    with pytest.raises(UsageError, match="say --target module:function"):
        chosen({"test": "tests/stress/test_reproduce.py::test_not_reached"})
    with pytest.raises(UsageError, match="is no function below"):
        chosen({"test": f"{os.__file__}::getenv"})
    shot = crossed()
    idle = thread(1, "MainThread", role="main")
    found = evidence.of(report_of(replace(shot, threads=(idle, *shot.threads[1:]))), "x")
    with pytest.raises(UsageError, match="name one that runs the program without arguments"):
        target.find(found, None, ROOT)


def test_only_the_last_run_counts() -> None:
    """A worker's recording holds earlier runs, too: the note says where the last one begins."""
    notes = {BEGAN: str(NOW - 20 * SECOND)}
    shot = crossed(notes=notes)
    early = replace(shot.ring[0], seq=0, ns=NOW - 40 * SECOND)

    found = evidence.of(report_of(replace(shot, ring=(early, *shot.ring))), "x")
    assert len(shot.ring) == found.course.length
    odd = replace(shot, notes={BEGAN: "yesterday"}, ring=(early, *shot.ring))
    assert 1 + len(shot.ring) == evidence.of(report_of(odd), "x").course.length


WORDS = st.sampled_from(
    ["", "x", "Lock.acquire", "main", "/etc/passwd", "\x00", "a" * 300, "::", "'", "..", "x.py::y"]
)
LEAVES = st.one_of(st.none(), st.booleans(), st.integers(-1, 2**65), st.floats(), WORDS)


def changed(value: object, draw: st.DataObject) -> object:
    """Return a document with one leaf somewhere replaced by a drawn value."""
    if isinstance(value, dict) and value:
        key = draw.draw(st.sampled_from(sorted(value)))
        return {**value, key: changed(value[key], draw)}
    if isinstance(value, list) and value:
        at = draw.draw(st.integers(0, min(len(value), 8) - 1))
        return [*value[:at], changed(value[at], draw), *value[at + 1 :]]
    return draw.draw(LEAVES)


DOCUMENT = json.loads(schema.to_json(report_of(crossed(notes={"target": "x.y:z", "test": "t"}))))


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_hostile_reports(data: st.DataObject) -> None:
    """Any change of a report is refused in one of two ways, or gives evidence and a target."""
    text = json.dumps(changed(DOCUMENT, data))
    try:
        report = schema.from_json(text)
        found = evidence.of(report, "hang-1.json")
        evidence.changes(found, ROOT)
        assert ":" in target.find(found, None, ROOT).target
    except (HangError, UsageError):
        return
