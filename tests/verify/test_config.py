"""`[tool.stage3]`: what it sets, what it refuses, and that the command line wins."""

from __future__ import annotations

import argparse
import json
from typing import TYPE_CHECKING

import pytest

from verify import UsageError, check, cli, config
from verify.config import Config

if TYPE_CHECKING:
    from pathlib import Path

BODY = """
import threading

def body():
    one, two = threading.Lock(), threading.Lock()
    def take(first, second):
        with first, second:
            pass
    threads = [threading.Thread(target=take, args=pair) for pair in ((one, two), (two, one))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
"""


def written(directory: Path, text: str) -> Path:
    file = directory / "pyproject.toml"
    file.write_text(text)
    return file


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory with a module to explore, which is the working directory."""
    (tmp_path / "config_abba.py").write_text(BODY)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


def test_every_key(tmp_path: Path) -> None:
    """Each key is taken; a relative output lies beside the file."""
    file = written(
        tmp_path,
        '[tool.stage3]\nexecutions = 50\nseconds = 2\nstrategy = "pct"\nseed = 7\n'
        'granularity = "gil"\npackages = ["bank", "bank.core"]\noutput = "traces"\n',
    )

    expected = Config(50, 2.0, "pct", 7, "gil", ("bank", "bank.core"), tmp_path / "traces")
    assert expected == config.load(file)


@pytest.mark.parametrize(
    ("given", "options", "seconds"),
    [
        ("", [], config.SHRINK_S),
        ("shrink = 0", [], 0.0),
        ("shrink = 7", [], 7.0),
        ("shrink = 7", ["--shrink", "3"], 3.0),
        ("shrink = 7", ["--no-shrink"], 0.0),
    ],
)
def test_shrink(tmp_path: Path, given: str, options: list[str], seconds: float) -> None:
    """How long finds are shrunk: the command line wins over the file, the file over two seconds."""
    parser = argparse.ArgumentParser()
    cli.add_parsers(parser.add_subparsers())
    args = parser.parse_args(["explore", "a:b", *options])
    cli.fill_in(args, config.load(written(tmp_path, f"[tool.stage3]\n{given}\n")))

    assert seconds == args.shrink


def test_shrink_of_nothing(tmp_path: Path) -> None:
    """Seconds below zero are refused, by the file and by a call."""
    with pytest.raises(
        UsageError, match=r"shrink is -1; give a number of seconds, 0 for not at all"
    ):
        config.load(written(tmp_path, "[tool.stage3]\nshrink = -1\n"))
    with pytest.raises(UsageError, match=r"shrink is -1; give seconds, 0 for not at all"):
        check(lambda: None, shrink=-1)


def test_backend(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The file can ask for OS threads; a flag wins."""
    written(project, '[tool.stage3]\nexecutions = 5\nbackend = "threads"\n')

    assert "threads" == explored(capsys)["backend"]
    assert "greenlets" == explored(capsys, "--backend", "greenlets")["backend"]


def test_nearest_file_above(tmp_path: Path) -> None:
    """The nearest file counts, also from a directory below it; without one there are no defaults."""
    written(tmp_path, "[tool.stage3]\nseed = 3\n")
    below = tmp_path / "a" / "b"
    below.mkdir(parents=True)

    assert Config(seed=3) == config.find(below)

    written(below, "[project]\n")
    assert Config() == config.find(below)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (
            "execution = 5",
            "has no key 'execution'; it has: executions, seconds, confidence, bug_depth, unseen, strategies, strategy",
        ),
        ("executions = 0", "executions is 0; give a whole number above zero"),
        ("executions = true", "executions is True; give a whole number above zero"),
        ('executions = "9"', "executions is '9'; give a whole number above zero"),
        ("seconds = nan", "seconds is nan; give a number above zero"),
        ("seconds = false", "seconds is False; give a number above zero"),
        ('backend = "fibres"', 'backend is \'fibres\'; give one of "greenlets", "threads"'),
        ('strategy = "luck"', "strategy is 'luck'; give the name of a strategy"),
        ("seed = 1.5", "seed is 1.5; give a whole number"),
        ('granularity = "fine"', 'granularity is \'fine\'; give one of "sync", "gil"'),
        ('packages = "bank"', "packages is 'bank'; give a list of package names"),
        ('packages = ["bank", ""]', "packages is ['bank', '']; give a list of package names"),
        ("packages = [3]", "packages is [3]; give a list of package names"),
        ('output = ""', "output is ''; give a directory"),
    ],
)
def test_refused(tmp_path: Path, line: str, said: str) -> None:
    """An unknown key or a value of the wrong kind is named, with the file and what to write."""
    file = written(tmp_path, f"[tool.stage3]\n{line}\n")

    with pytest.raises(UsageError) as caught:
        config.load(file)

    assert str(caught.value).startswith(f"{file}: [tool.stage3]")
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[tool", "is no TOML"),
        ("\udcff", "is no TOML"),
        ("[tool]\nstage3 = 3", "[tool.stage3] is 3; make it a table"),
    ],
)
def test_no_table(tmp_path: Path, text: str, said: str) -> None:
    """A file that is no TOML, or has something else under that name, is refused."""
    file = tmp_path / "pyproject.toml"
    file.write_text(text, errors="surrogateescape")

    with pytest.raises(UsageError) as caught:
        config.load(file)

    assert said in str(caught.value)


def explore(*flags: str) -> int:
    """Run `stage3 explore` on the project's function."""
    parser = argparse.ArgumentParser()
    cli.add_parsers(parser.add_subparsers())
    return cli.run_explore(parser.parse_args(["explore", "config_abba:body", *flags]))


def explored(capsys: pytest.CaptureFixture[str], *flags: str) -> dict[str, object]:
    explore("--json", *flags)
    found: dict[str, object] = json.loads(capsys.readouterr().out)
    return found


def test_explore_takes_the_defaults(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`stage3 explore` runs with what the file sets, and writes where it says."""
    written(
        project,
        '[tool.stage3]\nexecutions = 60\nseed = 5\nstrategy = "pct"\noutput = "out"\ngranularity = "gil"\n',
    )

    found = explored(capsys)

    taken = [found[key] for key in ("executions", "seed", "strategy", "granularity")]
    assert [60, 5, "pct", "gil"] == taken
    assert 1 == len(list((project / "out").glob("*.json")))


def test_flags_win(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A flag wins over the file; a budget given replaces both of the file's."""
    written(project, "[tool.stage3]\nseconds = 0.001\nseed = 5\n")

    found = explored(capsys, "--executions", "300", "--seed", "1")

    assert (300, 1) == (found["executions"], found["seed"])


def test_error_is_exit_code_2(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A bad file is one line and exit code 2, before anything is run."""
    written(project, "[tool.stage3]\nspeed = 5\n")

    code = explore()
    streams = capsys.readouterr()

    assert (2, "") == (code, streams.out)
    assert "stage3 explore: " in streams.err
    assert "has no key 'speed'" in streams.err
    assert 1 == len(streams.err.splitlines())
    assert not (project / "stage3-out").exists()
