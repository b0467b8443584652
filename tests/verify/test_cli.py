"""The command line: exit codes, one clear line for bad input, tokens that work in a fresh process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from stress.cli import main
from traces import store

ROOT = Path(__file__).parents[2]
BANK = "examples.bank:transfer"


@pytest.fixture(autouse=True)
def _in_checkout(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)


def explore_bank(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    code = main(["explore", BANK, "--executions", "200", "--json", "--output", str(tmp_path)])
    found = json.loads(capsys.readouterr().out)

    assert code == 1
    assert found["verdict"] == "found"
    (group,) = found["groups"]
    assert isinstance(group, dict)
    return group


def test_explore_finds_and_writes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A find gives exit code 1, a trace file that loads, and the share of schedules that fail."""
    group = explore_bank(tmp_path, capsys)

    assert group["cause"] == "deadlock"
    assert 0 < group["count"] < 200
    assert store.load(Path(group["trace"])).failure is not None


def test_report_is_verdict_first_and_replay_last(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The report begins with the verdict and names the line that replays it."""
    main(["explore", BANK, "--executions", "100", "--output", str(tmp_path)])
    lines = capsys.readouterr().out.strip().splitlines()

    assert lines[0] == f"found: {BANK}"
    assert any(line.startswith(f"replay: stage3 replay {BANK} s3:1:") for line in lines[-3:])


@pytest.mark.parametrize(("option", "shrunk"), [("--shrink=60", True), ("--no-shrink", False)])
def test_shrink(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], option: str, shrunk: bool
) -> None:
    """A find is shrunk and explained unless that is not wanted; the JSON says both, and keeps the token found."""
    main(["explore", BANK, "--executions", "40", "--json", option, "--output", str(tmp_path)])
    (group,) = json.loads(capsys.readouterr().out)["groups"]

    assert shrunk == (group["shrunk"] is not None) == (group["explanation"] is not None)
    if shrunk:
        assert (1, True) == (group["shrunk"]["preemptions"], group["shrunk"]["fewest"])
        assert group["shrunk"]["token"].startswith("s3:1:")
        assert 2 == len(group["explanation"]["orders"])


@pytest.mark.slow
def test_replay_is_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`replay --keep` writes trace and page of the run, and names them."""
    main(
        ["explore", BANK, "--executions", "40", "--json", "--no-shrink", "--output", str(tmp_path)]
    )
    (group,) = json.loads(capsys.readouterr().out)["groups"]

    main(["replay", BANK, group["token"], "--keep", str(tmp_path / "kept")])

    (file,) = (tmp_path / "kept").glob("replay-*.json")
    said = capsys.readouterr().out.splitlines()
    assert f"trace:  stage3 trace show {file}" in said
    assert f"page:   {file.with_suffix('.html')}" in said


@pytest.mark.slow
def test_token_replays_in_fresh_processes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The token, and the trace file, replay step for step under other hash seeds in processes of their own."""
    group = explore_bank(tmp_path, capsys)
    for seed, what in (("1", [BANK, group["token"]]), ("random", [group["trace"]])):
        run = subprocess.run(
            [sys.executable, "-m", "stress.cli", "replay", *what, "--times", "5"],
            env={**os.environ, "PYTHONHASHSEED": seed}, cwd=ROOT, capture_output=True, text=True, check=False,
        )  # fmt: skip

        assert run.returncode == 1, run.stderr
        assert "replayed 5 times: 5 identical step for step" in run.stdout


def test_not_found_says_what_it_is_worth(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing found is exit code 0 and no proof."""
    code = main(
        ["explore", "tests.verify.zoo:kept_update", "--executions", "20", "--output", str(tmp_path)]
    )
    out = capsys.readouterr().out

    assert code == 0
    assert "not found within the budget" in out
    assert "no proof" in out
    assert [] == list(tmp_path.iterdir())


def test_arguments_in_the_target(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`?count=4` is passed on as count=4."""
    main(
        [
            "explore",
            "tests.verify.zoo:philosophers?count=4",
            "--executions",
            "300",
            "--output",
            str(tmp_path),
        ]
    )

    assert "4 tasks wait for each other" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["explore", "examples.bank"], "not of the form module:function"),
        (["explore", "no.such.module:f"], "no module 'no.such.module'"),
        (["explore", "examples.bank:missing"], "has no function 'missing'; it has: transfer"),
        (["explore", "examples.bank:__doc__"], "not a function"),
        (["explore", "tests.verify.zoo:philosophers?count=x"], "count is 'x', no whole number"),
        (["explore", BANK, "--pct", "3,20,2"], "say --strategy pct"),
        (["replay", BANK, "s3:1:AAAA"], "token"),
        (["replay", BANK, "hello"], "token"),
        (["replay", BANK], "needs a token"),
        (["replay", "no-such-file.json"], "no-such-file.json"),
    ],
)
def test_bad_input(arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Bad input gives one line that names it, exit code 2, no traceback."""
    code = main(arguments)
    streams = capsys.readouterr()

    assert code == 2
    assert said in streams.err
    assert len(streams.err.strip().splitlines()) == 1
    assert "" == streams.out


@pytest.mark.parametrize("value", ["0", "-1", "nan", "inf", "soon"])
def test_bad_seconds(value: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A time that a search could not end after is refused."""
    with pytest.raises(SystemExit) as caught:
        main(["explore", BANK, f"--seconds={value}"])

    last = capsys.readouterr().err.splitlines()[-1]
    assert (2, True) == (caught.value.code, f"--seconds: {value!r} is not a number" in last)


def test_token_of_another_program(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A token is refused by a program whose text is another."""
    group = explore_bank(tmp_path, capsys)

    code = main(["replay", "tests.verify.zoo:abba", group["token"]])

    assert code == 2
    assert "recorded on another text" in capsys.readouterr().err


def test_nondeterminism_is_reported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A program that depends on something outside the schedule is inconclusive, never a plain find."""
    code = main(
        ["explore", "tests.verify.unsteady:body", "--executions", "50", "--output", str(tmp_path)]
    )

    assert code == 4
    assert "something outside the schedule decides" in capsys.readouterr().out
