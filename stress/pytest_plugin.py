"""The pytest plugin against hangs: `--stage3-hang-limit SECONDS`.

Promises: with the option, each pytest process that runs tests (with pytest-xdist each worker) is watched by a
sidecar. A test run in which nothing moves for the limit gets a hang report, and the test under way fails with
it: from inside where Python code can still run, so that the run goes on and pytest writes its own files; by
killing the process where it cannot (then the JUnit file is the sidecar's, or the xdist controller's). Stacks that
pytest-timeout prints are kept and attached, and its killing of the process gives a report and a JUnit entry too.
Without the option nothing is loaded and nothing changes.
Assumes: Linux.
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import pytest

if TYPE_CHECKING:
    from collections.abc import Generator

    from stress.watchdog.plugged import Crashes, Plugged

PLUGGED: pytest.StashKey[Plugged] = pytest.StashKey()
CRASHES: pytest.StashKey[Crashes] = pytest.StashKey()


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds above 0")
    return value


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options."""
    group = parser.getgroup("stage3", "thread interleavings (stage3)")
    group.addoption(
        "--stage3-hang-limit",
        type=_seconds,
        metavar="SECONDS",
        help="report a test as hung when nothing moves for SECONDS, with who waits for whom",
    )
    group.addoption(
        "--stage3-hang-output",
        type=Path,
        default=Path("stage3-out"),
        metavar="DIR",
        help="where hang reports go (stage3-out)",
    )


@pytest.hookimpl(trylast=True)
def pytest_configure(config: pytest.Config) -> None:
    """Start the sidecar of a process that runs tests."""
    limit = config.getoption("stage3_hang_limit")
    if limit is None or config.getoption("collectonly", default=False):
        return
    from stress.watchdog import plugged  # noqa: PLC0415 - only when asked for

    output: Path = config.getoption("stage3_hang_output")
    where = config.invocation_params.dir / output
    worker = getattr(config, "workerinput", None)
    if worker is None and config.getoption("dist", default="no") != "no":
        config.stash[CRASHES] = plugged.Crashes(where)
        return
    junit = config.getoption("xmlpath", default=None)
    config.stash[PLUGGED] = plugged.Plugged(
        limit,
        where,
        junit=config.invocation_params.dir / junit if junit and worker is None else None,
        worker=str(worker["workerid"]) if worker is not None else "",
    )


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Tell the sidecar which test is under way."""
    ours = item.config.stash.get(PLUGGED, None)
    if ours is None:
        return (yield)
    ours.begins(item.nodeid)
    try:
        return (yield)
    finally:
        ours.ends()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show the hang report as a section of its own, and its verdict as the failure."""
    report = yield
    ours = item.config.stash.get(PLUGGED, None)
    if ours is not None:
        ours.explain(report, call.excinfo.value if call.excinfo is not None else None)
        ours.reports(report)
    return report


class _Scheduler(Protocol):
    """What is used of pytest-xdist's scheduler."""

    config: pytest.Config


@pytest.hookimpl(optionalhook=True)
def pytest_handlecrashitem(crashitem: str, report: pytest.TestReport, sched: _Scheduler) -> None:
    """In the controller of pytest-xdist: a worker died under a test; say what the report on it found."""
    crashes = sched.config.stash.get(CRASHES, None)
    found = crashes.report_on(crashitem) if crashes is not None else None
    if found is not None:
        headline, section = found
        report.longrepr = f"{report.longrepr}\n{headline}"
        report.sections.append(section)


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Keep the exit code for a process that threads which hang would keep from ending."""
    ours = session.config.stash.get(PLUGGED, None)
    if ours is not None:
        ours.exit_code = int(exitstatus)


@pytest.hookimpl(trylast=True)
def pytest_unconfigure(config: pytest.Config) -> None:
    """Say good-bye to the sidecar."""
    ours = config.stash.get(PLUGGED, None)
    if ours is not None:
        ours.over()
