"""`stage3 museum ls | show | hunt | replay`: the history of migration bugs, walked through one by one.

Promises: `show` and `replay` print what was run just now, not what was written down: the failing interleaving is the
recorded schedule run again, and the whole engine runs the same choices beside it. Exit codes: 0 all as it should be
(for `hunt`: nothing found), 1 a defect found, or a replay that differs or fails without the defect, 2 bad input, 4
inconclusive.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from stress.hunt_text import say
from stress.migration import defects, pieces
from traces.errors import InputError
from traces.text import show
from verify.abc import UsageError
from verify.cli import refuse
from verify.explore import Verdict
from verify.strategies import STRATEGIES

if TYPE_CHECKING:
    import argparse

    from stress.migration.defects import Defect
    from verify.session import Outcome

OK, DIFFERENT, INCONCLUSIVE = 0, 1, 4
REPLAYS: Final = 100
STEPS_SHOWN: Final = 40


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `museum` to the commands of `stage3`."""
    parser = subparsers.add_parser(
        "museum", help="historic migration bugs: seeded, found, replayed, explained"
    )
    actions = parser.add_subparsers(
        dest="museum_action", required=True, metavar="ls|show|hunt|replay"
    )
    actions.add_parser("ls", help="list the defects")
    for name, words in (
        (
            "show",
            "story, failing interleaving, explanation, fix, and the same choices on the whole engine",
        ),
        ("hunt", "look for a defect in its scenario; nothing about it is given to the search"),
        ("replay", f"replay a defect's interleaving {REPLAYS} times, and once on the whole engine"),
    ):
        action = actions.add_parser(name, help=words)
        action.add_argument("id", metavar="ID", help="as ls shows it")
        if name == "hunt":
            action.add_argument("--seed", type=int, default=0)
            action.add_argument("--seconds", type=float, default=pieces.SECONDS, help="default 60")
            action.add_argument("--strategy", choices=list(STRATEGIES), default="portfolio")


def run(args: argparse.Namespace) -> int:
    """Do what the arguments say; return the exit code."""
    actions = {"ls": _ls, "show": _show, "hunt": _hunt, "replay": _replay}
    try:
        return actions[args.museum_action](args)
    except (UsageError, InputError) as error:
        return refuse("museum", error)
    except KeyError as error:
        return refuse("museum", UsageError(str(error.args[0])))


def _ls(args: argparse.Namespace) -> int:
    del args
    for defect in defects.load().values():
        say(f"{', '.join(defect.ids):9} {defect.cause:17} {defect.title}")
    say(f"\n{len(defects.load())} defects; stage3 museum show ID walks through one")
    return OK


def _story(defect: Defect) -> None:
    say(f"{', '.join(defect.ids)}. {defect.title}")
    say(f"  upstream: {defect.part('Upstream')}")
    for number, step in enumerate(defect.mechanism, 1):
        say(f"  {number}. {step}")
    say(f"  replaces: {', '.join(defect.replaced)}")


def _show(args: argparse.Namespace) -> int:
    defect = defects.find(args.id)
    piece = pieces.kept(defect)
    _story(defect)
    say(f"\nthe interleaving, run now ({piece.target}):\n")
    played = pieces.again(piece)[0]
    if played.trace is not None:
        first = max(0, len(played.trace.steps) - STEPS_SHOWN)
        say(show(played.trace, first=first, stacks=False).rstrip())
    if piece.why:
        say("\nwhy it fails, found when it was recorded:")
        for line in piece.why:
            say(line)
    say(f"\nfix: {defect.part('Fix')}")
    return _judged(
        defect,
        pieces.is_identical(piece, played),
        played.difference,
        pieces.on_whole_engine(defect, piece),
    )


def _judged(defect: Defect, same: bool, difference: str, whole: Outcome) -> int:  # noqa: FBT001 - a verdict
    if not same:
        say(f"the replay differs from what was recorded: {difference or 'it fails otherwise'}")
        say(f"  the engine has changed since; stage3 museum hunt {defect.ids[0]} looks for it anew")
    if whole.finding is not None:
        say(f"without the defect: {whole.finding.cause}: {whole.finding.message}")
        return DIFFERENT
    say(
        f"without the defect the same choices, as far as they fit, end well after {whole.steps} steps"
    )
    return OK if same else DIFFERENT


def _hunt(args: argparse.Namespace) -> int:
    defect = defects.find(args.id)
    _story(defect)
    say(f"\nhunting by {args.strategy}, seed {args.seed}, {args.seconds:g} s at most\n")
    begin = time.monotonic()
    state = pieces.hunt(
        defect,
        args.strategy,
        seed=args.seed,
        executions=10**9,
        seconds=args.seconds,
        shrink=pieces.SHRINK_S,
    )
    group, right = pieces.first(defect, state)
    if group is None:
        say(
            f"not found in {state.executions:,} executions, {time.monotonic() - begin:.1f} s; {state.worth}"
        )
        return OK if state.verdict in {Verdict.NOT_FOUND, Verdict.EXHAUSTED} else INCONCLUSIVE
    if group.trace is not None:
        say(show(group.trace, stacks=False))
    say(
        f"found by execution {group.first:,}, {group.first_s:.2f} s: {group.finding.cause}"
        f" ({'the class it is' if right else f'expected: {defect.cause}'})"
    )
    return DIFFERENT


def _replay(args: argparse.Namespace) -> int:
    defect = defects.find(args.id)
    piece = pieces.kept(defect)
    runs = pieces.again(piece, REPLAYS)
    same = sum(pieces.is_identical(piece, each) for each in runs)
    say(f"{', '.join(defect.ids)}. {defect.title}")
    say(f"{same} of {REPLAYS} replays identical step for step: {piece.cause}: {piece.message}")
    difference = next((each.difference for each in runs if each.difference), "")
    return _judged(defect, same == REPLAYS, difference, pieces.on_whole_engine(defect, piece))
