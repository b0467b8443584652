"""stage3 beside Python's other controlled schedulers, in one run on one interpreter.

`python -m bench.exploration --peers [--seconds S] [--rounds N]`. Every tool gets a virtual environment
of its own under `.venv-peers/` (made once, from the package index) and its own spelling of two
programs (`bench.peer_programs`); each measurement is a process with a time limit, and all of them
take turns, so that a busy machine slows them alike. What hands over between OS threads is measured
left alone and bound to one core, as that alone makes it several times faster; its best counts.

Does not say which tool finds more: executions of different tools are not equally long or telling.
Without a result of interleave-test for a program no ratio is claimed for it.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from bench.peer_programs.telling import COUNTER, ONE_CORE, SECTIONS, Told

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

ROOT = Path(__file__).resolve().parent.parent
HOME = ROOT / ".venv-peers"
MINORS = (13, 12)  # interleave-test needs 3.12, ploom 3.13
INSTALL_LIMIT = 180.0  # seconds
START_LIMIT = 20.0  # seconds a measurement may take besides the time it is asked to measure
TITLES = {
    SECTIONS: "2 threads x 3 lock sections, at synchronisation",
    COUNTER: "2 threads x 3 increments of a counter, at accesses",
}
STAGE3 = "stage3"
REQUIRED = "interleave-test"  # without it no ratio
GREENLETS = "greenlets"


class PeerError(Exception):
    """A tool could not be installed or could not run a program; the message is for the table."""


@dataclass(frozen=True)
class Tool:
    """A tool, what `pip install` is told, its modes for each program, and what its command begins with."""

    name: str
    wants: tuple[str, ...]
    module: str
    modes: dict[str, tuple[str, ...]]
    wrapper: str = ""

    @property
    def title(self) -> str:
        """Name and version."""
        return self.name if self.name == STAGE3 else self.wants[0].replace("==", " ")


@dataclass
class Row:
    """One mode of one tool on one program: what its rounds told, or why there is nothing."""

    tool: str
    program: str
    mode: str
    told: list[Told] = field(default_factory=list)
    trouble: str = ""

    @property
    def speed(self) -> float:
        """Median executions/s; 0 without a measurement."""
        return statistics.median(rates(self)) if self.told and not self.trouble else 0.0


def tools() -> list[Tool]:
    """Return stage3 and its peers, at the versions compared."""
    both = tuple(f"{mode}{core}" for mode in ("random", "DPOR") for core in ("", ONE_CORE))
    return [
        Tool(
            STAGE3,
            runtime_needs((ROOT / "pyproject.toml").read_text()),
            "with_stage3",
            dict.fromkeys(TITLES, (GREENLETS, "OS threads")),
        ),
        Tool(
            REQUIRED,
            ("interleave-test==0.1.0",),
            "with_interleave_test",
            {
                SECTIONS: ("sync only", f"sync only{ONE_CORE}", "lines", f"lines{ONE_CORE}"),
                COUNTER: ("opcodes", f"opcodes{ONE_CORE}", "lines", f"lines{ONE_CORE}"),
            },
        ),
        Tool(
            "frontrun",
            ("frontrun==0.7.0",),
            "with_frontrun",
            dict.fromkeys(TITLES, both),
            wrapper="frontrun",
        ),
        Tool("ploom", ("ploom==0.1.1",), "with_ploom", dict.fromkeys(TITLES, ("DFS",))),
    ]


def runtime_needs(pyproject: str) -> tuple[str, ...]:
    """Return the requirements of stage3 that its controlled runtime imports."""
    listed: list[str] = tomllib.loads(pyproject)["project"]["dependencies"]
    return tuple(need for need in listed if need.startswith(("greenlet", "bytecode")))


def newest(candidates: Iterable[Path], minor: int) -> Path | None:
    """Return the highest 3.`minor` among paths `.../3.13.2/bin/python`; others are passed over."""
    found = []
    for path in candidates:
        match = re.fullmatch(rf"3\.{minor}\.(\d+)", path.parent.parent.name)
        if match:
            found.append((int(match[1]), path))
    return max(found)[1] if found else None


def interpreter() -> Path:
    """Find a CPython 3.13, else 3.12: pyenv's, one on PATH, or the one that runs this."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    for minor in MINORS:
        on_path = shutil.which(f"python3.{minor}")
        found = newest(pyenv.glob("versions/*/bin/python"), minor)
        if found is None and sys.version_info[:2] == (3, minor):
            found = Path(sys.executable)
        if found is None and on_path and answers(on_path, minor):
            found = Path(on_path)
        if found is not None:
            return found
    raise SystemExit(
        "bench: no Python 3.13 or 3.12 found in pyenv's versions or on PATH, and the peers need one;"
        " install one, for example with `pyenv install 3.13`"
    )


def answers(python: str, minor: int) -> bool:
    """Say whether `python` runs and is 3.`minor` (a launcher on PATH may stand for nothing)."""
    try:
        version = run([python, "--version"], 10.0)
    except PeerError:
        return False
    return version.startswith(f"Python 3.{minor}.")


def environment(tool: Tool, python: Path, version: str) -> Path:
    """Return the directory of the tool's programs, after installing it if that was not done yet.

    A file written last says that an environment is whole; one without it is made anew.
    """
    home = HOME / f"{version}-{tool.title.replace(' ', '-')}"
    whole = home / "whole"
    wants = " ".join(tool.wants)
    if not whole.exists() or whole.read_text() != wants:
        shutil.rmtree(home, ignore_errors=True)
        print(f"bench: installing {wants}", file=sys.stderr)
        run([str(python), "-m", "venv", str(home)], INSTALL_LIMIT)
        pip = [str(home / "bin" / "python"), "-m", "pip", "install", "--quiet"]
        run([*pip, "--disable-pip-version-check", *tool.wants], INSTALL_LIMIT)
        whole.write_text(wants)
    return home / "bin"


def run(command: Sequence[str], limit: float) -> str:
    """Return what a command printed; at the limit it is killed with all that it started."""
    with subprocess.Popen(
        command,
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            out, err = process.communicate(timeout=limit)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            raise PeerError(f"not done after {limit:g} s") from None
    if process.returncode:
        raise PeerError(reason(err) or f"ended with code {process.returncode}")
    return out


def reason(stderr: str) -> str:
    """Return the line of an error output that says most: pip's on Python versions, its last, else the last."""
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    errors = [line.removeprefix("ERROR: ") for line in lines if line.startswith("ERROR: ")]
    versions = [line for line in errors if "Requires-Python" in line]
    return (versions or errors or lines or [""])[-1][:160]


def parsed(printed: str) -> Told:
    """Read a child's last line, and refuse what cannot be a measurement."""
    lines = printed.splitlines()
    try:
        told = Told(**json.loads(lines[-1]))
        usable = told.executions > 0 and told.seconds > 0
    except (IndexError, TypeError, ValueError):
        usable = False
    if not usable:
        raise PeerError(f"told nothing that can be used: {lines[-1:]}")
    return told


def measured(tool: Tool, bin_: Path, row: Row, seconds: float) -> None:
    """Run one round of one row; a row in trouble is left alone from then on."""
    if row.trouble:
        return
    command = [str(bin_ / "python"), "-m", f"bench.peer_programs.{tool.module}"]
    if tool.wrapper:
        command.insert(0, str(bin_ / tool.wrapper))
    try:
        told = run([*command, row.program, row.mode, f"{seconds:g}"], seconds + START_LIMIT)
        row.told.append(parsed(told))
    except PeerError as error:
        row.trouble = str(error)


def rates(row: Row) -> list[float]:
    """Return executions/s of every round."""
    return [told.executions / told.seconds for told in row.told]


def number(value: float) -> str:
    """Spell a rate: whole, or with one decimal below ten."""
    return f"{value:,.0f}" if value >= 10 else f"{value:.1f}"


def line(row: Row) -> str:
    """Return a row of the table: median and spread of executions/s, median of steps/s."""
    title = f"  {row.tool:22} {row.mode:20}"
    if row.trouble:
        return f"{title} not measured: {row.trouble}"
    speeds = rates(row)
    spread = f"{number(row.speed)} ({number(min(speeds))} to {number(max(speeds))})"
    steps = [told.steps / told.seconds for told in row.told if told.steps is not None]
    return f"{title} {spread:>26} {f'{statistics.median(steps):,.0f}' if steps else 'not told':>12}"


def verdict(rows: Sequence[Row]) -> str:
    """Return the sentence that compares stage3 with the fastest peer on one program, or says why not."""
    required = [row for row in rows if row.tool.startswith(REQUIRED)]
    if not any(row.speed for row in required):
        why = next((row.trouble for row in required if row.trouble), "no result")
        return f"  no ratio is claimed: {REQUIRED} could not be measured ({why})"
    ours = {row.mode: row.speed for row in rows if row.tool == STAGE3}
    best = max((row for row in rows if row.tool != STAGE3), key=lambda row: row.speed)
    ratios = [f"{speed / best.speed:,.1f} on {mode}" for mode, speed in ours.items() if speed]
    if not ratios:
        return "  no ratio is claimed: stage3 could not be measured"
    return f"  ratio to the fastest peer ({best.tool}, {best.mode}): {', '.join(ratios)}"


def compare(seconds: float, rounds: int) -> None:
    """Install what is missing, measure in turns, print the table."""
    python = interpreter()
    version = run([str(python), "--version"], 10.0).split()[-1]
    table: list[tuple[Tool, Path, Row]] = []
    for tool in tools():
        trouble, bin_ = "", HOME
        try:
            bin_ = environment(tool, python, version)
        except PeerError as error:
            trouble = f"cannot be installed: {error}"
        for program, modes in tool.modes.items():
            table += [
                (tool, bin_, Row(tool.title, program, mode, trouble=trouble)) for mode in modes
            ]
    before = os.getloadavg()[0]
    for _ in range(rounds):
        for tool, bin_, row in table:
            measured(tool, bin_, row, seconds)
    print(
        f"Python {version}, {os.cpu_count()} cores, load {before:.1f} before and {os.getloadavg()[0]:.1f} after; "
        f"{rounds} rounds of {seconds:g} s: median (lowest to highest)"
    )
    for program, title in TITLES.items():
        rows = [row for _, _, row in table if row.program == program]
        print(f"\n{title}\n{'executions/s':>72} {'steps/s':>12}")
        print("\n".join([*map(line, rows), verdict(rows)]))
