"""Strategies of a user's own: three methods, named on the command line, in pyproject.toml or by a package."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

import verify
from stress.cli import main
from verify import Verdict, config, program, registry
from verify.abc import UsageError

from . import zoo

if TYPE_CHECKING:
    from pathlib import Path

OWN = '''
"""The last task that can go on does."""

class Backwards:
    def __init__(self, seed):
        self.runs = 0

    def new_execution(self):
        self.runs += 1
        return self.runs <= 3

    def choose(self, enabled, current):
        return enabled[-1]

    def draw(self, bound):
        return 0


class Seedless(Backwards):
    name = "no seed"

    def __init__(self):
        super().__init__(0)

    def worth(self, executions):
        return f"{executions} are worth nothing"


class Demanding(Backwards):
    def __init__(self, seed, depth):
        super().__init__(seed)


class Half:
    def choose(self, enabled, current):
        return enabled[0]


number = 3
'''

PROGRAM = """
import threading

def body():
    thread = threading.Thread(target=int)
    thread.start()
    thread.join()
"""


@pytest.fixture(name="here")
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a working directory with a strategy and a program in it; what they leave behind goes."""
    (tmp_path / "own_search.py").write_text(OWN)
    (tmp_path / "own_program.py").write_text(PROGRAM)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(registry, "_added", {})
    monkeypatch.setattr(sys, "path", list(sys.path))
    for module in ("own_search", "own_program"):
        monkeypatch.delitem(sys.modules, module, raising=False)
    return tmp_path


def test_module_and_class(here: Path) -> None:
    """A class is named as module:Class; what it lacks of name, seed and worth is filled in."""
    state = verify.check(zoo.kept_update, strategy="own_search:Backwards", seed=4)

    assert (3, Verdict.EXHAUSTED) == (state.executions, state.verdict)
    assert ("own_search:Backwards", 4) == (state.strategy, state.seed)
    assert (
        "3 executions of own_search:Backwards, which does not say what they are worth"
        == state.worth
    )


def test_own_name_and_worth(here: Path) -> None:
    """Where the class says its name and what a pass is worth, that is what reports say."""
    state = verify.check(zoo.kept_update, strategy="own_search:Seedless")

    assert ("no seed", "3 are worth nothing") == (state.strategy, state.worth)


def test_command_line(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`stage3 explore --strategy module:Class`."""
    assert 0 == main(["explore", "own_program:body", "--strategy", "own_search:Backwards"])

    assert "strategy own_search:Backwards, seed 0" in capsys.readouterr().out


def test_listed_in_pyproject(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What `[tool.stage3] strategies` lists is known by the class's name, in the file as well."""
    table = '[tool.stage3]\nstrategy = "backwards"\nstrategies = ["own_search:Backwards"]\n'
    (here / "pyproject.toml").write_text(table)

    assert 0 == main(["explore", "own_program:body"])

    assert "strategy backwards, seed 0" in capsys.readouterr().out


def test_installed(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A package offers one by the entry point `stage3.strategies`."""
    info = here / "own-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: own\nVersion: 1.0\n")
    points = "[stage3.strategies]\nbackwards = own_search:Backwards\nbroken = own_search:Nothing\n"
    (info / "entry_points.txt").write_text(points)
    monkeypatch.syspath_prepend(str(here))

    assert {"backwards", "broken", "portfolio", "pct"} <= set(registry.known())
    assert "backwards" == registry.make("backwards", 0).name
    with pytest.raises(UsageError, match="entry point own_search:Nothing cannot be loaded"):
        registry.make("broken", 0)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        (
            "luck",
            "no strategy 'luck'; there are: dfs, dpor, pct, portfolio, pos, random, reads_from, surw, urw; or name one",
        ),
        ("own search:Luck", "is not of the form module:Class"),
        ("own_search:", "is not of the form module:Class"),
        ("not_there:Luck", "strategy 'not_there:Luck': no module 'not_there' on the path"),
        ("own_search:Luck", "module 'own_search' has no 'Luck'"),
        ("own_search:Half", "lacks new_execution, draw; a strategy is a class with the methods"),
        ("own_search:number", "lacks new_execution, choose, draw"),
        ("own_search:Demanding", "let it take the seed alone, or nothing"),
    ],
)
def test_refused(here: Path, capsys: pytest.CaptureFixture[str], name: str, said: str) -> None:
    """What is wrong with a name or a class is one line, and exit code 2."""
    assert 2 == main(["explore", "own_program:body", "--strategy", name])

    (line,) = capsys.readouterr().err.splitlines()
    assert said in line


@pytest.mark.parametrize("value", ['"own_search:Backwards"', "[3]", '["own search"]'])
def test_bad_list(here: Path, value: str) -> None:
    """`strategies` is a list of module:Class."""
    (here / "pyproject.toml").write_text(f"[tool.stage3]\nstrategies = {value}\n")

    with pytest.raises(UsageError, match=r"strategies is .*; give a list of classes, like"):
        config.load(here / "pyproject.toml")


def test_list_of_a_bad_table(here: Path) -> None:
    """A table in which something else is wrong makes no strategy known."""
    (here / "pyproject.toml").write_text(
        '[tool.stage3]\nstrategies = ["own_search:Unheard"]\nseed = "x"\n'
    )

    with pytest.raises(UsageError, match="seed is 'x'"):
        config.load(here / "pyproject.toml")
    assert "unheard" not in registry.known()


def test_preemptions(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`--preemptions` bounds depth-first search, and no other strategy."""
    assert 0 == main(["explore", "own_program:body", "--strategy", "dfs", "--preemptions", "0"])
    assert "exhausted: own_program:body" in capsys.readouterr().out

    assert 2 == main(["explore", "own_program:body", "--preemptions", "0"])
    assert "say --strategy dfs with it" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("from threading import nothing", "'faulty_module' cannot be imported: cannot import name"),
        ("import faulty", "'faulty_module' cannot be imported: No module named 'faulty'; install"),
        ("def", "'faulty_module' cannot be imported: invalid syntax"),
    ],
)
def test_modules_with_a_fault(here: Path, text: str, said: str) -> None:
    """A target and a strategy whose module cannot be imported are refused in the same words."""
    (here / "faulty_module.py").write_text(f"{text}\n")

    with pytest.raises(UsageError, match=f"^module {said}"):
        program.load("faulty_module:body")
    with pytest.raises(UsageError, match=f"^strategy 'faulty_module:Search': module {said}"):
        registry.make("faulty_module:Search", 0)
