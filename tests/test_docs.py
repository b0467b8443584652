"""What the README and the docs show is run: code blocks, commands and their output."""

from __future__ import annotations

import re
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from stress.cli import main

if TYPE_CHECKING:
    from collections.abc import Iterator

    from _pytest.mark.structures import ParameterSet

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(kind: str) -> list[ParameterSet]:
    return [
        pytest.param(page.name, body, id=f"{page.name}-{place}")
        for page in PAGES
        for place, (what, body) in enumerate(BLOCK.findall(page.read_text()), 1)
        if what == kind
    ]


def shown_in(printed: list[str], shown: list[str]) -> str:
    """Return the first shown line that does not follow in what was printed; `...` stands for anything."""
    rest = iter(printed)
    for line in shown:
        pattern = ".*".join(re.escape(part) for part in line.split("..."))
        if not any(re.fullmatch(pattern, candidate) for candidate in rest):
            return line
    return ""


@pytest.fixture(autouse=True)
def _forget_examples() -> Iterator[None]:
    """Leave no example imported: what is imported of its package belongs to a program's text."""
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        if name.startswith("examples."):
            del sys.modules[name]


@pytest.mark.parametrize(("page", "body"), blocks("python"))
def test_python_blocks(page: str, body: str) -> None:
    """A Python block runs; the README's first is the example file without its docstring."""
    exec(compile(body, page, "exec"), {"__name__": "docs"})  # noqa: S102 - our own pages

    if page == "README.md":
        assert (ROOT / "examples" / "bank.py").read_text().endswith(body)


@pytest.mark.parametrize(("page", "body"), blocks("console"))
def test_console_blocks(
    page: str, body: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A console block's command prints what the block shows."""
    command, *shown = body.splitlines()
    monkeypatch.chdir(ROOT)
    words = shlex.split(command.removeprefix("$ "))
    output = ["--output", "stage3-out"] if words[1] == "explore" else []

    main([*words[1:], *output])

    assert "" == shown_in(
        capsys.readouterr().out.splitlines(), [line for line in shown if line != "..."]
    )
