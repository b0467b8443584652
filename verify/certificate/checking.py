"""Checking a certificate: every execution is run again, and the set of them is found whole or not.

Promises: takes nothing on trust but the choices. Refuses (`UsageError`) a certificate of another text of the program,
another version or granularity; says `rejected` with the reason where an execution does not fit, fails, or is missing;
says `unjudged` where the program does what the checker has no table for. The runtime runs the program; no strategy and
nothing of the search's dependence is used.
"""

from __future__ import annotations

import gc
import sys
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from traces.certificate import CLASSES
from verify.abc import UsageError
from verify.certificate.closure import Closure
from verify.certificate.runs import Follow, Guide, Run
from verify.certificate.tree import Tree
from verify.granularity import LEARNING, parse
from verify.record import own_version
from verify.session import Session

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from traces.certificate import Certificate
    from verify.certificate.runs import Event
    from verify.program import Program


class Judgement(StrEnum):
    """What the check came to."""

    VALID = "valid"
    REJECTED = "rejected"
    UNJUDGED = "cannot be judged"


@dataclass(frozen=True, slots=True)
class Checked:
    """The result: `why` says what is wrong. `classes` are counted anew, `races` reversed, `probes` run to see."""

    judgement: Judgement
    why: str
    executions: int
    classes: int = 0
    races: int = 0
    probes: int = 0


def refuse_other(certificate: Certificate, program: Program) -> None:
    """Raise `UsageError` when the certificate belongs to another program, version or granularity."""
    told = certificate.program
    if told.digest != program.digest:
        raise UsageError(
            f"this certificate is of another text of {program.target} (digest {told.digest}, now {program.digest}); "
            "check that text out, or explore again with --certificate"
        )
    if told.stage3 != own_version():
        raise UsageError(
            f"this certificate is of stage3 {told.stage3}, this is {own_version()}; use that version, or explore again"
        )
    own = f"{sys.version_info.major}.{sys.version_info.minor}"
    python = ".".join(told.python.split(".")[:2])
    if python != own and told.granularity != "sync":
        raise UsageError(
            f"this certificate has granularity {told.granularity} and belongs to Python {python}, not {own}; "
            f"run it with python{python}, or explore again"
        )
    parse(told.granularity)


def check(
    certificate: Certificate, program: Program, progress: Callable[[int], None] | None = None
) -> Checked:
    """Run every execution of `certificate` again and judge the set of them; raises `UsageError`.

    `progress` gets the number of each execution that has been run.
    """
    refuse_other(certificate, program)
    if not certificate.executions:
        return Checked(Judgement.REJECTED, "it has no execution", 0)
    granularity = parse(certificate.program.granularity)
    reduced = certificate.method == CLASSES
    survey = reduced and granularity.mode in {"sync", *LEARNING}
    text = "auto" if survey and not granularity.pairs else granularity.text
    runs: list[Run] = []
    with Session(program.at(text), learn=survey) as session:
        for number, choices in enumerate(certificate.executions, 1):
            session.watch.quiet = 0  # look at the accesses of each of them
            run = follow(session, choices)
            if run.wrong:
                why = f"execution {number} {run.wrong}"
                return Checked(Judgement.REJECTED, why, number)
            if hidden := session.watch.granularity.pairs - granularity.pairs:
                return Checked(Judgement.REJECTED, _hidden(number, hidden), number)
            if reduced and run.unknown:
                why = f"{run.unknown} is in no table of dependent operations; check a certificate of --strategy dfs"
                return Checked(Judgement.UNJUDGED, why, number)
            runs.append(run)
            if progress is not None:
                progress(number)
        session.watch.learn = False
        gc.freeze()  # what is kept of the runs need not be looked through while others are made
        return _closed(session, runs) if reduced else _whole(certificate, runs)


def _hidden(number: int, pairs: frozenset[str]) -> str:
    return (
        f"in execution {number} threads touch {', '.join(sorted(pairs))} without an order, and no operation shows it: "
        "what is equivalent cannot be told; explore at granularity auto"
    )


def _whole(certificate: Certificate, runs: Sequence[Run]) -> Checked:
    tree = Tree(certificate.preemptions)
    for number, run in enumerate(runs, 1):
        tree.add(number, run)
    why = tree.missing()
    if not why and len(runs) != len({run.choices for run in runs}):
        why = "an execution is in it twice"
    return Checked(_judge(why), why, len(runs), len(runs))


def _closed(session: Session, runs: Sequence[Run]) -> Checked:
    def probe(steps: Sequence[Event], last: str) -> list[Event] | None:
        guide = Guide(steps, last)
        session.run(guide, session.program.detectors())
        return guide.taken()

    closure = Closure(probe)
    for run in runs:
        closure.add(run)
    why = ""
    for number in range(len(runs)):
        if (hole := closure.hole(number)) is not None:
            why = str(hole)
            break
    return Checked(_judge(why), why, len(runs), closure.classes, closure.races, closure.probes)


def _judge(why: str) -> Judgement:
    return Judgement.REJECTED if why else Judgement.VALID


def follow(session: Session, choices: Sequence[int]) -> Run:
    """Run the program under `choices` and return what was seen; `wrong` says what does not fit."""
    follow = Follow(choices)
    outcome = session.run(follow, session.program.detectors())
    watch = follow.listener
    run = Run(
        outcome.choices,
        watch.events,
        watch.pending,
        follow.alternatives,
        frozenset(watch.daemons),
        watch.unknown,
    )
    if outcome.abort is not None:
        run.wrong = f"does not fit the program: {outcome.abort}"
    elif outcome.finding is not None:
        run.wrong = f"fails: {outcome.finding.message}"
    elif outcome.steps > session.program.settings.max_steps:
        run.wrong = "reaches the step bound, from which on nothing was explored"
    elif len(outcome.choices) != len(choices):
        run.wrong = f"ends after {len(outcome.choices)} of its {len(choices)} choices"
    return run
