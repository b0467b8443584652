"""How far a search is: rate, classes, orders, finds, what is left; a live line on a terminal, plain lines elsewhere.

Promises: nothing is written to standard output, which is for results. Without a terminal there is a line after
`EVERY_S` seconds, then in growing gaps. What is shown is counted anyway: watching costs a few lines a second.
Assumes that it is entered before the search begins: then the locks behind it are real ones.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Final, Protocol, TextIO

from traces.text import plain
from verify import _real
from verify.measure import many

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from verify.explore import Exploration

EVERY_S: Final = 5.0
SLOWEST_S: Final = 60.0


class Watcher(Protocol):
    """Shows how a search goes; a context manager around it."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...

    def __call__(self, state: Exploration) -> None:
        """Take in how things stand; called a few times a second."""


class Line:
    """Says in one line how things stand, and what is new since the line before."""

    def __init__(self) -> None:
        self.classes = self.orders = 0

    def text(self, state: Exploration) -> str:
        """Return the line."""
        rate = state.executions / state.seconds if state.seconds else 0.0
        parts = [f"{state.executions:,} executions", f"{rate:,.0f}/s"]
        measure = state.measure
        if measure is not None:
            classes, orders = len(measure.distinct), len(measure.pairs.seen)
            parts.append(_grown(classes, self.classes, "class", "classes"))
            parts.append(_grown(orders, self.orders, "order of operations", "orders of operations"))
            self.classes, self.orders = classes, orders
        parts.append(many(len(state.groups), "kind of failure", "kinds of failure"))
        if state.left:
            parts.append(plain(state.left))
        return ", ".join(parts)


def _grown(now: int, before: int, one: str, more: str) -> str:
    return many(now, one, more) + (f" (+{now - before:,})" if now > before else "")


class Gaps:
    """When the next line is due: `EVERY_S` seconds after `began`, then in growing gaps, up to `SLOWEST_S`."""

    def __init__(self, began: float) -> None:
        self._gap = EVERY_S
        self._next = began + EVERY_S

    def over(self, now: float) -> bool:
        """Whether a line is due; then the next gap, a longer one, begins."""
        if now < self._next:
            return False
        self._gap = min(SLOWEST_S, self._gap * 1.5)
        self._next = now + self._gap
        return True


class Plain:
    """Lines on a stream that is no terminal."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._line = Line()
        self._gaps = Gaps(_real.monotonic())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Write nothing more."""

    def __call__(self, state: Exploration) -> None:
        """Write a line when it is time."""
        if self._gaps.over(_real.monotonic()):
            self._stream.write(f"stage3 explore: {self._line.text(state)}\n")
            self._stream.flush()


class Live:
    """A live line on a terminal, redrawn when it is told to: nothing of it runs beside the search."""

    def __init__(self) -> None:
        # Only here: importing rich takes a tenth of a second, which a search without a terminal need not pay.
        from rich.console import Console  # noqa: PLC0415
        from rich.live import Live as RichLive  # noqa: PLC0415
        from rich.text import Text  # noqa: PLC0415

        self._line = Line()
        self._render = Text
        # What the program prints must not go through rich: its lock would be one of the program's operations.
        self._live = RichLive(
            Text("starting"),
            console=Console(stderr=True),
            auto_refresh=False,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )

    def __enter__(self) -> Self:
        self._live.start(refresh=True)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Take the line away."""
        self._live.stop()

    def __call__(self, state: Exploration) -> None:
        """Redraw the line."""
        self._live.update(self._render(self._line.text(state)), refresh=True)


def give_back_terminal(stream: TextIO) -> None:
    """Show the cursor again and clear the line, for a process that ends while the line is shown."""
    if stream.isatty():
        stream.write("\r\x1b[K\x1b[?25h")


def choose() -> Watcher:
    """Return what fits standard error."""
    return Live() if sys.stderr.isatty() else Plain(sys.stderr)
