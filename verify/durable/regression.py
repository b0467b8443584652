"""`verify.regression`: a failing schedule that was committed to a repository, as a test.

Promises: on the text it was recorded on, the schedule itself is run: the test fails as the report said. On any other,
the failure is judged (`judging`): fixed passes; masked and still failing raise `CheckFailed` with the new schedule;
where the anchors are gone, or something outside the schedule decides, `CheckInconclusive` says so. Never a silent pass.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from traces import store
from traces import token as tokens
from traces.errors import InputError
from traces.text import PYTEST, show
from verify import detecting
from verify import program as programs
from verify.abc import CheckFailed, CheckInconclusive, UsageError
from verify.durable import text
from verify.durable.judging import EXECUTIONS, SECONDS, Judgement, Verdict, judge
from verify.explore import replay
from verify.leaving import passing_on
from verify.runtime import current

if TYPE_CHECKING:
    from collections.abc import Sequence

    from traces.schema import Trace
    from verify.program import Body, Program

__all__ = ["program_for", "regression"]


def program_for(
    trace: Trace,
    target: str | Body | None = None,
    packages: Sequence[str] = (),
    detect: Sequence[str] = (),
) -> Program:
    """Return the program that a trace is to be judged on: that of `target`, else its own.

    Raises `UsageError` where there is no such function, or only a callable can say what a test's body is.
    """
    packages = packages or trace.program.options.get("packages", "").split()
    detect = detect or trace.program.options.get(detecting.OPTION, "").split()
    if target is None or isinstance(target, str):
        name = target or trace.program.target
        if PYTEST in name:
            raise UsageError(
                f"{name!r} is a test of pytest's; give its function: verify.regression(TRACE, target=FUNCTION)"
            )
        return programs.load(name, packages).watched(detect)
    programs.refuse_uncallable(trace.program.target, target)
    return programs.of_code(target, trace.program.target, packages).watched(detect)


def regression(
    trace: Path | str,
    target: str | Body | None = None,
    *,
    executions: int = EXECUTIONS,
    seconds: float = SECONDS,
    seed: int = 0,
    packages: Sequence[str] = (),
) -> Judgement:
    """Fail while the failure that the file `trace` shows can happen; return the judgement once it is fixed.

    `target` is `module:function` or a function, by default what was recorded; `executions` and `seconds` bound the
    schedules that are tried. Raises `CheckFailed`, `CheckInconclusive`, or `UsageError` for a file that cannot be used.
    """
    __tracebackhide__ = True
    if current.controlled() is not None:
        raise UsageError(
            "verify.regression is called inside a check; call it from a test of its own"
        )
    try:
        recorded = store.load(Path(trace))
    except InputError as error:
        raise UsageError(str(error)) from None
    program = program_for(recorded, target, packages)
    program = replace(program, body=passing_on(program.body))
    _as_recorded(program, recorded)
    found = judge(program, recorded, executions=executions, seconds=seconds, seed=seed)
    if found.verdict is Verdict.INCONCLUSIVE:
        advice = "record the failure anew, or delete this test with its trace"
        raise CheckInconclusive(text.headline(found), f"{text.whole(found)}\n  {advice}")
    if found.exit_code:
        raise CheckFailed(text.headline(found), text.whole(found))
    return found


def _as_recorded(program: Program, trace: Trace) -> None:
    """Run the schedule itself where the text is the one recorded; raise `CheckFailed` if it fails as it did."""
    __tracebackhide__ = True
    token = tokens.from_trace(trace)
    try:
        programs.refuse_other(program, token)
    except UsageError:
        return
    run = replay(program, token, trace=trace)[0]
    if run.identical and run.finding is not None and run.trace is not None:
        headline = f"{Verdict.FAILING}: {run.finding.cause}: {run.finding.message}"
        raise CheckFailed(
            headline, f"{headline}\n  every step as recorded\n\n{show(run.trace).rstrip()}"
        )
