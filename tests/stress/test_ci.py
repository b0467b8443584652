"""What a job leaves for CI: well-formed, escaped, bounded."""

from __future__ import annotations

from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stress import ci
from stress.ci import github, junit, page
from stress.jobs import command
from stress.jobs.outcome import JobResult, Problem
from stress.jobs.progress import Counts, Plain
from stress.jobs.settings import Settings
from stress.jobs.targets import Kind, Target
from verify.supervise import Fate

if TYPE_CHECKING:
    from collections.abc import Sequence

NASTY = "</td><script>alert(1)</script> | `x` ]]> \x00\x1b[31m \ud800 ::error::no\n::error::second"


def result(
    problems: Sequence[Problem] = (), passed: int = 0, folder: Path = Path("out")
) -> JobResult:
    named = (Target(Kind.FUNCTION, ("m:f",)), Target(Kind.FUNCTION, ("m:g",)))
    found = JobResult(Settings(named, Path("out"), seed=7), folder, folder / "journal.jsonl")
    found.passed["m:f"] = passed
    found.counts[Fate.PASSED] = passed
    for problem in problems:
        found.counts[problem.fate] += 1
        found.problems.append(problem)
    return found


def problem(number: int, fate: Fate = Fate.FAILED, message: str = "no", where: str = "") -> Problem:
    return Problem(
        number,
        number + 7,
        "m:g",
        fate,
        message,
        0.5,
        f"stage3 stress m:g --seed {number + 7}",
        where,
    )


@pytest.mark.parametrize(
    ("fates", "passed", "code"),
    [
        ([], 3, 0), ([], 0, 4), ([Fate.FAILED], 3, 1), ([Fate.CRASHED], 0, 1), ([Fate.EXITED, Fate.HUNG], 3, 5),
        ([Fate.RAISED], 1, 1),
    ],
)  # fmt: skip
def test_exit_codes(fates: list[Fate], passed: int, code: int) -> None:
    """A hang is 5, any other problem 1, no evidence 4."""
    assert code == result([problem(at, fate) for at, fate in enumerate(fates)], passed).exit_code


def test_trouble_is_no_pass() -> None:
    """Where no worker could be started any more, what passed before is no verdict."""
    found = result(passed=3)
    found.trouble = "they died"

    assert (4, True) == (found.exit_code, "they died" in found.verdict)


def test_terminal_gets_no_text_of_a_program_raw() -> None:
    """What workers and runs said is escaped, and no line of it begins as a command of GitHub's would."""
    found = result([problem(0, message="\x1b[31m")], passed=3)
    found.notes["\x1b[2Jnote"] = 3
    troubled = result(passed=3)
    troubled.trouble = "they printed:\n::error::\x07"

    said = [*command.lines(found), *command.lines(troubled)]

    assert [] == [line for line in said if not line.isprintable()]
    assert "  | ::error::\\x07" in said
    progress = StringIO()
    Plain(Counts(None, None), progress).problem(found.problems[0])
    assert "failed: \\x1b[31m" in progress.getvalue()


def test_junit() -> None:
    """Targets that passed are a case each, problems one each, of the right kind; counts agree."""
    found = result([problem(0), problem(1, Fate.CRASHED), problem(2, Fate.HUNG)], passed=5)
    (suite,) = ET.fromstring(junit.of(found))  # noqa: S314 - our own

    assert ("4", "1", "2", "0") == tuple(
        suite.get(n) for n in ("tests", "failures", "errors", "skipped")
    )
    cases = suite.findall("testcase")
    assert ["m:f", "m:g[seed 7]", "m:g[seed 8]", "m:g[seed 9]"] == [
        case.get("name") for case in cases
    ]
    assert [None, "failure", "error", "error"] == [
        next((c.tag for c in case), None) for case in cases
    ]
    assert "again: stage3 stress m:g --seed 8" in (cases[2][0].text or "")
    assert "7" == next(
        each.get("value") for each in suite.iter("property") if each.get("name") == "seed"
    )


def test_junit_without_a_run() -> None:
    """A target of which nothing ran is skipped, not passed."""
    (suite,) = ET.fromstring(junit.of(result(passed=1)))  # noqa: S314 - our own

    assert ["m:g"] == [
        case.get("name") for case in suite.findall("testcase") if case.find("skipped") is not None
    ]
    assert ("2", "1") == (suite.get("tests"), suite.get("skipped"))


@given(st.text(st.characters(exclude_categories=()), max_size=60))
def test_any_text(text: str) -> None:
    """Whatever a program prints, XML and HTML stay whole, and nothing becomes a workflow command."""
    found = result([problem(0, message=text + NASTY, where=f"{text}.py:3")])

    ET.fromstring(junit.of(found).encode("utf-8"))  # noqa: S314 - our own
    html = page.of(found)
    assert "<script" not in html
    assert html.count("<") == page.of(result([problem(0, message="x", where="y.py:3")])).count("<")
    for line in github.commands(found):
        assert line.isprintable()
        assert 1 == len([at for at in range(len(line)) if line.startswith("::error ", at)])


def test_annotations_are_bounded() -> None:
    """Ten errors and ten warnings, the last error saying how many more; the place is relative to the workspace."""
    found = result([problem(at, where=f"{Path.cwd()}/pack/mod.py:12") for at in range(25)])
    found.notes.update({f"note {at}": at + 1 for at in range(30)})
    lines = github.commands(found)

    assert ([10, 10]) == [
        sum(line.startswith(f"::{kind} ") for line in lines) for kind in ("error", "warning")
    ]
    place, _, text = lines[0].removeprefix("::error ").partition("::")
    assert "file=pack/mod.py,line=12,title=stage3 stress%3A m%3Ag" == place
    assert text.startswith("run 0 (seed 7) failed: no%0Aagain: ")
    assert "16 more runs did not pass" in lines[9]


def test_summary_is_bounded() -> None:
    """A summary never exceeds its room, keeps whole lines, and says that something is missing."""
    found = result([problem(at, message=NASTY) for at in range(900)])
    whole = github.summary(found, github.MOST_SUMMARY)
    cut = github.summary(found, 4000)

    assert whole.count(b"\n| ") == 901
    assert len(cut) <= 4000
    assert whole.startswith(cut.rpartition(b"\n(more")[0])
    assert b"see the artifacts" in cut
    assert b"" == github.summary(found, 10)
    assert b"<script" not in whole


def test_publish_on_github(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """On GitHub the page, the annotations and the summary are written; the summary leaves room for what is there."""
    summary = tmp_path / "summary.md"
    summary.write_text("before\n")
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))

    ci.publish(result([problem(0)], folder=tmp_path))

    assert "::error title=stage3 stress%3A m%3Ag::run 0" in capsys.readouterr().out
    assert summary.read_text().startswith("before\n### stage3 stress\n")
    assert "default-src 'none'" in (tmp_path / "index.html").read_text()


def test_publish_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Off GitHub nothing of it is printed; the page is there."""
    monkeypatch.delenv("GITHUB_ACTIONS", raising=False)

    ci.publish(result(passed=2, folder=tmp_path))

    assert ("", ["index.html"]) == (
        capsys.readouterr().out,
        [path.name for path in tmp_path.iterdir()],
    )


def test_page_links_stay_inside(tmp_path: Path) -> None:
    """Kept files are linked relative to the folder."""
    (tmp_path / "run-000000").mkdir()
    (tmp_path / "run-000000" / "std out.txt").write_text("x")
    shown = Problem(
        0, 7, "m:g", Fate.HUNG, "m", 1.0, "again", folder="run-000000", files=("hang-1.html",)
    )
    html = page.of(result([shown], folder=tmp_path))

    assert 'href="hang-1.html"' in html
    assert 'href="run-000000/std%20out.txt"' in html
