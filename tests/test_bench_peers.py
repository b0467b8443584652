"""The comparison with other tools: what it reads, what it claims, what it says when something is missing."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from bench import peers
from bench.peer_programs.telling import SECTIONS, Told
from bench.peers import PeerError, Row, Tool

if TYPE_CHECKING:
    from collections.abc import Sequence


def row(tool: str, mode: str, *executions: int, trouble: str = "") -> Row:
    return Row(tool, SECTIONS, mode, [Told(n, 1.0) for n in executions], trouble)


OURS = [row("stage3", "greenlets", 19_000, 30_000, 20_000), row("stage3", "OS threads", 4_000)]
FAST = row("interleave-test 0.1.0", "lines", 1_000)
SLOW = row("ploom 0.1.1", "DFS", 5)


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        (
            [*OURS, SLOW, FAST],
            "ratio to the fastest peer (interleave-test 0.1.0, lines): 20.0 on greenlets, 4.0 on OS threads",
        ),
        (
            [*OURS, FAST, row("frontrun 0.7.0", "random", 2_000, 1_999, 9_000)],
            "ratio to the fastest peer (frontrun 0.7.0, random): 10.0 on greenlets, 2.0 on OS threads",
        ),
        (
            [*OURS, SLOW, row("interleave-test 0.1.0", "lines", trouble="not done after 1 s")],
            "no ratio is claimed: interleave-test could not be measured (not done after 1 s)",
        ),
        (
            [*OURS, SLOW],
            "no ratio is claimed: interleave-test could not be measured (no result)",
        ),
        (
            [row("stage3", "greenlets", trouble="lost"), FAST],
            "no ratio is claimed: stage3 could not be measured",
        ),
        (
            [*OURS, FAST, row("ploom 0.1.1", "DFS", 90_000, trouble="then it failed")],
            "ratio to the fastest peer (interleave-test 0.1.0, lines): 20.0 on greenlets, 4.0 on OS threads",
        ),
    ],
)
def test_verdict(rows: list[Row], expected: str) -> None:
    """Medians are compared with the fastest peer that ran whole; no ratio without interleave-test."""
    assert expected == peers.verdict(rows).strip()


def test_line() -> None:
    """A row shows median and spread, steps only where they are told, and trouble in words."""
    steps = Row("a 1", SECTIONS, "m", [Told(100, 0.5, 3_000.0), Told(300, 0.5, 5_000.0)])

    assert ["a", "1", "m", "400", "(200", "to", "600)", "8,000"] == peers.line(steps).split()
    assert "5.0 (5.0 to 5.0)     not told" in peers.line(SLOW)
    assert peers.line(row("x", "m", trouble="why")).endswith("not measured: why")


def test_parsed() -> None:
    """The last line printed is the measurement."""
    assert Told(3, 0.5, 9.0) == peers.parsed(
        'hello\n{"executions": 3, "seconds": 0.5, "steps": 9.0}\n'
    )
    assert Told(3, 0.5) == peers.parsed('{"executions": 3, "seconds": 0.5, "steps": null}')


@pytest.mark.parametrize(
    "printed",
    [
        "",
        "done",
        "[]",
        "{}",
        '{"executions": 0, "seconds": 1.0}',
        '{"executions": 3, "seconds": 0}',
        '{"executions": "3", "seconds": 1}',
        '{"executions": 3, "seconds": 1, "speed": 3}',
    ],
)
def test_parsed_nonsense(printed: str) -> None:
    """What is no measurement is refused, not counted."""
    with pytest.raises(PeerError, match="told nothing that can be used"):
        peers.parsed(printed)


@pytest.mark.parametrize(
    ("stderr", "expected"),
    [
        ("WARNING: slow\nERROR: no such version\nnotice\n", "no such version"),
        ("ERROR: 1.1 Requires-Python >=3.13\nERROR: no match\n", "1.1 Requires-Python >=3.13"),
        (
            "Traceback\n  line\nRuntimeError: wants its command\n\n",
            "RuntimeError: wants its command",
        ),
        ("", ""),
    ],
)
def test_reason(stderr: str, expected: str) -> None:
    """The line that says why is found in pip's output and under a traceback."""
    assert expected == peers.reason(stderr)


def test_newest() -> None:
    """The highest patch release of the minor is taken, by number; other builds are passed over."""
    names = ["3.13.9", "3.13.10", "3.13.11t", "3.12.12", "pypy3.13-7"]
    paths = [Path("versions", name, "bin", "python") for name in names]

    assert paths[1] == peers.newest(paths, 13)
    assert paths[3] == peers.newest(paths, 12)
    assert peers.newest(paths, 14) is None


def test_runtime_needs() -> None:
    """stage3's own environment gets what the controlled runtime imports."""
    text = (peers.ROOT / "pyproject.toml").read_text()

    assert ["bytecode", "greenlet"] == sorted(n.split(">")[0] for n in peers.runtime_needs(text))


def test_run_limit() -> None:
    """A command that takes too long is killed with what it started, and said so."""
    with pytest.raises(PeerError, match=r"^not done after 0\.05 s$"):
        peers.run(["sh", "-c", "sleep 50 & sleep 50"], 0.05)


def test_run_failure() -> None:
    """A command that fails gives its reason, or at least its code."""
    with pytest.raises(PeerError, match=r"^it broke$"):
        peers.run(["sh", "-c", "echo it broke >&2; exit 1"], 10.0)
    with pytest.raises(PeerError, match=r"^ended with code 7$"):
        peers.run(["sh", "-c", "exit 7"], 10.0)


def test_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An environment whose installation failed is made anew, a whole one is kept."""
    tool = Tool("ploom", ("ploom==0.1.1",), "with_ploom", {})
    home = tmp_path / "3.13.0-ploom-0.1.1"
    made: list[str] = []
    broken = True

    def run(command: Sequence[str], limit: float) -> str:
        made.append(command[2])
        if "venv" in command:
            home.mkdir()
        elif broken:
            raise PeerError("no network")
        return ""

    monkeypatch.setattr(peers, "HOME", tmp_path)
    monkeypatch.setattr(peers, "run", run)

    with pytest.raises(PeerError, match="no network"):
        peers.environment(tool, Path("python"), "3.13.0")
    broken = False
    for _ in range(2):
        assert home / "bin" == peers.environment(tool, Path("python"), "3.13.0")

    assert ["venv", "pip", "venv", "pip"] == made
