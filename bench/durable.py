"""Durable replays: forty edits of ten failing programs, and what `stage3 verify-fix` says became of each failure.

    python -m bench.durable               all; ten seconds
    python -m bench.durable --seed 7      other names, places and orders

Each program of `bench.edited` is explored, and its first failure kept as a trace. Then its text is edited: twice by a
generator (`bench.edits`: renames, moved functions, added lines, an added scheduling point; the failure has to be found
`still failing`), once by a real fix, once by a change that hides the fault; what is right for these stands beside the
change. A line each: verdict, what is right, executions, seconds, anchors found. Exit code 1 if fewer than 38 are right.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from bench import edits
from verify import Portfolio, explore
from verify import program as programs
from verify.durable.judging import Verdict, judge

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from bench.edits import Entry
    from traces.schema import Trace

AIM = 38
R, M, L, P = edits.KINDS
PAIRS = ((R, M), (L, P), (R, L), (M, P), (R, P), (M, L), (R, M), (L, P), (R, P), (M, L))
"""The generated edits of each program: every kind five times; shuffled."""


def failure_of(entry: Entry) -> Trace:
    """Return the first failure of a program as a trace."""
    program = programs.load(f"bench.edited.{entry.name}:main").by_default()
    state = explore(program, Portfolio(0), executions=300, shrink=2.0)
    trace = next(iter(state.groups.values())).trace
    assert trace is not None
    return trace


def edits_of(entry: Entry, kinds: Sequence[str], rng: Random) -> Iterator[tuple[str, str, Verdict]]:
    """Yield kind, text and right verdict of a program's four edits, two of them of these kinds."""
    for kind in kinds:
        yield kind, edits.generated(entry, kind, rng), Verdict.FAILING
    text = edits.source(entry.name)
    yield "fix", edits.by_hand(text, entry.fix), entry.fix.expected
    yield "mask", edits.by_hand(text, entry.mask), entry.mask.expected


def run(entries: Sequence[Entry], seed: int, directory: Path) -> tuple[int, int]:
    """Judge all edits and print a line each; return how many were right, and how many there were."""
    right = count = 0
    rng = Random(seed)
    print(
        f"{'program':11}{'edit':8}{'verdict':15}{'right':15}{'executions':>10}{'seconds':>9}  anchors"
    )
    pairs = rng.sample(PAIRS, len(PAIRS))
    for entry, kinds in zip(entries, pairs, strict=False):
        trace = failure_of(entry)
        for kind, text, expected in edits_of(entry, kinds, rng):
            name = f"{directory.name}_{entry.name}_{count}"
            (directory / f"{name}.py").write_text(text)
            begun = time.perf_counter()
            found = judge(programs.load(f"{name}:main"), trace)
            spent = time.perf_counter() - begun
            count += 1
            right += found.verdict is expected
            left = (
                f"{found.places[0]}/{found.places[1]}, orders {found.orders[0]}/{found.orders[1]}"
            )
            print(
                f"{entry.name:11}{kind:8}{found.verdict:15}{expected:15}{found.executions:10}{spent:9.2f}  {left}"
                + ("" if found.verdict is expected else "  WRONG"),
                flush=True,
            )
    return right, count


def main(argv: Sequence[str] | None = None) -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(prog="python -m bench.durable")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--programs", nargs="+", choices=[entry.name for entry in edits.ENTRIES])
    args = parser.parse_args(argv)
    wanted = [e for e in edits.ENTRIES if not args.programs or e.name in args.programs]
    with TemporaryDirectory() as directory:
        sys.path.insert(0, directory)
        try:
            right, count = run(wanted, args.seed, Path(directory))
        finally:
            sys.path.remove(directory)
    print(f"right: {right} of {count}")
    return int(right < AIM * count / 40)


if __name__ == "__main__":
    sys.exit(main())
