"""Search strategies, one algorithm a file.

A strategy is three methods (`verify.abc.Strategy`); those that the command line offers also have a
name, a seed, and a sentence that says what a pass is worth.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from verify.abc import Strategy
from verify.strategies.dfs import DFS
from verify.strategies.dpor import DPOR
from verify.strategies.pct import PCT
from verify.strategies.portfolio import Portfolio
from verify.strategies.pos import POS
from verify.strategies.random_walk import RandomWalk
from verify.strategies.reads_from import ReadsFrom
from verify.strategies.replay import Replay
from verify.strategies.surw import SURW
from verify.strategies.urw import URW

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = [
    "DFS",
    "DPOR",
    "PCT",
    "POS",
    "STRATEGIES",
    "SURW",
    "URW",
    "NamedStrategy",
    "Portfolio",
    "RandomWalk",
    "ReadsFrom",
    "Replay",
]


class NamedStrategy(Strategy, Protocol):
    """A strategy that the search loop can report on."""

    @property
    def name(self) -> str:
        """What the command line calls it."""
        ...

    @property
    def seed(self) -> int:
        """The seed that makes it explore the same executions again."""
        ...

    def worth(self, executions: int) -> str:
        """Say what `executions` executions without a find are worth."""
        ...


STRATEGIES: dict[str, Callable[[int], NamedStrategy]] = {
    "portfolio": Portfolio,
    "random": RandomWalk,
    "pct": PCT,
    "pos": POS,
    "urw": URW,
    "surw": SURW,
    "reads_from": ReadsFrom,
    "dfs": DFS,
    "dpor": DPOR,
}
