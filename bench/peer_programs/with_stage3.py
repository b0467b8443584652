"""Measures stage3: the programs, and the loop, are those of `bench.exploration`."""

from __future__ import annotations

from bench.exploration import counter, measure, sections
from bench.peer_programs.telling import SECTIONS, Told, job, tell
from verify.program import of
from verify.runtime.carriers import GREENLETS, THREADS


def main() -> None:
    """Run random walks for the time given."""
    todo = job()
    backend = THREADS if todo.mode == "OS threads" else GREENLETS
    program = of(sections) if todo.program == SECTIONS else of(counter).at("access+Counter.n")
    executions, steps = measure(program, todo.seconds, backend)
    tell(Told(round(executions * todo.seconds), todo.seconds, steps * todo.seconds))


if __name__ == "__main__":
    main()
