"""The pytest plugin: marker, options, the report as a section, replay from the printed line."""

from __future__ import annotations

import ast
import re
import shlex
from importlib.metadata import entry_points
from pathlib import Path

import pytest

import verify.pytest_checks
from traces import store
from verify import config, registry
from verify.builds import ANY
from verify.check import DEFAULT_EXECUTIONS
from verify.pytest_plugin import DESCRIPTION, SECTION
from verify.runtime.carriers import GREENLETS
from verify.session import Session

pytest_plugins = ["pytester"]

# From a checkout that is not installed pytest does not know the plugin by itself.
INSTALLED = any(point.name == "stage3" for point in entry_points(group="pytest11"))
PLUGIN = () if INSTALLED else ("-p", "verify.pytest_plugin")

SUITE = """
import threading
import pytest
import verify

runs = []

def crossing(first, second):
    def take(one, two):
        with one, two:
            pass
    threads = [
        threading.Thread(target=take, args=(first, second)),
        threading.Thread(target=take, args=(second, first)),
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

@pytest.fixture
def made():
    runs.append("fixture")
    return lambda: threading.Lock()

@pytest.mark.interleavings(executions=40)
@pytest.mark.parametrize("what", ["a b"])
def test_crossing(made, what):
    print("said", what)
    runs.append("body")
    crossing(made(), made())

@pytest.mark.interleavings(executions=7)
def test_sound(made):
    runs.append("sound")
    thread = threading.Thread(target=int)
    thread.start()
    thread.join()
    assert verify.is_controlled()

def test_plain():
    runs.append("plain")
    assert not verify.is_controlled()

def test_calls_check():
    verify.check(lambda: crossing(threading.Lock(), threading.Lock()), executions=40)

@verify.interleavings(executions=40)
def test_decorated():
    crossing(threading.Lock(), threading.Lock())

def test_counts():
    print("counted", {what: runs.count(what) for what in runs})
"""


class Suite:
    """A suite in a directory of its own, and pytest run on it in this process."""

    def __init__(self, pytester: pytest.Pytester) -> None:
        self.pytester = pytester
        self.directory: Path = pytester.path

    def run(self, *arguments: str) -> pytest.RunResult:
        """Run pytest as a command line would."""
        return self.pytester.runpytest_inprocess(*PLUGIN, "-p", "no:cacheprovider", *arguments)

    def printed_line(self, result: pytest.RunResult) -> list[str]:
        """Return the arguments of the last line that the report prints."""
        last = [line for line in result.outlines if line.startswith("replay: ")][-1]
        command, *arguments = shlex.split(last.removeprefix("replay: "))
        assert command == "pytest"
        return arguments


@pytest.fixture
def suite(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Suite:
    """The suite above; runs in processes of their own find this checkout."""
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    pytester.makepyfile(test_bank=SUITE)
    return Suite(pytester)


@pytest.fixture(scope="module")
def tokens() -> dict[str, str]:
    """The token of `test_crossing`, found once: it holds wherever the suite's text is the same."""
    return {}


def text(result: pytest.RunResult) -> str:
    return "\n".join(result.outlines)


def test_section_of_the_failure(suite: Suite) -> None:
    """A find is a failure with a headline, a section with the report, a trace, and the replay line last."""
    result = suite.run("test_bank.py", "-k", "crossing")
    out = text(result)

    result.assert_outcomes(failed=1, deselected=5)
    assert re.search(r"^found: deadlock: 2 tasks wait for each other", out, re.MULTILINE)
    assert 1 == len([line for line in result.outlines if f" {SECTION} " in line])
    assert "Tasks when it ended" in out
    assert ["test_bank.py::test_crossing[a b]", "--replay"] == suite.printed_line(result)[:2]
    (file,) = (suite.directory / "stage3-out").glob("*.json")
    assert f"trace:  stage3 trace show stage3-out/{file.name}" in result.outlines
    assert f"page:   stage3-out/{file.stem}.html" in result.outlines
    assert (suite.directory / "stage3-out" / "index.html").exists()
    assert "test_bank.py::test_crossing[a b]" == store.load(file).program.target


def test_body_runs_once_per_execution(suite: Suite) -> None:
    """Fixtures run once, the body once per execution; tests without the marker run as ever."""
    result = suite.run(
        "test_bank.py",
        "-s",
        "-k",
        "crossing or sound or plain or counts",
        "--interleavings-shrink=0",
    )

    result.assert_outcomes(failed=1, passed=3, deselected=2)
    # 40 executions, and the first failing one again for the record.
    expected = r"counted \{'fixture': 2, 'body': 4\d, 'sound': 7, 'plain': 1\}"
    assert re.search(expected, text(result))


def test_output_of_the_failing_run_alone(suite: Suite) -> None:
    """What the body printed is shown once: the output of the run that the report describes."""
    result = suite.run("test_bank.py", "-k", "crossing")

    assert 1 == result.outlines.count("said a b")


@pytest.mark.parametrize("name", ["crossing", "calls_check", "decorated"])
def test_printed_line_replays(suite: Suite, name: str) -> None:
    """The printed line fails again in the same way, whoever ran the check, and prints itself."""
    line = suite.printed_line(suite.run("test_bank.py", "-k", name))
    again = suite.run(*line)

    again.assert_outcomes(failed=1)
    assert "replayed: deadlock: 2 tasks wait for each other" in text(again)
    assert line == suite.printed_line(again)


def test_trace_file_replays(suite: Suite) -> None:
    """`--replay` takes the trace file too; the command line's replay says who replays it."""
    suite.run("test_bank.py", "-k", "crossing")
    (file,) = (suite.directory / "stage3-out").glob("*.json")

    again = suite.run("test_bank.py::test_crossing[a b]", "--replay", str(file))

    again.assert_outcomes(failed=1)
    with pytest.raises(verify.UsageError, match="is a test of pytest's; say pytest"):
        verify.load(store.load(file).program.target)


def test_replay_of_a_corrected_test(suite: Suite) -> None:
    """A token is refused once the module's text has changed: exit code 4, one line, nothing run."""
    line = suite.printed_line(suite.run("test_bank.py", "-k", "crossing"))
    (suite.directory / "test_bank.py").write_text(SUITE + "\n# corrected\n")

    again = suite.run(*line)

    assert pytest.ExitCode.USAGE_ERROR == again.ret
    (error,) = [line for line in again.errlines + again.outlines if line.startswith("ERROR: ")]
    assert "--replay: this schedule was recorded on another text of test_bank.py" in error


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["test_bank.py", "--replay", "TOKEN"], "and 6 are selected; name the test"),
        (["test_bank.py::test_plain", "--replay", "TOKEN"], "no check in test_bank.py::test_plain"),
        (["test_bank.py::test_sound", "--replay", "TOKEN"], "recorded on another text"),
        (["test_bank.py", "--replay", "s3:1:AAAA"], "--replay: token"),
        (["test_bank.py", "--replay", "no-such-file"], "--replay: token prefix"),
        (["test_bank.py", "--interleavings", "0"], "'0' is not a whole number above zero"),
    ],
)
def test_usage_errors(
    suite: Suite, tokens: dict[str, str], arguments: list[str], said: str
) -> None:
    """What cannot be used is one clear line and pytest's exit code 4."""
    if "TOKEN" in arguments and not tokens:
        found = suite.run("test_bank.py", "-k", "crossing")
        tokens["TOKEN"] = suite.printed_line(found)[-1]

    result = suite.run(*[tokens.get(word, word) for word in arguments])

    assert pytest.ExitCode.USAGE_ERROR == result.ret
    assert said in "\n".join([*result.errlines, *result.outlines])


def test_all_tests(suite: Suite) -> None:
    """`--interleavings-all` runs unmarked test functions too, N times each, and what they print replays."""
    unmarked = "import test_bank, threading\ndef test_it(): test_bank.crossing(threading.Lock(), threading.Lock())\n"
    suite.pytester.makepyfile(test_other=unmarked)

    result = suite.run("test_other.py", "--interleavings", "30", "--interleavings-all")
    again = suite.run(*suite.printed_line(result))

    result.assert_outcomes(failed=1)
    assert " of 30 executions" in text(result)
    again.assert_outcomes(failed=1)
    assert "replayed: deadlock" in text(again)


def test_precedence(suite: Suite) -> None:
    """Options win over the marker, the marker over pyproject.toml."""
    (suite.directory / "pyproject.toml").write_text(
        '[tool.pytest.ini_options]\n[tool.stage3]\nexecutions = 11\nseed = 5\noutput = "kept"\n'
    )
    suite.pytester.makepyfile(
        test_two="""
        import pytest, threading
        from test_bank import crossing
        @pytest.mark.interleavings
        def test_file(): crossing(threading.Lock(), threading.Lock())
        @pytest.mark.interleavings(executions=12, seed=6, strategy="pct")
        def test_mark(): crossing(threading.Lock(), threading.Lock())
        """
    )

    plain = text(suite.run("test_two.py"))
    given = text(suite.run("test_two.py", "--interleavings", "13", "--interleavings-seed", "7"))

    pattern = re.compile(r"^  (\d+) executions, .* strategy (\w+), seed (\d+)$", re.MULTILINE)
    assert [("11", "portfolio", "5"), ("12", "pct", "6")] == pattern.findall(plain)
    assert [("13", "portfolio", "7"), ("13", "pct", "7")] == pattern.findall(given)
    assert list((suite.directory / "kept").iterdir())
    assert not (suite.directory / "stage3-out").exists()


def test_bad_defaults(suite: Suite) -> None:
    """A bad `[tool.stage3]` is one line and exit code 4, before any test."""
    (suite.directory / "pyproject.toml").write_text("[tool.pytest]\n[tool.stage3]\nspeed = 5\n")

    result = suite.run("test_bank.py")

    assert pytest.ExitCode.USAGE_ERROR == result.ret
    (error,) = [line for line in result.errlines + result.outlines if line.startswith("ERROR: ")]
    assert "pyproject.toml: [tool.stage3] has no key 'speed'; it has: executions" in error


@pytest.mark.parametrize(
    ("mark", "said"),
    [
        ("(execution=3)", "has no key 'execution'; it has: executions"),
        ("(executions=0)", "executions is 0; give a whole number above zero"),
        ("(5)", "takes no positional arguments; say interleavings(executions=500)"),
        ("(packages=('no.such',))", "no package 'no.such'"),
        ("(strategies=['own:Search'])", "has no key 'strategies'; it has: executions"),
        ("(output='traces')", "has no key 'output'; it has: executions"),
    ],
)
def test_bad_marker(suite: Suite, mark: str, said: str) -> None:
    """A marker that cannot be used fails its test with one line."""
    suite.pytester.makepyfile(
        test_bad=f"import pytest\n@pytest.mark.interleavings{mark}\ndef test_it(): pass\n"
    )
    result = suite.run("test_bad.py")

    result.assert_outcomes(failed=1)
    assert said in text(result)


def test_marker_says_what_it_takes() -> None:
    """Its description has all keys, with the values that hold where nobody gives any."""
    call = ast.parse(DESCRIPTION.partition(": ")[0], mode="eval").body
    assert isinstance(call, ast.Call)
    said = {str(word.arg): ast.literal_eval(word.value) for word in call.keywords}

    assert {*config.MARKER_KEYS} == {*said}
    assert {
        "executions": DEFAULT_EXECUTIONS, "seconds": None, "strategy": registry.DEFAULT, "seed": 0,
        "granularity": "auto", "packages": (), "backend": GREENLETS, "builds": ANY,
        "shrink": config.SHRINK_S, "confidence": None, "bug_depth": None, "unseen": None, "detect": (),
    } == said  # fmt: skip


GOALS = """
import threading
import pytest

def both():
    lock = threading.Lock()
    def work():
        with lock:
            pass
    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

@pytest.mark.interleavings(unseen=0.5)
def test_reached():
    both()

@pytest.mark.interleavings(unseen=0.001, executions=20)
def test_short():
    both()

@pytest.mark.interleavings(executions=5)
def test_alone():
    pass
"""


def test_goals(suite: Suite) -> None:
    """A goal that is reached is a pass, one that is not fails as inconclusive, as does a test without a thread."""
    suite.pytester.makepyfile(test_goals=GOALS)
    result = suite.run("test_goals.py", "-rf")
    result.assert_outcomes(passed=1, failed=2)
    out = text(result)

    assert "inconclusive: asked for at most 0.1 % unseen" in out
    assert "inconclusive: no execution started a thread" in out


def test_goals_on_the_command_line(suite: Suite) -> None:
    """Options win over the marker; a wrong one is said."""
    suite.pytester.makepyfile(test_goals=GOALS)
    suite.run("test_goals.py::test_short", "--interleavings-bug-depth", "1").assert_outcomes(
        passed=1
    )
    wrong = suite.run("test_goals.py::test_short", "--interleavings-unseen", "2")

    wrong.assert_outcomes(failed=1)
    assert "unseen is 2.0; give a number between 0 and 1, like 0.95" in text(wrong)


def test_all_tests_need_no_thread(suite: Suite) -> None:
    """A test that is not marked may do without a thread where every test is run that way."""
    suite.pytester.makepyfile(test_plain="def test_plain():\n    assert 1 + 1 == 2\n")

    suite.run("test_plain.py", "--interleavings-all", "--interleavings", "3").assert_outcomes(
        passed=1
    )


def test_where_the_marker_does_not_go(suite: Suite) -> None:
    """A coroutine and a unittest method are refused with what to do; skips are skips."""
    suite.pytester.makepyfile(
        test_kinds="""
        import unittest
        import pytest
        pytestmark = pytest.mark.interleavings(executions=3)
        async def test_coroutine(): pass
        class TestCase(unittest.TestCase):
            def test_method(self): pass
        def test_skip(): pytest.skip("not now")
        def test_xfail(): pytest.xfail("known")
        @pytest.mark.xfail
        def test_expected(): assert False
        """
    )
    result = suite.run("test_kinds.py")

    result.assert_outcomes(failed=1, errors=1, skipped=1, xfailed=2)
    assert "a coroutine, a hypothesis test" in text(result)
    assert "decorate the method with @verify.interleavings" in text(result)


def test_capsys_starts_empty(suite: Suite) -> None:
    """A body that reads what it printed sees its own output, whatever the execution before left unread."""
    suite.pytester.makepyfile(
        test_capsys="""
        import pytest
        import threading
        @pytest.mark.interleavings(executions=5)
        def test_it(capsys):
            threading.Thread(target=int).start()
            print("one")
            assert capsys.readouterr().out == "one\\n"
            print("left behind")
        """
    )

    suite.run("test_capsys.py").assert_outcomes(passed=1)


def test_whole_assertion(suite: Suite) -> None:
    """What pytest says of a failed assertion, the comparison below it included, is in the report."""
    suite.pytester.makepyfile(
        test_lists="""
        import pytest
        @pytest.mark.interleavings(executions=2)
        def test_it():
            assert [1, 2] == [1, 3]
        """
    )
    out = text(suite.run("test_lists.py"))

    assert "AssertionError in main at test_lists.py:4 test_it: assert [1, 2] == [1, 3]" in out
    assert "At index 1 diff: 2 != 3" in out


@pytest.mark.slow
def test_detectors(suite: Suite) -> None:
    """The marker asks for detectors, the file for those of tests whose marker does not, and a replay knows them."""
    suite.pytester.makepyfile(
        test_fields="""
        import threading, pytest
        def count():
            n = 0
            def add():
                nonlocal n
                n += 1
            threads = [threading.Thread(target=add) for _ in range(2)]
            for thread in threads: thread.start()
            for thread in threads: thread.join()
        @pytest.mark.interleavings(executions=20, detect=("race",))
        def test_marked():
            count()
        @pytest.mark.interleavings(executions=20)
        def test_by_the_file():
            count()
        """
    )
    suite.pytester.makepyprojecttoml("[tool.stage3]\ndetect = ['atomicity']\n")
    result = suite.run("test_fields.py")

    result.assert_outcomes(failed=2)
    assert "data race: nothing orders" in text(result)
    assert "atomicity violation: Thread" in text(result)
    again = suite.run(*suite.printed_line(result))
    assert "every step as recorded" in text(again)


def test_inconclusive(suite: Suite) -> None:
    """A test that something outside the schedule decides fails as inconclusive, and says so."""
    suite.pytester.makepyfile(
        test_odd="""
        import itertools, pytest
        runs = itertools.count()
        @pytest.mark.interleavings(executions=20)
        def test_it():
            assert next(runs) != 3
        """
    )
    result = suite.run("test_odd.py")

    result.assert_outcomes(failed=1)
    assert re.search("^inconclusive: ", text(result), re.MULTILINE)
    assert "likely cause: something outside the schedule decides" in text(result)


@pytest.mark.slow
def test_below_the_root(suite: Suite, monkeypatch: pytest.MonkeyPatch) -> None:
    """Started in a directory below the root, the line printed is what is to be typed there."""
    (suite.directory / "pytest.ini").write_text("[pytest]\n")
    below = suite.pytester.mkdir("below")
    monkeypatch.chdir(below)

    result = suite.run("../test_bank.py", "-k", "crossing")
    again = suite.run(*suite.printed_line(result))

    assert "../test_bank.py::test_crossing[a b]" == suite.printed_line(result)[0]
    again.assert_outcomes(failed=1)


@pytest.mark.slow
def test_under_xdist(suite: Suite) -> None:
    """Under pytest-xdist the section arrives, and the printed line replays also with workers asked for."""
    pytest.importorskip("xdist", reason="the plugin under xdist needs pytest-xdist")
    result = suite.pytester.runpytest_subprocess(
        *PLUGIN, "-n", "1", "test_bank.py", "-k", "crossing or sound"
    )
    again = suite.run("-n", "1", *suite.printed_line(result))

    result.assert_outcomes(failed=1, passed=1)
    assert SECTION in text(result)
    again.assert_outcomes(failed=1)
    assert "replayed: deadlock" in text(again)


@pytest.mark.slow
def test_unused_costs_nothing(suite: Suite) -> None:
    """A suite that marks nothing never loads the controlled runtime."""
    suite.pytester.makepyfile(
        test_idle="""
        import sys
        def test_it():
            assert not {"greenlet", "bytecode", "tomllib"} & set(sys.modules)
            loaded = {name for name in sys.modules if name.startswith("verify")}
            assert loaded == {"verify", "verify._real", "verify.caller", "verify.pytest_plugin"}
        """
    )
    suite.pytester.runpytest_subprocess(*PLUGIN, "test_idle.py").assert_outcomes(passed=1)


DRAWN = """
from hypothesis import Phase, given, settings, strategies as st

from examples.spool import write_and_flush
from verify.hypothesis_support import interleavings


@settings(database=None, derandomize=True, phases=[Phase.generate, Phase.shrink])
@given(st.lists(st.integers()), interleavings(shrink=0.2))
def test_spool(items, schedule):
    schedule.run(write_and_flush, items)
"""


@pytest.mark.slow
def test_hypothesis(suite: Suite, monkeypatch: pytest.MonkeyPatch) -> None:
    """A test that draws interleavings shows its report as a section, and what Hypothesis says of its example."""
    opened: list[Session] = []
    enter = Session.__enter__

    def entering(self: Session) -> Session:
        opened.append(self)
        return enter(self)

    monkeypatch.setattr(Session, "__enter__", entering)
    (suite.directory / "test_spool.py").write_text(DRAWN)

    result = suite.run("test_spool.py")

    result.assert_outcomes(failed=1)
    assert "schedule=Interleaving(((0, 1),))" in text(result)
    assert f"{SECTION}" in text(result)
    assert "Why it fails" in text(result)
    assert 1 == len(opened)
