"""Runs one pytest test under control: what the plugin loads when the first test asks for it.

Promises: options win over the marker, the marker over `[tool.stage3]`. A trace of each failure is
written, whole or not at all, into `stage3-out` of the directory pytest was started in (or where
`output` says), and named with the line that replays it.
"""

from __future__ import annotations

import functools
import io
import os
import sys
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from traces import artifacts, store
from traces.text import replay_line
from verify import config as files
from verify import program as programs
from verify.abc import UsageError
from verify.builds import ANY
from verify.check import Plan, conduct, hash_seed_is_random
from verify.config import Config
from verify.goals import settle
from verify.pytest_plugin import DEFAULTS, MARKER, shown_id
from verify.runtime.carriers import GREENLETS

if TYPE_CHECKING:
    from pathlib import Path

    from traces.schema import Trace
    from traces.token import Token
    from verify.program import Body, Program

NOTE = (
    "note:   the hash seed differs from process to process here; if the replay diverges, set PYTHONHASHSEED=0 "
    "and find the schedule again"
)


def defaults(config: pytest.Config) -> Config:
    """Return what `[tool.stage3]` sets."""
    return config.stash.get(DEFAULTS, files.Config())


def marked(item: pytest.Function) -> Config:
    """Return what the test's marker sets."""
    mark = item.get_closest_marker(MARKER)
    if mark is None:
        return files.Config()
    where = f"{item.nodeid}: @pytest.mark.{MARKER}"
    if mark.args:
        raise UsageError(f"{where} takes no positional arguments; say {MARKER}(executions=500)")
    given = dict(mark.kwargs)
    for name in ("packages", "detect"):
        if isinstance(given.get(name), tuple):
            given[name] = list(given[name])
    return files.parse(given, where)


def plan_of(item: pytest.Function) -> Plan:
    """Return how the test is to be searched."""
    mark, file = marked(item), defaults(item.config)
    count: int | None = item.config.getoption("interleavings")
    seed: int | None = item.config.getoption("interleavings_seed")
    given = Config(
        executions=count,
        confidence=item.config.getoption("interleavings_confidence"),
        bug_depth=item.config.getoption("interleavings_bug_depth"),
        unseen=item.config.getoption("interleavings_unseen"),
    )
    budget = settle(given, mark, file)
    seeds = [value for value in (seed, mark.seed, file.seed) if value is not None]
    backend = mark.backend or file.backend or GREENLETS
    granularity = mark.granularity or file.granularity
    builds = mark.builds or file.builds or ANY
    shrinks = [item.config.getoption("interleavings_shrink"), mark.shrink, file.shrink]
    shrink = next((value for value in shrinks if value is not None), files.SHRINK_S)
    return Plan(
        budget.executions,
        budget.seconds,
        budget.strategy,
        seeds[0] if seeds else 0,
        backend,
        granularity,
        builds,
        shrink,
        budget.goal,
        threaded=item.get_closest_marker(MARKER) is not None,
    )


def program_of(item: pytest.Function) -> Program:
    """Return the test as a program: its body with its fixture values, its module and the packages in scope."""
    packages = marked(item).packages or defaults(item.config).packages
    names = item._fixtureinfo.argnames  # noqa: SLF001 - as pytest's own pytest_pyfunc_call does
    values = {name: item.funcargs[name] for name in names if name in item.funcargs}
    body = functools.partial(item.obj, **values)
    program = programs.of_code(body, item.nodeid, packages, file=str(item.path))
    return program.watched(marked(item).detect or defaults(item.config).detect)


def run(item: pytest.Function, token: Token | None) -> None:
    """Explore the test, or replay `token` on it; a failure is raised with its report."""
    __tracebackhide__ = True
    try:
        plan, program = plan_of(item), program_of(item)
        output = defaults(item.config).output
        program = replace(program, body=with_fresh_output(program.body))
        state = conduct(program, plan, functools.partial(_closing, item, output), token)
    except UsageError as error:
        pytest.fail(str(error), pytrace=False)
    item.user_properties.append(("stage3", f"{state.verdict}: {state.executions:,} executions"))


def with_fresh_output(body: Body) -> Body:
    """Return `body` such that what pytest captures is emptied first: a failure shows the output of its own run."""
    streams = [
        stream
        for stream in (sys.stdout, sys.stderr)
        if isinstance(stream, io.TextIOWrapper) and type(stream).__module__ == "_pytest.capture"
    ]

    def run() -> None:
        for stream in streams:
            if stream.tell():
                stream.seek(0)
                stream.truncate()
        body()

    return run


def _closing(item: pytest.Function, output: Path | None, trace: Trace) -> list[str]:
    here = item.config.invocation_params.dir
    file = artifacts.keep(trace, output or here / store.DIRECTORY, kind="pytest")
    shown = os.path.relpath(file, here)
    typed = replace(trace, program=replace(trace.program, target=shown_id(item)))
    lines = [*artifacts.where(shown), replay_line(typed, shown)]
    return [NOTE, *lines] if hash_seed_is_random() else lines
