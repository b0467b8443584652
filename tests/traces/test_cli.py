"""`stage3 trace`: what it prints, and one line with exit code 2 for bad input."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from tests.traces.values import deadlock, staged
from traces.cli import add_parser, run, window
from traces.store import load, save
from traces.text import show


def trace(*words: str) -> int:
    """Run `stage3 trace` with `words` and return its exit code."""
    parser = argparse.ArgumentParser("stage3")
    add_parser(parser.add_subparsers())
    return run(parser.parse_args(["trace", *words]))


def test_show(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`show` prints the text view of the file, as wide as the terminal."""
    path = save(deadlock(), tmp_path)
    assert 0 == trace("show", str(path))
    assert show(deadlock(), width=80, file=str(path)) == capsys.readouterr().out


def test_show_window(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`--steps` and `--no-stacks` reach the view."""
    path = save(deadlock(), tmp_path)
    assert 0 == trace("show", str(path), "--steps", "2:4", "--no-stacks")
    expected = show(deadlock(), first=2, last=4, stacks=False, width=80)
    assert expected == capsys.readouterr().out


@pytest.fixture(autouse=True)
def _eighty_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")


def test_check(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`check` says what the file is."""
    path = save(deadlock(), tmp_path)
    assert 0 == trace("check", str(path))
    assert f"{path}: a valid trace of 6 steps, deadlock\n" == capsys.readouterr().out


def test_ls(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`ls` gives each file a line with its verdict, or why it cannot be read."""
    assert 0 == trace("ls", str(tmp_path))
    assert f"no trace in {tmp_path}\n" == capsys.readouterr().out
    path = save(deadlock(), tmp_path)
    (tmp_path / "bad.json").write_text("{}")
    assert 0 == trace("ls", str(tmp_path))
    bad = 'bad.json  unreadable: this is not a "stage3-trace" file'
    assert [bad, f"{path.name}  deadlock  6 steps"] == capsys.readouterr().out.splitlines()


def test_html(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`html` writes the page beside the trace, or where it is told, and names it."""
    path = save(deadlock(), tmp_path)
    assert 0 == trace("html", str(path))
    assert f"{path.with_suffix('.html')}\n" == capsys.readouterr().out
    assert 0 == trace("html", str(path), "-o", str(tmp_path / "new" / "x.html"))
    expected = path.with_suffix(".html").read_text()
    assert expected == (tmp_path / "new" / "x.html").read_text()


def test_html_of_two(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With two traces `html` sets them side by side."""
    one, other = save(deadlock(), tmp_path), save(staged(), tmp_path)
    assert 0 == trace("html", str(one), str(other))
    (name,) = capsys.readouterr().out.splitlines()
    assert f"{one.stem}-beside-{other.stem}.html" == Path(name).name
    assert "Two runs, aligned by operation" in Path(name).read_text()


def test_not_over_the_trace(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A trace is never written over by its own page or export."""
    path = save(deadlock(), tmp_path)
    for words in (["html", str(path)], ["export", "--perfetto", str(path)]):
        assert 2 == trace(*words, "-o", str(path))
        assert f"stage3 trace: {path}: is the trace itself; " in capsys.readouterr().err
    assert deadlock() == load(path)


def test_diff(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`diff` prints the comparison."""
    one, other = save(deadlock(), tmp_path), save(staged(), tmp_path)
    assert 0 == trace("diff", str(one), str(other))
    lines = capsys.readouterr().out.splitlines()
    assert f"< {one}: deadlock, 6 steps" == lines[0]
    assert "6 steps, the same in the same order" == lines[2]


def test_index(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`ls --html` writes the index and names it."""
    path = save(deadlock(), tmp_path)
    assert 0 == trace("ls", "--html", str(tmp_path))
    assert str(tmp_path / "index.html") == capsys.readouterr().out.splitlines()[-1]
    assert path.name in (tmp_path / "index.html").read_text()


@pytest.mark.parametrize("action", ["show", "check", "ls", "html"])
def test_missing(tmp_path: Path, capsys: pytest.CaptureFixture[str], action: str) -> None:
    """A missing file or directory is one line on standard error and exit code 2."""
    assert 2 == trace(action, str(tmp_path / "gone"))
    output = capsys.readouterr()
    assert "" == output.out
    assert output.err.startswith(f"stage3 trace: {tmp_path}/gone: cannot be ")
    assert 1 == output.err.count("\n")


def test_hostile_message(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An error never passes a file's control characters on to the terminal."""
    assert 2 == trace("show", str(tmp_path / "\x1b[2J"))
    assert "\x1b" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "steps"), [("2:4", (2, 4)), (":4", (None, 4)), ("2:", (2, None)), ("3", (3, 3))]
)
def test_steps(text: str, steps: tuple[int | None, int | None]) -> None:
    """A window may leave either end out; a lone number is one step."""
    assert steps == window(text)


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("x", "argument --steps: 'x' is not a step number: say for example 10:20"),
        ("1:2:3", "argument --steps: '2:3' is not a step number: say for example 10:20"),
        ("9" * 30, f"argument --steps: '{'9' * 30}' is not a step number"),
        ("4:2", "argument --steps: '4:2' ends before it begins: say 2:4"),
    ],
)
def test_bad_steps(text: str, error: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A window that is none is refused by argparse with exit code 2."""
    with pytest.raises(SystemExit) as caught:
        trace("show", "file", "--steps", text)
    assert 2 == caught.value.code
    assert error in capsys.readouterr().err
