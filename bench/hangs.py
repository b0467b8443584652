"""`python -m bench.hangs`: the zoo of hanging programs, watched: verdicts, times, thread churn, pytest.

Prints one line a program with the verdict and the time from the limit to the report, then the runs under
thread churn, then the same zoo under pytest with pytest-timeout and with pytest-xdist. Exit code 1 when a
verdict is wrong, the slow program was ended, a watched program crashed, or a report or an entry is missing.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree as ET

from stress.hang import schema
from stress.watchdog.sidecar import Watchdog
from stress.zoo import ZOO
from traces.errors import InputError
from verify.observe import launch

ROOT = Path(__file__).parents[1]
LIMIT_S = 1.0

TESTS = """
import pytest
from stress.zoo import ZOO

@pytest.mark.parametrize("name", {names})
def test_zoo(name):
    ZOO[name].program()
"""

CHURN = """
import threading, time
from stress.zoo import ZOO

def churn():
    while True:
        thread = threading.Thread(target=int)
        thread.start()
        thread.join()

for _ in range(4):
    threading.Thread(target=churn, daemon=True).start()
ZOO["lock_cycle"].program()
"""


class Watched(NamedTuple):
    """One watched run: verdict and cause ("" for none), exit code, seconds from the limit to the report."""

    verdict: str
    cause: str
    code: int
    late_s: float
    seconds: float


def watch(command: list[str], limit_s: float = LIMIT_S) -> Watched:
    """Run one command under the sidecar, recorded."""
    with tempfile.TemporaryDirectory() as made:
        flights = Path(made) / "flights"
        flights.mkdir()
        times: list[float] = []
        begin = time.monotonic()
        watchdog = Watchdog(
            command,
            limit_s,
            Path(made) / "out",
            flights=flights,
            environment=launch.environment(flights),
            say=lambda _line: times.append(time.monotonic()),
        )
        outcome = watchdog.run()
        seconds = time.monotonic() - begin
        if not outcome.hangs:
            return Watched("", "", outcome.code, 0.0, seconds)
        report = outcome.hangs[0].report
        moves = (each.last_ns for shot in report.snapshots for each in shot.threads)
        last = max(moves, default=0)
        return Watched(
            report.verdict, report.cause, outcome.code, times[0] - last / 1e9 - limit_s, seconds
        )


def programs(names: list[str], depth: int) -> int:
    """Watch each program by itself; return how many came out wrong."""
    wrong = 0
    print(f"{'program':<12} {'verdict':<28} {'limit to report':>15}  cause")
    for name in names:
        entry = ZOO[name]
        seen = watch([sys.executable, "-m", "stress.zoo", name, str(depth)])
        expected = "" if name == "slow" else entry.verdict
        right = seen.verdict == expected and entry.cause in seen.cause
        right = right and seen.code == (0 if name == "slow" else 5)
        wrong += not right
        late = f"{seen.late_s:.2f} s" if seen.verdict else f"ran {seen.seconds:.1f} s"
        mark = "" if right else "   WRONG"
        # A livelock never stops making operations: its time is counted from the last one, so it is negative.
        late = "(moves)" if seen.verdict == "livelock" else late
        print(
            f"{name:<12} {seen.verdict or 'left alone':<28} {late:>15}  {seen.cause[:90]}{mark}",
            flush=True,
        )
    return wrong


def churn(runs: int) -> int:
    """Watch a hanging program whose other threads come and go; return how many runs crashed or were missed."""
    with tempfile.TemporaryDirectory() as made:
        path = Path(made) / "churn.py"
        path.write_text(CHURN)
        seen = [watch([sys.executable, str(path)]) for _ in range(runs)]
    for each in seen:
        if (each.code, each.verdict) != (5, "deadlock"):
            print(f"  exit code {each.code}, {each.verdict or 'no report'}: {each.cause}")
    right = sum(each.code == 5 and each.verdict == "deadlock" for each in seen)
    print(
        f"under thread churn: {right} of {runs} reported as deadlock, none crashed by a dump",
        flush=True,
    )
    return runs - right


def under_pytest(names: list[str], title: str, *options: str) -> int:
    """Run the zoo as tests, one pytest run each where `options` end a run; return how many lack report or entry."""
    missing = 0
    single = "--timeout-method=thread" in options and "-n2" not in options
    for group in [[name] for name in names] if single else [names]:
        with tempfile.TemporaryDirectory() as made:
            reported, entered = _pytest_run(Path(made), group, options)
            lacking = [name for name in group if name not in reported or name not in entered]
            missing += len(lacking)
            for name in lacking:
                print(f"  {name}: report {name in reported}, entry {name in entered}")
    print(
        f"{title}: {len(names) - missing} of {len(names)} with a report and a JUnit entry",
        flush=True,
    )
    return missing


def _pytest_run(
    directory: Path, names: list[str], options: tuple[str, ...]
) -> tuple[set[str], set[str]]:
    """Return the programs that have a hang report with the right verdict, and those whose JUnit entry names it."""
    (directory / "test_zoo.py").write_text(TESTS.format(names=names))
    command = [
        *(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_zoo.py"),
        *("-p", "stress.pytest_plugin", "--stage3-hang-limit", str(LIMIT_S), "--junitxml", "j.xml"),
        *options,
    ]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    subprocess.run(
        command, cwd=directory, env=environment, capture_output=True, check=False, timeout=300
    )
    reported = set()
    for path in (directory / "stage3-out").glob("hang-*.json"):
        with suppress(InputError):
            report = schema.from_json(path.read_text())
            name = report.notes.get("test", "").partition("[")[2].rstrip("]")
            if name in names and report.verdict == ZOO[name].verdict:
                reported.add(name)
    entered = set()
    for case in ET.parse(directory / "j.xml").iter("testcase"):  # noqa: S314 - written by this very run
        name = str(case.get("name")).partition("[")[2].rstrip("]")
        for found in (*case.iter("failure"), *case.iter("error")):
            if name in names and ZOO[name].verdict in f"{found.get('message')} {found.text}":
                entered.add(name)
    return reported, entered


def main() -> int:
    """Run what the options ask for."""
    parser = argparse.ArgumentParser(prog="python -m bench.hangs", description=__doc__)
    parser.add_argument("names", nargs="*", help=f"programs ({', '.join(ZOO)}); all without any")
    parser.add_argument(
        "--depth", type=int, default=0, help="run them in a child of a child ... (0)"
    )
    parser.add_argument(
        "--churn", type=int, default=15, metavar="N", help="runs under thread churn (15)"
    )
    parser.add_argument("--no-pytest", action="store_true", help="leave the runs under pytest out")
    args = parser.parse_args()
    names = args.names or list(ZOO)
    wrong = programs(names, args.depth)
    wrong += churn(args.churn)
    if not args.no_pytest:
        # The one that has to be killed ends its test run: last. Before it the one whose threads go on for ever and
        # fill the recorder's ring.
        hanging = [name for name in names if name not in {"slow", "livelock", "gil"}]
        hanging += [name for name in ("livelock", "gil") if name in names]
        wrong += under_pytest(hanging, "pytest", "-p", "no:timeout")
        for method in ("thread", "signal"):
            options = ("--timeout=0.5", f"--timeout-method={method}")
            wrong += under_pytest(
                hanging, f"pytest-timeout, method {method}, before the limit", *options
            )
        wrong += under_pytest(hanging, "pytest-xdist", "-n2", "-p", "no:timeout")
    print("all as claimed" if not wrong else f"{wrong} not as claimed")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
