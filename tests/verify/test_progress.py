"""What is said while a search runs: one line with what grows, on standard error only."""

from __future__ import annotations

import importlib
import io
import sys
from typing import TYPE_CHECKING

import pytest

from stress.cli import main
from verify import _real, progress, registry
from verify import program as programs
from verify.estimates import Estimate
from verify.explore import Exploration, explore
from verify.measure import Measure
from verify.strategies.dfs import DFS
from verify.strategies.pct_to_bound import PCTToBound

from . import orders

if TYPE_CHECKING:
    from verify.strategies import NamedStrategy


exploring = importlib.import_module("verify.explore")  # not the function of that name


class Clock:
    """Goes on by a second whenever it is read."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        """Return the time."""
        self.now += 1.0
        return self.now


def watched(
    monkeypatch: pytest.MonkeyPatch, strategy: NamedStrategy, executions: int = 60
) -> list[str]:
    """Return what a line would say after each execution."""
    monkeypatch.setattr(exploring, "PROGRESS_EVERY_S", 0.0)
    line, said = progress.Line(), list[str]()
    explore(
        programs.of(orders.many_orders),
        strategy,
        executions=executions,
        measure=Measure(),
        progress=lambda state: said.append(line.text(state)),
    )
    return said


def test_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """The line says executions, rate, classes and orders with what is new, and kinds of failure."""
    said = watched(monkeypatch, registry.make("pos", 0))

    assert said[0].startswith("1 executions, ")
    assert "/s, 1 class (+1), " in said[0]
    assert said[0].endswith(", 1 order of operations (+1), 0 kinds of failure")
    assert int(said[-1].split("/s, ")[1].split()[0].replace(",", "")) > 20


def test_line_says_what_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the strategy says is left stands at the end."""
    said = watched(monkeypatch, PCTToBound(0, depth=2, confidence=0.95), 130)

    assert said[0].endswith("measuring, 1 of 100 runs")
    assert "PCT runs" in said[-1]


@pytest.mark.parametrize("strategy", ["dfs", "portfolio"])
def test_line_says_how_many_schedules_are_left(
    strategy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where schedules are enumerated the line ends with an estimate of those left, and its interval."""
    search = registry.make(strategy, 0)
    dfs = search if isinstance(search, DFS) else search.depth_first  # type: ignore[attr-defined] # the portfolio's
    monkeypatch.setattr(DFS, "estimate", Estimate(1234.0, 200.0, 5000.0, 9))
    said = watched(monkeypatch, search, 5)

    assert said[-1].endswith("about 1,230 (200 to 5,000) schedules left")
    assert not DFS(0, preemptions=1).remaining()
    assert dfs.remaining()


def test_plain_lines_come_in_growing_gaps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a terminal there are few lines, whole ones."""
    monkeypatch.setattr(_real, "monotonic", Clock())
    stream = io.StringIO()
    state = Exploration(programs.of(orders.alone), "random", 0, executions=7, seconds=1.0)
    with progress.Plain(stream) as watcher:
        for _ in range(40):
            watcher(state)
    lines = stream.getvalue().splitlines()

    assert 3 <= len(lines) <= 5
    assert {"stage3 explore: 7 executions, 7/s, 0 kinds of failure"} == set(lines)


def test_live_line_is_taken_away(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """On a terminal the line is redrawn and gone at the end; nothing is on standard output."""
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    watcher = progress.Live()
    with watcher:
        explore(
            programs.of(orders.one_lock),
            registry.make("random", 0),
            executions=5,
            progress=watcher,
            measure=Measure(),
        )
        watcher(Exploration(programs.of(orders.alone), "random", 0, executions=3, seconds=1.0))

    streams = capsys.readouterr()
    assert "" == streams.out
    _, line, rest = streams.err.rpartition("3 executions, 3/s, 0 kinds of failure")
    assert line
    assert rest.endswith("\x1b[?25h\r\x1b[1A\x1b[2K"), repr(rest)


def test_live_line_leaves_the_programs_output_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the program prints goes where it went: on a terminal it has the same operations as elsewhere."""
    monkeypatch.setenv("FORCE_COLOR", "1")
    before = sys.stdout, sys.stderr
    with progress.Live():
        assert before == (sys.stdout, sys.stderr)


class Terminal(io.StringIO):
    """Claims to be one."""

    def isatty(self) -> bool:
        """Return True."""
        return True


def test_terminal_is_given_back() -> None:
    """A process that ends in the middle shows the cursor again, on a terminal alone."""
    terminal, file = Terminal(), io.StringIO()
    progress.give_back_terminal(terminal)
    progress.give_back_terminal(file)

    assert ("\r\x1b[K\x1b[?25h", "") == (terminal.getvalue(), file.getvalue())


@pytest.mark.parametrize("json", [[], ["--json"]])
def test_command_keeps_standard_output_clean(
    json: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Lines go to standard error; with --json there are none."""
    monkeypatch.setattr(exploring, "PROGRESS_EVERY_S", 0.0)
    monkeypatch.setattr(progress, "EVERY_S", 0.0)
    main(["explore", "tests.verify.orders:one_lock", "--executions", "5", *json])
    streams = capsys.readouterr()

    assert (not json) == streams.err.startswith("stage3 explore: 1 executions, ")
    assert "stage3 explore: " not in streams.out
