"""The museum at work: hunting a defect, keeping its minimal failing interleaving, replaying it, with and without it.

Promises: a hunt gets the scenario, the budget and the settings that all defects get, and nothing of what there is to be
found; a piece is kept only if its schedule, run again, fails in the same way. The corpus is data of package `traces`.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Final

import traces
from stress.migration import exhibits
from traces import store
from traces import token as tokens
from traces.errors import TraceError
from traces.piece import MOST_BYTES, Piece, piece_from, piece_to
from traces.text import Titles
from traces.why import why
from verify import program as programs
from verify.explore import Group, explore
from verify.explore import replay as replay_token
from verify.session import Session
from verify.strategies import STRATEGIES, Replay

if TYPE_CHECKING:
    from stress.migration.defects import Defect
    from verify.explore import Exploration, Replayed
    from verify.program import Program
    from verify.session import Outcome

CORPUS: Final = Path(traces.__file__).with_name("corpus")
EXECUTIONS: Final = 5000
SECONDS: Final = 60.0
SHRINK_S: Final = 8.0
_LINE: Final = re.compile(r"(?<=\.py):\d+")


def program(defect: Defect, *, fixed: bool = False) -> Program:
    """The scenario of a defect as a program, with it or, `fixed`, on the whole engine."""
    return programs.load(exhibits.target(defect, fixed=fixed))


def hunt(
    defect: Defect,
    strategy: str = "portfolio",
    *,
    seed: int = 0,
    executions: int = EXECUTIONS,
    seconds: float = SECONDS,
    shrink: float = 0.0,
) -> Exploration:
    """Explore a defect's scenario up to the first failure; in `shrink` seconds it is made small and explained."""
    return explore(
        program(defect),
        STRATEGIES[strategy](seed),
        executions=executions,
        seconds=seconds,
        first_only=True,
        shrink=shrink,
    )


def first(defect: Defect, state: Exploration) -> tuple[Group | None, bool]:
    """The first failure of a hunt, and whether it is of the class that the defect is."""
    groups = sorted(state.groups.values(), key=lambda group: group.first)
    if not groups or groups[0].doubt:
        return None, False
    finding = groups[0].finding
    return groups[0], defect.matches(finding.cause, finding.key, finding.message)


def piece_of(defect: Defect, group: Group) -> Piece:
    """The piece that a failure found makes."""
    lines = [] if group.trace is None else [*why(group.trace, Titles.of(group.trace))][2:]
    finding = group.finding
    return Piece(
        exhibits.target(defect),
        group.token,
        finding.cause,
        finding.key,
        finding.message,
        tuple(line for line in lines if tokens.PREFIX not in line),
    )


def path(defect: Defect, corpus: Path = CORPUS) -> Path:
    """Where a defect's piece is."""
    return corpus / f"{defect.ids[0]}.json"


def keep(defect: Defect, piece: Piece, corpus: Path = CORPUS) -> Path:
    """Write a piece, whole or not at all."""
    text = piece_to(piece)
    piece_from(text)
    store.write_whole(path(defect, corpus), text, "a piece")
    return path(defect, corpus)


def kept(defect: Defect, corpus: Path = CORPUS) -> Piece:
    """Read a defect's piece; raise `TraceError` naming the file."""
    file = path(defect, corpus)
    remedy = "record it: python -m bench.museum --record"
    try:
        return piece_from(store.read_text(file, remedy, MOST_BYTES))
    except TraceError as error:
        raise TraceError(str(file), error.problem, remedy) from None


def again(piece: Piece, times: int = 1) -> list[Replayed]:
    """Replay a piece, step for step, the first time recorded in full."""
    return replay_token(programs.load(piece.target), tokens.decode(piece.token), times=times)


def is_identical(piece: Piece, run: Replayed) -> bool:
    """Whether a replay went as recorded, and failed in the same way; lines may have moved."""
    found = run.finding
    return (
        run.identical
        and found is not None
        and _kind(found.cause, found.key) == _kind(piece.cause, piece.key)
    )


def _kind(cause: str, key: tuple[str, ...]) -> tuple[str, ...]:
    return cause, *(_LINE.sub("", part) for part in key)


def on_whole_engine(defect: Defect, piece: Piece) -> Outcome:
    """Run a piece's choices on the engine without the defect, as far as they fit."""
    token = tokens.decode(piece.token)
    healthy = program(defect, fixed=True).at(token.granularity)
    with Session(healthy) as session:
        strategy = Replay(token.choices, strict=False)
        strategy.new_execution()
        return session.run(strategy, healthy.detectors())
