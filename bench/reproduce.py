"""`python -m bench.reproduce`: hangs recorded on real threads, and how many of them became schedules that replay.

Seven programs of the zoo that hang in locks, and one in a queue, each run once under `stage3 watch`; and three hangs
of the migration engine's design `rfc_v1`, each run under `stage3 stress` with seeded delays until it hangs, for a
minute at most. Every report goes through `stage3 reproduce`, its trace through `stage3 replay`, in processes of their
own. Exit code 1 when fewer than eight of the ten (the queue apart) become replays.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from stress.hang import schema

ROOT = Path(__file__).parents[1]
LOCKS = ("lock_cycle", "condition", "join_cycle", "dead_owner", "rlock", "semaphore", "barrier")
BESIDE = ("queue",)
ENGINE = {
    "H1": ("migration:busy_migration?design=rfc_v1", "migration computes"),
    "H5": ("migration:stop_handshake?design=rfc_v1&close=1", "Condition.wait"),
    "H6": ("migration:destination_dies?design=rfc_v1&pages=64", "RamList.mutex"),
}
"""By hypothesis: a scenario, and a word that the cause of its hang contains."""
RECORDING_S = 60.0
SEARCH_S = 60.0
WANTED = 8
TIMES = 3


class Row(NamedTuple):
    """One hang: its verdict ("" where none was recorded), runs needed, and what became of it."""

    name: str
    verdict: str
    runs: int
    reproduced: bool
    executions: str
    told: str
    identical: str


def stage3(*words: str) -> subprocess.CompletedProcess[str]:
    """Run a command of ours, away from other commands' output."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONHASHSEED": "0"}
    return subprocess.run(
        [sys.executable, "-m", "stress.cli", *words],
        check=False, capture_output=True, text=True, cwd=ROOT, env=environment, timeout=600,
    )  # fmt: skip


def record_zoo(name: str, out: Path) -> tuple[Path | None, int]:
    """Let a program of the zoo hang; return its report, and 1 run."""
    command = [sys.executable, "-m", "stress.zoo", name]
    stage3("watch", "--limit", "1", "--output", str(out), "--", *command)
    return next(iter(sorted(out.glob("hang-*.json"))), None), 1


def record_engine(name: str, out: Path) -> tuple[Path | None, int]:
    """Run a scenario with other delays each time until it hangs as `name` says; return its report and the runs."""
    target, word = ENGINE[name]
    end = time.monotonic() + RECORDING_S
    runs = 0
    while time.monotonic() < end:
        runs += 1
        options = ["--seed", str(runs), "--count", "1", "--workers", "1", "--delays", "0.3"]
        stage3("stress", target, *options, "--limit", "2", "--output", str(out / str(runs)))
        for path in sorted((out / str(runs)).glob("*/hang-*.json")):
            if word in schema.from_json(path.read_text()).cause:
                return path, runs
    return None, runs


def become(name: str, path: Path | None, runs: int, out: Path) -> Row:
    """Reproduce and replay one report."""
    if path is None:
        return Row(name, "", runs, False, "-", f"no hang in {RECORDING_S:.0f} s", "-")
    verdict = schema.from_json(path.read_text()).verdict
    done = stage3("reproduce", str(path), "--seconds", str(SEARCH_S), "--output", str(out))
    said = re.search(r"([\d,]+) executions? in", done.stdout)
    followed = re.search(r"recorded: .*", done.stdout)
    told = followed.group().removeprefix("recorded: ") if followed else done.stderr.strip()
    executions = said.group(1) if said else "-"
    traces = sorted(out.glob("*.json"))
    if done.returncode != 1 or not traces:
        return Row(name, verdict, runs, False, executions, told, "-")
    again = stage3("replay", str(traces[0]), "--times", str(TIMES), "--no-stacks")
    same = re.search(r"(\d+) identical", again.stdout)
    identical = int(same.group(1)) if same else 0
    good = identical == TIMES
    return Row(name, verdict, runs, good, executions, told, f"{identical} of {TIMES}")


def main() -> int:
    """Print the table; return the exit code."""
    known = [*LOCKS, *BESIDE, *ENGINE]
    parser = argparse.ArgumentParser(description="hangs on real threads, and what became of them")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"some of {', '.join(known)}")
    asked = parser.parse_args().names or known
    if unknown := [name for name in asked if name not in known]:
        parser.error(f"no hang {unknown[0]!r}; there are: {', '.join(known)}")
    print(
        f"{'hang':<12} {'recorded as':<28} {'runs':>4} {'replays':>8} {'executions':>10}  recording"
    )
    rows = []
    for name in asked:
        with tempfile.TemporaryDirectory() as made:
            record = record_engine if name in ENGINE else record_zoo
            path, runs = record(name, Path(made) / "hangs")
            row = become(name, path, runs, Path(made) / "traces")
        rows.append(row)
        print(
            f"{row.name:<12} {row.verdict or 'nothing':<28} {row.runs:>4} {row.identical:>8} {row.executions:>10}  "
            f"{row.told}",
            flush=True,
        )
    counted = [row for row in rows if row.name not in BESIDE]
    good = sum(row.reproduced for row in counted)
    print(f"{good} of {len(counted)} hangs of real threads became deterministic replays")
    return 0 if good >= WANTED * len(counted) / 10 else 1


if __name__ == "__main__":
    sys.exit(main())
