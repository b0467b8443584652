"""Who runs a check: how its schedule is repeated from outside, and which one is to be repeated now.

Promises: importing this costs next to nothing (the pytest plugin does it in every suite). A test
that calls `verify.check` itself learns from here the command that repeats it, and the token to
replay; `used` says whether some check took that token.
"""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from traces.token import Token


CHECKED = "__stage3_checked__"
"""A function with this attribute checks its own body: `verify.interleavings` sets it."""


@dataclass
class Caller:
    """A test under way: `command` says what repeats it, a token behind; `replay` is the token asked for."""

    command: Callable[[], str]
    replay: Token | None = None
    used: bool = False

    def takes(self, digest: str) -> bool:
        """Say whether the program with this digest is the one to be replayed, and note that it was found."""
        wanted = self.replay is not None and self.replay.program_digest == digest
        self.used = self.used or wanted
        return wanted


caller: ContextVar[Caller | None] = ContextVar("stage3_caller", default=None)
