"""The pytest plugin: a marker, a few options, and the report as a section of the failure.

Promises: a suite that uses none of it pays for nothing (the controlled runtime is loaded when the
first test asks for it). A marked test's body runs once per execution, under control, with the
fixture values of that test; set-up and tear-down run once, outside. The token of a failure is tied
to the test's node id, the text of its module, and the packages named. `--replay` takes one test and
runs that one schedule; a token that is not this test's is a usage error (exit code 4).
Does not do: `unittest.TestCase` methods and coroutines (refused, with what to do instead).
"""

from __future__ import annotations

import argparse
import os
import shlex
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from verify.caller import CHECKED, Caller, caller

if TYPE_CHECKING:
    from collections.abc import Generator
    from contextlib import AbstractContextManager

    from traces.token import Token
    from verify.config import Config

MARKER = "interleavings"
SECTION = "stage3 schedule"
DESCRIPTION = (
    f"{MARKER}(executions=1000, seconds=None, strategy='portfolio', seed=0, granularity='auto', packages=(), "
    "backend='greenlets', builds='any', shrink=2, confidence=None, bug_depth=None, unseen=None, detect=()): "
    "check the test under many thread interleavings (stage3)"
)
FILE = "pyproject.toml"
TABLE = b"stage3"  # a file without this word has no such table
DEFAULTS: pytest.StashKey[Config] = pytest.StashKey()
REPLAY: pytest.StashKey[Token] = pytest.StashKey()
OURS = pytest.StashKey[bool]()
"""Set on a test that the plugin itself has run, or is to replay, under control."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options."""
    group = parser.getgroup("stage3", "thread interleavings (stage3)")
    group.addoption(
        "--interleavings",
        type=_positive,
        metavar="N",
        help=f"run every test marked `{MARKER}` under N interleavings",
    )
    group.addoption(
        "--interleavings-all",
        action="store_true",
        help="run every test function that way, marked or not",
    )
    group.addoption(
        "--interleavings-seed", type=int, metavar="SEED", help="seed of the search (default 0)"
    )
    group.addoption(
        "--interleavings-shrink",
        type=_seconds,
        metavar="SECONDS",
        help="how long to shrink and explain what a test shows (default 2; 0: not at all)",
    )
    group.addoption(
        "--interleavings-bug-depth",
        type=_positive,
        metavar="D",
        help="run them under PCT as often as its bound asks for, so that a bug of depth D would have shown",
    )
    group.addoption(
        "--interleavings-unseen",
        type=float,
        metavar="P",
        help="run them until the next run shows something new with a chance of at most P, like 0.01",
    )
    group.addoption(
        "--interleavings-confidence",
        type=float,
        metavar="C",
        help="in what these two ask for (default 0.95)",
    )
    group.addoption(
        "--replay",
        metavar="TOKEN",
        help="run the one schedule that a failure printed (s3:1:..., or its trace file) on the test named",
    )
    group.addoption(
        "--stage3-lock-order",
        metavar="FILE",
        help="merge the order in which the tests' threads take locks into FILE",
    )


def _positive(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and int(text[:12]) > 0):
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number above zero")
    return int(text)


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < 1e9:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds")
    return value


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker; read the defaults of pyproject.toml, and the token."""
    config.addinivalue_line("markers", DESCRIPTION)
    _read_defaults(config)
    _collect_lock_order(config)
    given = config.getoption("replay")
    if given is None:
        return
    config.stash[REPLAY] = _token(given)
    if config.pluginmanager.hasplugin("xdist"):
        config.option.dist = "no"  # one schedule of one test needs no workers
        config.option.tx = []


def _collect_lock_order(config: pytest.Config) -> None:
    given = config.getoption("stage3_lock_order")
    if given is None or config.getoption("collectonly", default=False):
        return
    from traces.errors import InputError  # noqa: PLC0415 - only when asked for
    from verify.lock_order import store  # noqa: PLC0415
    from verify.pytest_lock_order import Collecting  # noqa: PLC0415

    file = config.invocation_params.dir / given
    config.option.stage3_lock_order = str(file)  # as the workers of pytest-xdist get it
    worker = hasattr(config, "workerinput")
    try:
        if file.exists():
            store.load(file)
    except InputError as error:
        raise pytest.UsageError(f"--stage3-lock-order: {error}") from None
    hands_out = not worker and config.getoption("dist", default="no") != "no"
    config.pluginmanager.register(Collecting(file, collects=not hands_out, tells=not worker))


def _read_defaults(config: pytest.Config) -> None:
    ini = config.inipath
    file = ini if ini is not None and ini.name == FILE else config.rootpath / FILE
    try:
        used = TABLE in file.read_bytes()
    except OSError:
        return
    if used:
        from verify import config as files  # noqa: PLC0415 - most projects have no such table
        from verify.abc import UsageError  # noqa: PLC0415

        try:
            config.stash[DEFAULTS] = files.load(file)
        except UsageError as error:
            raise pytest.UsageError(str(error)) from None


def _token(given: str) -> Token:
    from traces import store, token  # noqa: PLC0415 - only a replay needs it
    from traces.errors import InputError  # noqa: PLC0415

    try:
        if not given.startswith("s3:") and Path(given).is_file():
            return token.from_trace(store.load(Path(given)))
        return token.decode(given)
    except InputError as error:
        raise pytest.UsageError(f"--replay: {error}") from None


def pytest_collection_finish(session: pytest.Session) -> None:
    """Refuse to replay on several tests, or on a marked one that the token does not belong to."""
    token = session.config.stash.get(REPLAY, None)
    if token is None or not session.items:
        return
    if len(session.items) > 1:
        raise pytest.UsageError(
            f"--replay runs one schedule of one test, and {len(session.items)} are selected; "
            "name the test: pytest path::test --replay TOKEN"
        )
    item = session.items[0]
    if not isinstance(item, pytest.Function) or not _eligible(item):
        return
    from verify import program as programs  # noqa: PLC0415 - only a replay needs it
    from verify import pytest_checks  # noqa: PLC0415
    from verify.abc import UsageError  # noqa: PLC0415

    try:
        program = pytest_checks.program_of(item)
        marked = item.get_closest_marker(MARKER) is not None
        if marked or program.digest == token.program_digest:
            programs.refuse_other(program, token)
            item.stash[OURS] = True
    except UsageError as error:
        raise pytest.UsageError(f"--replay: {error}") from None


def _eligible(item: pytest.Function) -> bool:
    """Say whether the plugin can run a test under control: a plain function that does not do so itself."""
    function: object = item.obj
    if _of_unittest(item):
        return False
    if getattr(function, CHECKED, False) or getattr(function, "is_hypothesis_test", False):
        return False
    import inspect  # noqa: PLC0415 - only tests that may be controlled need it

    return not (inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function))


def _of_unittest(item: pytest.Item) -> bool:
    cls = getattr(item, "cls", None)
    unittest = sys.modules.get("unittest")  # where nobody has loaded it there is no TestCase
    return cls is not None and unittest is not None and issubclass(cls, unittest.TestCase)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, None, None]:
    """Let a test that calls `verify.check` itself know how it is repeated."""
    token = item.config.stash.get(REPLAY, None)
    under_way = Caller(lambda: f"pytest {shlex.quote(shown_id(item))} --replay", token)
    reset = caller.set(under_way)
    try:
        with _lasting(item):
            yield
    finally:
        caller.reset(reset)
    if token is not None and not under_way.used and OURS not in item.stash:
        pytest.exit(
            f"--replay: no check in {item.nodeid} takes this token; it belongs to another test or "
            "another text of this one: run the test without --replay to find a schedule anew",
            returncode=pytest.ExitCode.USAGE_ERROR,
        )


def _lasting(item: pytest.Item) -> AbstractContextManager[None]:
    """Return what lets the sessions of a Hypothesis test that draws interleavings last from example to example."""
    drawn = getattr(getattr(item, "obj", None), "is_hypothesis_test", False)
    if not drawn or "verify.hypothesis_support" not in sys.modules:
        return nullcontext()
    from verify.lasting import sessions_last  # noqa: PLC0415 - few tests draw interleavings

    return sessions_last()


def shown_id(item: pytest.Item) -> str:
    """Return the node id as it is typed in the directory pytest was started in."""
    root, here = item.config.rootpath, item.config.invocation_params.dir
    if root == here:
        return item.nodeid
    file, colons, rest = item.nodeid.partition("::")
    return f"{os.path.relpath(root / file, here)}{colons}{rest}"


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run a test under control if it is marked, or every test is asked for, or it is to be replayed."""
    __tracebackhide__ = True
    marked = pyfuncitem.get_closest_marker(MARKER) is not None
    if not marked and not pyfuncitem.config.getoption("interleavings_all"):
        if OURS not in pyfuncitem.stash:
            return None
    elif not _eligible(pyfuncitem):
        if marked:
            pytest.fail(f"{pyfuncitem.nodeid}: {_REFUSED}", pytrace=False)
        return None
    from verify import pytest_checks  # noqa: PLC0415 - loads the controlled runtime

    pyfuncitem.stash[OURS] = True
    pytest_checks.run(pyfuncitem, pyfuncitem.config.stash.get(REPLAY, None))
    return True


_REFUSED = (
    f"the marker `{MARKER}` runs plain test functions; a coroutine, a hypothesis test or one decorated "
    "with verify.interleavings is none: call verify.check(function) in the test instead"
)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Refuse the marker where it would be overlooked."""
    if _of_unittest(item) and item.get_closest_marker(MARKER):
        pytest.fail(
            f"{item.nodeid}: unittest runs its methods itself; decorate the method with "
            "@verify.interleavings(...) instead of the marker",
            pytrace=False,
        )


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show a failed check's report as a section of its own, and its headline as the failure."""
    report = yield
    if call.excinfo is None or not report.failed or "verify.check" not in sys.modules:
        return report
    from verify.abc import CheckError  # noqa: PLC0415 - somebody has checked something

    error = call.excinfo.value
    if isinstance(error, CheckError):
        if OURS in item.stash:
            # Nothing of the test's stands between pytest and the check: a traceback would show only us.
            brief: BaseException = pytest.fail.Exception(error.headline, pytrace=False)
        else:
            brief = type(error)(error.headline, error.headline)
            for note in getattr(error, "__notes__", ()):
                brief.add_note(note)
        info = pytest.ExceptionInfo.from_exception(brief.with_traceback(error.__traceback__))
        report.longrepr = item.repr_failure(info)
        report.sections.append((SECTION, str(error)))
    return report
