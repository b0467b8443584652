"""Migration jobs: figures over time, plots, hangs that the figures show, and the hang of July 2012 in small."""

from __future__ import annotations

import json
import signal
from dataclasses import asdict, replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stress import cli
from stress.migration import campaign, guestperf, plots, series, vinod
from stress.migration.campaign import Job, Run
from stress.migration.series import Sample, SeriesError

if TYPE_CHECKING:
    from pathlib import Path
    from types import ModuleType

JOB = Job("specjbb", "rfc_v1", 1 << 30)
SAMPLE = Sample(
    seconds=0.1,
    status="active",
    running=True,
    transferred=1 << 20,
    remaining=1 << 22,
    buffered=0,
    syncs=[],
    left=[],
    stores=100,
    bandwidth=1e6,
    threshold=1000,
)
STOPPED = replace(
    SAMPLE, seconds=0.3, running=False, syncs=[9, 4], left=[3, 12_000, 100], stores=300
)


def write(path: Path, *samples: Sample) -> Path:
    path.write_text("".join(json.dumps(asdict(sample)) + "\n" for sample in samples))
    return path


def test_series_come_back(tmp_path: Path) -> None:
    """A series is read back whole; a last line that was not finished is left out."""
    path = write(tmp_path / "s", SAMPLE, STOPPED)
    with path.open("a") as file:
        file.write('{"seconds": 0.4, "sta')

    assert [SAMPLE, STOPPED] == series.load(path)
    assert STOPPED == series.last(path)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[]\n", "line 1, is no sample"),
        ("{}\n", "line 1, is no sample"),
        ("nonsense\n", "is no sample"),
    ],
)
def test_bad_series(tmp_path: Path, text: str, said: str) -> None:
    """A file that is no series is refused by name and line."""
    path = tmp_path / "s"
    path.write_text(text)
    with pytest.raises(SeriesError, match=said):
        series.load(path)
    with pytest.raises(SeriesError, match="cannot be read"):
        series.load(tmp_path / "none")


def test_a_wrong_field_is_named(tmp_path: Path) -> None:
    """So is the field that has the wrong kind of value."""
    path = tmp_path / "s"
    path.write_text(json.dumps({**asdict(SAMPLE), "stores": "many"}) + "\n")
    with pytest.raises(SeriesError, match="stores is 'many'"):
        series.load(path)


@given(st.binary(max_size=300))
def test_any_series_file(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    """Whatever a file holds, it is read or refused."""
    path = tmp_path_factory.mktemp("fuzz") / "s"
    path.write_bytes(data)
    said = str(path)
    try:
        series.load(path)
    except SeriesError as error:
        said = str(error)

    assert str(path) in said


def test_plots_are_self_contained() -> None:
    """The page loads nothing, escapes what it shows, and marks syncs and the guest's stop."""
    ended = Run(replace(JOB, design="<b>"), "hung", (SAMPLE, STOPPED), cause="<script>", compared=0)

    page = plots.page("t & t", [ended], [plots.curve("share", "pages/s", [(1, 0.0), (2, 1.0)])])

    assert "default-src 'none'" in page
    assert ("<b>" in page, "<script>" in page, "http" in page.replace("http-equiv", "")) == (
        False,
    ) * 3
    assert (1, 1 * len(plots.PANELS)) == (
        page.count('class="dot" cx="710'),
        page.count('class="sync"'),
    )
    assert page.count('class="still"') == len(plots.PANELS)


def run_of(job: Job, *, hung: bool, left: int) -> Run:
    sample = replace(STOPPED, left=[1, left, 0], syncs=[job.ram // 4096])
    return Run(
        job, "hung" if hung else "completed", (SAMPLE, sample), cause="spin; holds Machine.big_lock"
    )


def test_claims_are_judged() -> None:
    """A claim holds only if what was measured says so."""
    job = replace(JOB, drain_limit=1000)
    good = run_of(job, hung=True, left=2000)
    done = replace(run_of(job, hung=False, left=10), compared=job.ram // 4096)
    early = replace(good, samples=(SAMPLE, replace(STOPPED, syncs=[7])))

    assert [True] * 5 == [claim.holds for claim in vinod.judge(good, done)]
    assert [False] * 5 == [
        claim.holds
        for claim in vinod.judge(
            replace(run_of(job, hung=False, left=500), cause="", samples=early.samples[:1]),
            replace(done, compared=3),
        )
    ]
    assert [True, True] == [claim.holds for claim in vinod.judge_points([good, done])]
    assert [False, False] == [
        claim.holds for claim in vinod.judge_points([run_of(job, hung=False, left=2000)])
    ]


@pytest.mark.parametrize(("command", "module"), [("guestperf", guestperf), ("vinod-2012", vinod)])
def test_sigterm_is_an_interrupt(
    command: str, module: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """CI that cancels a campaign ends the job under way by its clean-up: code 130, not a death in the middle."""
    cleaned: list[str] = []

    def job(job: Job, _directory: Path) -> Run:
        try:
            signal.raise_signal(signal.SIGTERM)
        finally:
            cleaned.append(job.design)
        raise AssertionError

    monkeypatch.setattr(module, "run_job", job)
    before = signal.signal(signal.SIGTERM, lambda _number, _frame: None)
    try:
        code = cli.main([command, "--ram", "1G", "--output", str(tmp_path)])
        after = signal.getsignal(signal.SIGTERM)
    finally:
        signal.signal(signal.SIGTERM, before)

    assert (130, 1) == (code, len(cleaned))
    assert after not in {signal.SIG_DFL, signal.SIG_IGN}


def test_curve_that_cannot_be_run_is_refused_before(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The curves' guests are an eighth of the given one: too small a one is bad input, not a failed claim."""
    words = ["--ram", "16K", "--vcpus", "1", "--output", str(tmp_path / "out")]

    assert 2 == cli.main(["vinod-2012", *words])
    assert "for the curves an eighth of --ram is taken: 0 bytes" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("converged", "status"), [(True, "failed"), (False, "not converged")])
def test_status_is_a_field_of_the_result(tmp_path: Path, *, converged: bool, status: str) -> None:
    """Whether a migration converged is not read out of its error's words."""
    printed = tmp_path / "printed"
    printed.write_text(
        json.dumps({"error": "not converged", "converged": converged, "figures": {}})
    )

    ended = campaign._ended(JOB, 1, printed, write(tmp_path / "s", SAMPLE), None)

    assert (status, "not converged") == (ended.status, ended.error)


def test_curves_are_shares_of_hung_runs() -> None:
    """Each point is the share of its runs that hung."""
    slow, fast = (replace(JOB, rate=rate) for rate in (vinod.RATES[0], vinod.RATES[-1]))
    points = [
        run_of(slow, hung=False, left=1),
        run_of(fast, hung=True, left=1),
        run_of(fast, hung=False, left=1),
        run_of(replace(fast, slow=4.0), hung=False, left=1),
    ]

    assert [(slow.rate, 0.0), (fast.rate, 0.5)] == vinod.shares(points, slowed=False)
    assert [(1.0, 0.5), (4.0, 0.0)] == vinod.shares(points, slowed=True)
    assert 2 == len(vinod.curves(points))


@pytest.mark.slow
def test_loads_with_both_designs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A load is migrated by two designs, compared, sampled and plotted."""
    words = [
        "guestperf",
        "--shape",
        "idle",
        "--ram",
        "32M",
        "--max-bandwidth",
        "1G",
        "--downtime-limit",
        "0.3",
    ]

    code = cli.main([*words, "--json", "--output", str(tmp_path)])

    runs = json.loads(capsys.readouterr().out)
    assert (0, ["completed", "completed"]) == (code, [each["status"] for each in runs])
    assert [8192, 8192] == [each["compared"] for each in runs]
    assert 8192 == runs[1]["syncs"][0]  # every page is sent again by the design as posted
    assert "idle-rfc_v1" in (tmp_path / "index.html").read_text()


@pytest.mark.slow
@pytest.mark.timeout(150)
def test_the_hang_in_small(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """On a guest of 4 GiB: the design as posted hangs as reported, the corrected one completes."""
    code = cli.main(["vinod-2012", "--ram", "4G", "--no-curves", "--output", str(tmp_path)])

    printed = capsys.readouterr().out
    assert (0, 5) == (code, printed.count("ok: ")), printed
    assert "spin: migration computes" in printed
    assert next(tmp_path.glob("hang-*.json")).stat().st_size > 1000


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["guestperf", "--design", "fast"], "unknown design 'fast'"),
        (["guestperf", "--vcpus", "0"], "vcpus 0"),
        (
            ["guestperf", "--output", "pyproject.toml"],
            "--output pyproject.toml: pyproject.toml is no directory",
        ),
        (
            ["vinod-2012", "--output", "/dev/null/x"],
            "--output /dev/null/x: /dev/null is no directory",
        ),
        (["vinod-2012", "--runs", "0"], "--runs 0"),
        (["vinod-2012", "--ram", "5000"], "5000 bytes of RAM"),
    ],
)
def test_bad_input(words: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    """What cannot be run is refused before anything runs."""
    assert 2 == cli.main(words)
    assert said in capsys.readouterr().err


@pytest.mark.slow
def test_a_run_that_prints_nothing_is_a_failure(tmp_path: Path) -> None:
    """A job that ends without a result says so, with its code."""
    ended = campaign.run(replace(JOB, shape="nap", ram=1 << 20, time_limit=5.0), tmp_path)

    assert ("failed", True) == (ended.status, "ended with code 2" in ended.error)
