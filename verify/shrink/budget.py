"""How much may be tried: executions and seconds, whichever ends first."""

from __future__ import annotations

from verify import _real


class SpentError(Exception):
    """The budget is spent: what has been reached stands."""


class Budget:
    """Executions and seconds left. Seconds are the wall's, so that one long execution is the last one."""

    def __init__(self, executions: int, seconds: float) -> None:
        self.executions = executions
        self.left = executions
        self.until = _real.perf_counter() + seconds

    @property
    def used(self) -> int:
        """How many executions were taken."""
        return self.executions - self.left

    @property
    def spent(self) -> bool:
        """Whether nothing is left."""
        return self.left <= 0 or _real.perf_counter() >= self.until

    def take(self) -> None:
        """Take one execution, or raise `SpentError`."""
        if self.spent:
            raise SpentError
        self.left -= 1

    def part(self, share: float) -> Budget:
        """Return a budget of a share of what is left; what it takes is taken here, too."""
        left = max(self.until - _real.perf_counter(), 0.0)
        return _Part(self, int(self.left * share), left * share)


class _Part(Budget):
    def __init__(self, whole: Budget, executions: int, seconds: float) -> None:
        super().__init__(executions, seconds)
        self.whole = whole

    def take(self) -> None:
        """Take one execution, here and of the whole."""
        super().take()
        self.whole.take()
