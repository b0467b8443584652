"""What a session does about accesses: which code is in place, which pairs are points, when to survey.

Promises: an execution's scheduling points are decided by the granularity in force when it begins,
whose text its outcome carries; a survey listens and adds none. While pairs are being learned, the
first executions are surveyed until `STEADY` of them in a row show nothing new, then one in `EVERY`:
so an access that only a rare schedule reaches is not lost, it counts from the next execution on.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from verify import accesses
from verify.accesses_survey import Survey
from verify.granularity import Granularity, parse
from verify.instrument import ACCESS, GIL, LABEL, SYNC, Instrumented

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from types import FunctionType

STEADY = 8
EVERY = 32


class Watch:
    """The accesses of one session; `granularity` is what the next execution begins with."""

    def __init__(self, files: tuple[str, ...], granularity: str, *, learn: bool) -> None:
        self.asked: Granularity = parse(granularity)
        self.granularity = self.asked
        self.learn = learn and self.granularity.learns
        self.instrumented = Instrumented(files)
        self.survey = Survey(locks=self.granularity.mode == "auto")
        self.surveying = False
        self.quiet = 0
        self.labelling = False
        self.thorough = False  # True: survey every execution, for who must not miss a pair
        self.runs = 0

    def open(self, functions: Iterable[FunctionType]) -> None:
        """Put the code of the granularity in place in those of `functions` that are the program's."""
        self.instrumented.choose(functions)
        self._switch()

    def _switch(self) -> None:
        self.instrumented.switch(self._mode())

    def renew(self) -> None:
        """Forget what was learned, as if nothing had been run yet."""
        self.granularity = self.asked
        self.survey = Survey(locks=self.granularity.mode == "auto")
        self.surveying = False
        self.quiet = self.runs = 0

    def close(self) -> None:
        """Give every function its own code back, and keep nothing of the program."""
        accesses.arm(None, self.instrumented.sites, frozenset(), everything=False)
        self.instrumented.restore()
        accesses.run.begin(None, labelling=False)

    def _mode(self) -> str:
        if self.labelling:
            return LABEL
        if self.granularity.mode == "gil":
            return GIL
        return ACCESS if self.learn or self.granularity.pairs else SYNC

    @property
    def hooked(self) -> bool:
        """Whether accesses have hooks."""
        return self.instrumented.mode in {ACCESS, LABEL}

    def before(self) -> Survey | None:
        """Prepare the hooks for the next execution; return the survey if it is to be surveyed."""
        self.runs += 1
        self.surveying = self.learn and (
            self.thorough or self.quiet < STEADY or self.runs % EVERY == 0
        )
        survey = self.survey if self.surveying else None
        accesses.run.begin(survey, labelling=self.labelling)
        accesses.arm(
            self, self.instrumented.sites, self.granularity.pairs, everything=self.surveying
        )
        return survey

    def after(self) -> None:
        """Take in what the surveyed execution showed."""
        grown = self.granularity.grown(frozenset(self.survey.found))
        self.quiet = self.quiet + 1 if grown == self.granularity else 0
        self.granularity = grown

    @contextmanager
    def held(self, granularity: str, *, labelling: bool = False) -> Iterator[None]:
        """Run at `granularity`, learning nothing, for the length of a `with` block; `labelling` notes polls too."""
        saved = self.granularity, self.learn, self.labelling
        self.granularity, self.learn = parse(granularity), False
        self.labelling = labelling and bool(self.granularity.pairs)
        try:
            self._switch()
            yield
        finally:
            self.granularity, self.learn, self.labelling = saved
            self._switch()
