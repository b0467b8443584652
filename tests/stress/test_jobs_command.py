"""The command line of a stress job: what is typed, and what is refused."""

from __future__ import annotations

import argparse
import io
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stress.cli import main, parse
from stress.jobs import command, progress, targets
from stress.jobs.noise import Noise
from stress.jobs.outcome import Problem
from stress.jobs.settings import Settings
from verify.abc import UsageError
from verify.supervise import Ended, Fate, Shard, Task, Tick


def settings(*words: str) -> Settings:
    args, _ = parse(["stress", *words])
    return command.settings_of(args)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90", 90),
        ("90s", 90),
        ("10m", 600),
        ("1h30m", 5400),
        ("0.5s", 0.5),
        ("250ms", 0.25),
        ("1d", 86400),
    ],
)
def test_durations(text: str, seconds: float) -> None:
    """Times are typed as people say them."""
    assert seconds == command.duration(text)


@given(st.text(max_size=12))
def test_duration_of_anything(text: str) -> None:
    """Any other text is refused, never more."""
    try:
        assert 0 < command.duration(text)
    except argparse.ArgumentTypeError as error:
        assert "say for example 90, 10m or 1h30m" in str(error)  # noqa: PT017 - either is right


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "nothing to run; name tests/test_x.py::test_y"),
        (["nonsense"], "target 'nonsense' is none of"),
        (["no/test_x.py::test_y"], "there is no no/test_x.py"),
        (["migration:x"], "no migration scenario 'x'; there are: migration,"),
        (["--", "no-such-command-here"], "no command 'no-such-command-here'"),
        (["a:b", "--shard", "3/2"], "shard '3/2' is not i/n"),
        (["a:b", "--slow-vcpus", "1"], "--slow-vcpus is for migration:NAME alone"),
        (["a:b", "--delays", "0.1", "--no-record"], "leave --no-record out"),
        (["a:b", "--resume", "x"], "give --seed as that job printed it"),
        (["a:b", "--resume", "/no/file", "--seed", "1"], "journal /no/file cannot be read"),
        (
            ["a:b", "--resume", "pyproject.toml", "--seed", "1"],
            "pyproject.toml is no journal of stage3",
        ),
        (["a:b", "--output", "/dev/null/x"], "--output /dev/null/x: Not a directory"),
        (["a:b", "--output", "pyproject.toml"], "--output pyproject.toml: Not a directory"),
        (["a:b", "--junit", "docs"], "--junit docs is a directory"),
        (["a:b", "--junit", "/dev/null/x"], "--junit /dev/null/x cannot be written"),
        (["a:b", "--junit", "docs/" + "n" * 300], "cannot be written: File name too long"),
        (["n" * 300 + ".py::test_it"], "there is no nnn"),
        (["n" * 300], "is none of tests/test_x.py::test_y"),
    ],
)
def test_refused(
    words: list[str], said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Everything wrong with the arguments is one line and exit code 2."""
    monkeypatch.chdir(Path(__file__).parents[2])

    code = main(["stress", *words])

    err = capsys.readouterr().err.splitlines()
    assert (2, 1) == (code, len(err))
    assert said in err[0]


def test_refusal_leaves_no_file(tmp_path: Path) -> None:
    """A job that is refused has not made the JUnit file, nor its directory."""
    file = tmp_path / "new" / "j.xml"
    words = ["--junit", str(file), "--output", "/dev/null/x", "--count", "1"]

    assert (2, False) == (main(["stress", "a:b", *words]), file.parent.exists())


@pytest.mark.parametrize(
    "words",
    [
        "--count 0", "--count x", "--count 99999999999999", "--duration 0", "--duration 1x", "--workers 0",
        "--workers 257", "--seed -1", "--seed 4294967296", "--limit 0", "--limit nan", "--limit inf",
        "--delays 1.5", "--delays -1", "--load -1", "--load 999", "--switch-interval x", "--slow-vcpus 11", "--count ²",
    ],
)  # fmt: skip
def test_bad_values(words: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A value out of range is argparse's one line, which names the option and the value."""
    with pytest.raises(SystemExit) as caught:
        main(["stress", "a:b", *words.split()])

    last = capsys.readouterr().err.splitlines()[-1]
    assert 2 == caught.value.code
    assert f"argument {words.split(maxsplit=1)[0]}: " in last
    assert words.split()[1] in last


def test_defaults() -> None:
    """Without a budget it is 100 runs; until a failure there is no bound; the seed is drawn."""
    plain = settings("a:b")
    assert (100, None, 2, "1/1") == (plain.count, plain.duration_s, plain.workers, str(plain.shard))
    assert settings("a:b").seed != plain.seed
    assert (None, None) == (
        settings("a:b", "--until-failure").count,
        settings("a:b", "--duration", "1m").count,
    )


def test_command_behind_dashes() -> None:
    """What stands behind the first `--` is one command, options and all; only `stress` takes it so."""
    job = settings("a:b", "--seed", "1", "--", "true", "--count", "3", "--", "x y")

    assert [("function", "a:b"), ("command", "true --count 3 -- 'x y'")] == [
        (str(target.kind), target.text) for target in job.targets
    ]
    assert (
        job.again(Task(1, 7, {"target": 1}))
        == "stage3 stress --seed 7 --count 1 -- true --count 3 -- 'x y'"
    )


def test_lines_to_paste() -> None:
    """The lines that repeat a run and resume a job hold all that matters, and parse to the same job."""
    words = "a:b migration:cancelled?design=rfc_v1 --seed 5 --count 4 --limit 3 --delays 0.25 --pin --shard 2/3"
    job = settings(*words.split())

    resumed = job.resumed(Path("j l")).replace("'", "")
    assert (
        "stage3 stress a:b migration:cancelled?design=rfc_v1 --seed 5 --count 4 --shard 2/3 --resume j l"
        in resumed
    )
    assert resumed.endswith("--delays 0.25 --pin --limit 3")
    elsewhere = settings(*words.split(), "--workers", "5", "--output", "o", "--junit", "j.xml")
    assert "--resume j --workers 5 --output o --junit j.xml" in elsewhere.resumed(Path("j"))
    assert job.again(Task(3, 6, {"target": 1})) == (
        "stage3 stress 'migration:cancelled?design=rfc_v1' --seed 6 --count 1 --delays 0.25 --pin --limit 3"
    )


@given(st.integers(1, 3), st.integers(1, 9), st.integers(1, 5), st.integers(0, 2**32 - 1))
def test_runs_of_a_job(many: int, count: int, parts: int, seed: int) -> None:
    """Shards share the runs out; each target gets each seed once, and seeds stay within 32 bits."""
    named = tuple(targets.Target(targets.Kind.FUNCTION, (f"m:f{at}",)) for at in range(many))
    jobs = [
        Settings(named, Path("x"), seed=seed, count=count, shard=Shard(part, parts))
        for part in range(1, parts + 1)
    ]
    tasks = [list(job.tasks()) for job in jobs]

    assert [len(each) for each in tasks] == [job.total for job in jobs]
    pairs = sorted((task.what["target"], task.seed) for each in tasks for task in each)
    assert pairs == sorted((at, (seed + run) % 2**32) for at in range(many) for run in range(count))
    assert list(range(many * count)) == sorted(task.number for each in tasks for task in each)


def test_digest_follows_the_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A journal's digest changes with the files of the target, and the target is not imported for it."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pack").mkdir()
    (tmp_path / "pack" / "__init__.py").write_text("raise SystemExit")
    (tmp_path / "pack" / "other.py").write_text("x = 1")
    (tmp_path / "test_it.py").write_text("x = 1")
    named = targets.parse(["pack.module:f", "test_it.py::test_a"], ["sh", "test_it.py"])
    first = targets.digest(named)

    (tmp_path / "pack" / "other.py").write_text("x = 2")
    second = targets.digest(named)
    (tmp_path / "test_it.py").write_text("x = 2")

    assert 3 == len({first, second, targets.digest(named)})


def test_settings_refuse_another_journal() -> None:
    """Each setting that changes what a run means is in the journal's header; budgets are not."""
    job = settings("a:b", "--seed", "1", "--count", "5")
    other = settings("a:b", "--seed", "1", "--count", "9", "--workers", "1")

    assert job.header() == other.header()
    for words in ("--limit 3", "--pin", "--delays 0.1", "--no-record", "--shard 1/2"):
        assert job.header() != settings("a:b", "--seed", "1", *words.split()).header()


def test_no_function_named() -> None:
    """Words that only look like targets are refused."""
    for word in (":f", "m:", "m:f g", "1m:f", "m/x:f", ""):
        with pytest.raises(UsageError, match="is none of"):
            targets.parse([word])


def test_progress_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    """Plain progress has count, failures, rate and time left, in lines that come ever more seldom."""
    now = 1000.0
    monkeypatch.setattr("stress.jobs.progress.time.monotonic", lambda: now)
    stream = io.StringIO()
    plain = progress.Plain(progress.Counts(100, None), stream)
    for second in range(40):
        now = 1000.0 + second
        plain.see(Ended(Task(second, second), Fate.FAILED if second == 3 else Fate.PASSED))
        plain.see(Tick({}))

    first, *others = stream.getvalue().splitlines()
    assert "stage3 stress: 6 of 100 runs, 1 not passed, 1.2/s, 5 s so far, 1 min 18 s left" == first
    assert 2 == len(others)


def test_bar(capsys: pytest.CaptureFixture[str]) -> None:
    """On a terminal there is one live line, above it a line for each problem, none of it on standard output."""
    found = Problem(3, 4, "m:f", Fate.FAILED, "no [bold]good", 0.1, "again")
    with progress.Bar(progress.Counts(10, None)) as bar:
        bar.see(Ended(Task(3, 4), Fate.FAILED))
        bar.problem(found)

    out, err = capsys.readouterr()
    assert "" == out
    assert "m:f: run 3 (seed 4) failed: no [bold]good" in err


def test_time_left() -> None:
    """The nearer of runs and duration decides; what a journal remembers took no time."""
    counts = progress.Counts(None, 60)
    assert 50 == counts.eta_s(counts.began + 10)
    counts = progress.Counts(10, 1000)
    for number in range(5):
        counts.see(Ended(Task(number, number), Fate.PASSED, resumed=number < 3))
    assert 25 == counts.eta_s(counts.began + 10)
    assert ["59 s", "1 min 0 s", "1 h 1 min"] == [progress.span(each) for each in (59.4, 60, 3661)]


def test_noise_words() -> None:
    """Noise that is off has no words."""
    assert [] == Noise().words()
    assert [
        "--switch-interval",
        "1e-05",
        "--delays",
        "0.5",
        "--pin",
        "--load",
        "3",
        "--slow-vcpus",
        "0.1",
    ] == Noise(1e-5, 0.5, True, 3, 0.1).words()


def test_a_word_too_long_for_a_file_name() -> None:
    """A script's whole text among a command's words is no file, and no error."""
    script = targets.Target(targets.Kind.COMMAND, ("python", "-c", "pass\n" * 100_000))

    assert 16 == len(targets.digest([script]))


def test_headlines_are_bounded() -> None:
    """A run that said a lot is named in a line that a terminal can show."""
    long = Problem(3, 4, "a:b", Fate.FAILED, "x" * 10_000, 0.1, "again")

    assert 500 > len(long.headline)
