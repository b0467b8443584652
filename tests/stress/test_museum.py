"""The museum: stories that keep their form, defects that leave nothing behind, a corpus that replays."""

from __future__ import annotations

import inspect
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mig.bitmap import Bitmap
from stress import museum
from stress.cli import main
from stress.migration import defects, exhibits, pieces
from stress.migration.defects import frame
from traces.errors import InputError
from traces.piece import Piece, piece_from, piece_to
from traces.token import Token, encode
from verify import UsageError
from verify.strategies import STRATEGIES

IDS = list(defects.load())
MOST_LINES = 48
TOKEN = encode(Token("0" * 16, "", "sync", (1, 2), b"", 2, bytes(8)))


@pytest.mark.parametrize("name", IDS)
def test_story(name: str) -> None:
    """A defect is short, has a story with upstream and fix, and a scenario that there is."""
    defect = defects.find(name)
    text = Path(inspect.getfile(__import__(_module(name), fromlist=["DEFECT"]))).read_text()
    assert len(text.splitlines()) <= MOST_LINES
    assert defect.part("Upstream").endswith(".")
    assert defect.part("Fix").endswith(".")
    assert all(": " in step for step in defect.mechanism)
    assert defect.scenario in exhibits.SCENARIOS


def _module(name: str) -> str:
    wanted = f"{name[0].lower()}{int(name[1:]):02}_"
    folder = Path(defects.__file__).parent
    return f"stress.migration.defects.{next(folder.glob(f'{wanted}*.py')).stem}"


@pytest.mark.parametrize("name", IDS)
def test_drift(name: str) -> None:
    """The steps that a defect replaces are those that it was written against."""
    assert defects.find(name).drift == ()


def test_drift_is_told() -> None:
    """A step that has changed is named, with what to write."""
    step = frame.Step(Bitmap, "test", Bitmap.set, "00000000")
    assert step.drift.startswith("mig.bitmap.Bitmap.test has changed: see whether")
    assert frame.digest(Bitmap.test) in step.drift


def test_digest() -> None:
    """Comments, docstrings and layout do not change a step; what it does, does."""

    def one(at: int) -> int:
        """Something."""
        return at + 1  # more

    first = frame.digest(one)

    def one(at: int) -> int:  # type: ignore[no-redef] # the same step written otherwise
        return (
            at
            + 1
        )  # fmt: skip

    second = frame.digest(one)

    def one(at: int) -> int:  # type: ignore[no-redef] # another step
        return at + 2

    assert first == second
    assert first != frame.digest(one)


@pytest.mark.parametrize("name", IDS)
def test_nothing_is_left_on(name: str) -> None:
    """Inside the block the steps are the defect's, after it the engine's own, also when the block raises."""
    defect = defects.find(name)
    with pytest.raises(ZeroDivisionError), defects.seeded(defect) as design:  # noqa: PT012 - the block is what raises
        assert defect.design_name == design
        assert [step.by for step in defect.steps] == [
            vars(step.owner)[step.name] for step in defect.steps
        ]
        raise ZeroDivisionError
    assert [step.whole for step in defect.steps] == [
        vars(step.owner)[step.name] for step in defect.steps
    ]


@pytest.mark.parametrize("name", IDS)
def test_corpus(name: str) -> None:
    """A defect's interleaving fails as recorded, step for step; on the engine without the defect all is well."""
    defect = defects.find(name)
    piece = pieces.kept(defect)
    run = pieces.again(piece)[0]
    assert pieces.is_identical(piece, run), (
        f"{run.difference or run.finding}; if the engine has changed, record it anew:"
        f" python -m bench.museum --record {name}"
    )
    assert defect.matches(piece.cause, piece.key, piece.message)
    whole = pieces.on_whole_engine(defect, piece)
    assert (None, None) == (whole.finding, whole.abort)


def test_find() -> None:
    """Any id of a defect finds it, in any case; an unknown one is refused with those there are."""
    assert defects.find("a3") is defects.find("B02")
    with pytest.raises(KeyError, match="no defect 'Z9'"):
        defects.find("Z9")
    with pytest.raises(UsageError, match="no defect 'Z9'"):
        exhibits.exhibit("Z9")


def test_story_of_no_form() -> None:
    """A story without ids, upstream, fix or steps is refused."""
    with pytest.raises(ValueError, match="lacks"):
        frame.Defect("A1. Something.", "migration", "spin", "drain")


def test_show_and_replay(capsys: pytest.CaptureFixture[str]) -> None:
    """The visitor sees story, interleaving, explanation, fix, and the whole engine beside it."""
    assert main(["museum", "ls"]) == museum.OK
    assert main(["museum", "show", "a3"]) == museum.OK
    assert main(["museum", "replay", "a3"]) == museum.OK
    out = capsys.readouterr().out
    for words in (
        "upstream:",
        "the interleaving, run now",
        "why it fails",
        "fix:",
        "100 of 100 replays identical",
    ):
        assert words in out
    assert main(["museum", "show", "z9"]) == 2
    assert "no defect 'z9'" in capsys.readouterr().err


def test_hunt(capsys: pytest.CaptureFixture[str]) -> None:
    """A hunt finds the defect, and says of what class it is."""
    assert main(["museum", "hunt", "h8", "--seconds", "20"]) == museum.DIFFERENT
    assert "(the class it is)" in capsys.readouterr().out


@given(
    st.builds(
        Piece,
        st.text(max_size=20),
        st.just(TOKEN),
        st.text(max_size=20),
        st.lists(st.text(max_size=9), max_size=4).map(tuple),
        st.text(max_size=20),
        st.lists(st.text(max_size=9), max_size=4).map(tuple),
    )
)
def test_piece_round_trip(piece: Piece) -> None:
    """A piece survives its file."""
    assert piece == piece_from(piece_to(piece))


@given(
    st.text(max_size=60)
    | st.dictionaries(st.sampled_from(["target", "token", "key"]), st.integers()).map(str)
)
def test_piece_of_anything(text: str) -> None:
    """What is no piece is refused by an input error."""
    with pytest.raises(InputError):
        piece_from(text)


def test_every_strategy_can_hunt() -> None:
    """A hunt takes every strategy there is."""
    defect = defects.find("A3")
    found = {name: pieces.hunt(defect, name, executions=3).executions > 0 for name in STRATEGIES}
    assert dict.fromkeys(STRATEGIES, True) == found
