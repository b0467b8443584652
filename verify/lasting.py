"""Sessions that last: one for all the checks of a test that makes many short ones, such as a Hypothesis test.

Promises: within `sessions_last` a session for the same files, settings and backend is opened once and closed at the end
of the `with` block, whatever happens; outside of it every check has its own. Opening one costs as much as some hundred
short executions.
Assumes that the threads of the process that are no part of a check make nothing in between that one is to control.
"""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from verify.program import Program
    from verify.session import Session


class _Kept:
    """The open session, if any, and what it is for."""

    def __init__(self) -> None:
        self.stack = ExitStack()
        self.key: tuple[object, ...] = ()
        self.session: Session | None = None

    def get(self, program: Program, backend: str) -> Session:
        """Return the open session if it fits; else close it and open another one."""
        from verify.session import Session  # noqa: PLC0415 - loads the runtime: a scope alone costs nothing

        key = (program.files, program.settings, backend)
        if self.session is None or key != self.key:
            self.close()
            self.session = self.stack.enter_context(Session(program, backend, learn=True))
            self.key = key
        return self.session

    def close(self) -> None:
        """Close what is open."""
        self.session = None
        self.stack.close()


_kept: ContextVar[_Kept | None] = ContextVar("_kept", default=None)


@contextmanager
def sessions_last() -> Iterator[None]:
    """Let sessions last for the length of a `with` block."""
    kept = _Kept()
    token = _kept.set(kept)
    try:
        yield
    finally:
        _kept.reset(token)
        kept.close()


@contextmanager
def session_for(program: Program, backend: str) -> Iterator[Session]:
    """Yield a learning session for `program`: one that lasts, or one for the length of the `with` block."""
    kept = _kept.get()
    if kept is None:
        with sessions_last(), session_for(program, backend) as session:
            yield session
        return
    with kept.get(program, backend).anew(program) as session:
        yield session
