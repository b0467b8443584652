"""Forty-six small programs, at least two for each primitive and each kind of operation on a container.

Each returns what tells, afterwards, what it came to. They are what exhausted searches are compared on, so each has an
order that matters; some of them fail or hang in some orders.
"""

from __future__ import annotations

from bench.programs.micro import accesses as accesses
from bench.programs.micro import locks as locks
from bench.programs.micro import queues as queues
from bench.programs.micro import signals as signals
from bench.programs.micro import threads as threads
from bench.programs.micro.parts import PROGRAMS

__all__ = ["PROGRAMS"]
