"""The example project: its README is followed, command by command, in a copy."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.verify.test_pytest_plugin import PLUGIN

ROOT = Path(__file__).parents[2]
PROJECT = ROOT / "examples" / "bank_project"
BLOCK = re.compile(r"^```(console|python)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
TOKEN = "s3:1:..."


def pytest_in(directory: Path, *arguments: str) -> str:
    """Run pytest in a process of its own; return what it printed."""
    run = subprocess.run(
        [sys.executable, "-m", "pytest", *PLUGIN, "-p", "no:cacheprovider", *arguments],
        cwd=directory,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    return run.stdout + run.stderr


def missing(printed: str, shown: list[str]) -> str:
    """Return the first shown line that does not follow in what was printed; `...` stands for anything."""
    rest = iter(printed.splitlines())
    for line in shown:
        pattern = ".*".join(re.escape(part) for part in line.split("..."))
        if not any(re.fullmatch(f"=*{pattern}=*", candidate) for candidate in rest):
            return line
    return ""


def tokens_in(printed: str) -> dict[str, str]:
    """Return the token of each test that a run has printed a replay line for."""
    return dict(re.findall(r"^replay: pytest (\S+) --replay (\S+)$", printed, re.MULTILINE))


def corrected(text: str, method: str) -> str:
    """Return `text` with its first `deposit` replaced by `method`."""
    faulty = re.compile(r"    def deposit\(.*?(?=\n\n\nclass )", re.DOTALL)
    return faulty.sub(lambda _: method.rstrip(), text, count=1)


@pytest.mark.slow
def test_readme(tmp_path: Path) -> None:
    """Found, replayed, corrected: every command of the README prints what it shows."""
    copy = tmp_path / "bank_project"
    shutil.copytree(PROJECT, copy, ignore=shutil.ignore_patterns("__pycache__", "stage3-out"))
    tokens: dict[str, str] = {}
    commands = 0
    for kind, body in BLOCK.findall((PROJECT / "README.md").read_text()):
        if kind == "python":
            accounts = copy / "bank" / "accounts.py"
            accounts.write_text(corrected(accounts.read_text(), body))
            continue
        command, *shown = body.splitlines()
        words = shlex.split(command.removeprefix("$ pytest "))
        printed = pytest_in(copy, *[tokens[words[0]] if word == TOKEN else word for word in words])
        if not tokens:
            tokens = tokens_in(printed)
            replay_the_others(copy, printed, tokens)
        commands += 1

        assert "" == missing(printed, [line for line in shown if line != "..."]), printed

    assert (5, 3) == (commands, len(tokens))


def replay_the_others(copy: Path, printed: str, tokens: dict[str, str]) -> None:
    """The lines that the README does not follow fail again in the same way as well, and print themselves."""
    for part in ("transfers", "clearing"):
        test = f"tests/test_faulty.py::test_{part}"
        (cause,) = re.findall(rf"^FAILED {test} - Failed: found: ([^:.]+)", printed, re.MULTILINE)
        again = pytest_in(copy, test, "--replay", tokens[test])

        assert f"replayed: {cause}" in again
        assert {test: tokens[test]} == tokens_in(again)
