"""The CI templates of docs/ci: plain YAML, commands that parse, a corpus loop that does what it says."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from pathlib import Path

import pytest

from stress.cli import parse

ROOT = Path(__file__).parents[1]
TEMPLATES = sorted((ROOT / "docs" / "ci").glob("*.yml"))
KEY = re.compile(r"(- )?([\w.-]+|\"[^\"]*\"):( .*)?")
BLOCK = re.compile(r".*[|>]-?")

template = pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.stem)


def scripts(text: str) -> list[str]:
    """Return the shell texts: what follows `run:` or stands below `script:`, blocks put together as YAML does."""
    found: list[str] = []
    lines = text.splitlines()
    for at, line in enumerate(lines):
        head = re.fullmatch(r"(\s*)(?:- (?:run: )?|run: )(.*)", line)
        if head is None or KEY.fullmatch(head.group(2)):
            continue
        if not BLOCK.fullmatch(head.group(2)):
            found.append(head.group(2))
            continue
        inside = []
        for other in lines[at + 1 :]:
            if other.strip() and len(other) - len(other.lstrip()) <= len(head.group(1)):
                break
            inside.append(other.strip())
        found.append((" " if head.group(2).startswith(">") else "\n").join(inside))
    return found


def commands(text: str) -> list[list[str]]:
    """Return the words of each `stage3` command, what CI fills in replaced by 1."""
    filled = re.sub(r"\$\{\{[^}]*\}\}|\$CI_\w+", "1", "\n".join(scripts(text)))
    lines = [line.strip().partition(" || ")[0] for line in filled.splitlines()]
    return [shlex.split(line)[1:] for line in lines if line.startswith("stage3 ")]


def test_there_are_three() -> None:
    """GitHub by night and by change, GitLab for both."""
    assert ["github-change", "github-nightly", "gitlab"] == [path.stem for path in TEMPLATES]


@template
def test_plain_yaml(path: Path) -> None:
    """Every line outside a block is a comment, a key or an item, indented by pairs of spaces, no key twice in a map."""
    block: int | None = None
    seen: dict[int, set[str]] = {}
    for number, line in enumerate(path.read_text().splitlines(), 1):
        depth = len(line) - len(line.lstrip())
        if block is not None and (not line.strip() or depth > block):
            continue
        block = None
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        place = f"{path.name}:{number}: {line}"
        assert depth % 2 == 0, place
        assert "\t" not in line, place
        found = KEY.fullmatch(line.lstrip())
        assert found or line.lstrip().startswith("- "), place
        seen = {at: keys for at, keys in seen.items() if at <= depth}
        if line.lstrip().startswith("- "):
            seen = {at: keys for at, keys in seen.items() if at <= depth and at != depth + 2}
        if found is not None:
            at = depth + 2 * bool(found.group(1))
            assert found.group(2) not in seen.setdefault(at, set()), place
            seen[at].add(found.group(2))
        if BLOCK.fullmatch(line):
            block = depth


@template
def test_commands_parse(path: Path) -> None:
    """Every command in a template is one that stage3 takes."""
    found = commands(path.read_text())

    assert len(found) >= 1
    for words in found:
        args, _ = parse(words)
        assert words[0] == args.command
    kinds = {words[0] for words in found}
    assert kinds == {"github-nightly": {"stress"}, "github-change": {"replay", "explore"}}.get(
        path.stem, {"stress", "replay", "explore"}
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    "path", [path for path in TEMPLATES if path.stem != "github-nightly"], ids=lambda p: p.stem
)
@pytest.mark.parametrize(
    ("replayed", "explored", "code"), [(0, 9, 0), (1, 9, 1), (2, 0, 0), (2, 1, 1), (4, 0, 1)]
)
def test_corpus_loop(path: Path, tmp_path: Path, replayed: int, explored: int, code: int) -> None:
    """A trace that fails again fails the step; one of another text has its target searched anew."""
    corpus = tmp_path / "tests" / "corpus"
    corpus.mkdir(parents=True)
    (corpus / "a b.json").write_text('{"program": {"target": "m:f"}}')
    fake = tmp_path / "stage3"
    fake.write_text(
        f'#!/bin/sh\necho "$@" >> log\n[ $1 = replay ] && exit {replayed}\nexit {explored}\n'
    )
    fake.chmod(0o755)
    (script,) = [text for text in scripts(path.read_text()) if "stage3 replay" in text]

    done = subprocess.run(
        ["sh", "-e", "-c", script],
        cwd=tmp_path,
        env={**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"},
        check=False,
        capture_output=True,
    )

    log = (tmp_path / "log").read_text().splitlines()
    assert code == done.returncode
    assert ["replay tests/corpus/a b.json", "explore m:f --seconds 20 --first"][
        : 1 + (replayed == 2)
    ] == log
