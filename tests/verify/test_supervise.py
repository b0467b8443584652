"""The supervisor: tasks end in one fate each, whatever becomes of the worker."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from verify.abc import UsageError
from verify.supervise import (
    BAD,
    Ended,
    Fate,
    Header,
    Journal,
    Shard,
    Started,
    Stuck,
    Summary,
    Task,
    WorkerError,
    run,
    trees,
)  # fmt: skip

if TYPE_CHECKING:
    from collections.abc import Iterable

    from verify.supervise.supervisor import Event

PLACE = "tests.verify.supervised"
pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]


def seeds(count: int) -> Iterable[Task]:
    return (Task(number, number) for number in range(count))


def gone(pid: int) -> bool:
    """Say whether a process has ended, whether or not somebody has asked for its exit code."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return True
    return state in {"Z", "X"}


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker that closed its connection need not be waited for long."""
    monkeypatch.setattr("verify.supervise.supervisor.END_WAIT_S", 1)


def odd_one(
    deed: str, *, limit_s: float | None = None, heartbeat_s: float = 0
) -> tuple[Summary, Ended]:
    """Run seeds 0 to 4, of which 2 does `deed`; return the summary and the one that ended badly."""
    summary = run(
        seeds(5), f"{PLACE}:odd_one", options={"deed": deed}, workers=1, batch=5, limit_s=limit_s,
        heartbeat_s=heartbeat_s, judge=lambda stuck: f"{stuck.silent} {stuck.task.number}",
    )  # fmt: skip
    assert (5, [2]) == (summary.done, [bad.task.number for bad in summary.bad])
    return summary, summary.bad[0]


def test_values_come_back() -> None:
    """Every task has one result, and the workers are gone afterwards."""
    ended: dict[int, object] = {}
    pids = []
    before = set(trees.descendants(os.getpid()))  # helpers of earlier tests: multiprocessing's, say

    def listen(event: Event) -> None:
        if isinstance(event, Ended):
            ended[event.task.number] = event.value
        elif isinstance(event, Started):
            pids.append(event.pid)

    summary = run(seeds(50), f"{PLACE}:square", batch=7, on_event=listen)

    assert {number: number**2 for number in range(50)} == ended
    assert ({Fate.PASSED: 50}, [], "") == (summary.counts, summary.bad, summary.stopped)
    left = set(trees.descendants(os.getpid())) - before
    assert (2, set()) == (len(pids), left)


def test_thousand_with_three_planted() -> None:
    """Of 1,000 seeds a segfault, an exit and a held interpreter lock cost themselves and nothing else."""
    summary = run(seeds(1000), f"{PLACE}:planted", batch=200, heartbeat_s=2)

    bad = {ended.task.seed: ended for ended in summary.bad}
    assert (997, {111, 333, 777}) == (summary.counts[Fate.PASSED], set(bad))
    assert (Fate.CRASHED, "the worker ended by SIGSEGV") == (bad[111].fate, bad[111].message)
    assert "Segmentation fault" in bad[111].stderr
    assert "in step" in bad[111].stderr
    assert (Fate.EXITED, Fate.HUNG) == (bad[333].fate, bad[777].fate)
    assert "exit code 7" in bad[333].message
    assert "gave no sign of life" in bad[777].message
    assert "supervised.py" in bad[777].report
    assert "holds the GIL" in bad[777].report
    assert 5 >= summary.workers


@pytest.mark.parametrize(
    ("deed", "fate", "words"),
    [
        ("fail", Fate.FAILED, "no good"),
        ("raise", Fate.RAISED, "ValueError: odd"),
        ("leave", Fate.RAISED, "SystemExit: 3"),
        ("kill", Fate.CRASHED, "ended by SIGKILL"),
        ("shut", Fate.EXITED, "closed the connection"),
        ("shout", Fate.EXITED, "sent no JSON: b'not a message'"),
        ("fork", Fate.EXITED, "exit code 9"),
    ],
)
def test_fates(deed: str, fate: Fate, words: str) -> None:
    """Each way to end has its fate, its words and the output of that task alone."""
    _, bad = odd_one(deed)

    assert fate == bad.fate
    assert words in bad.message
    assert 2 == bad.earlier
    if deed == "fail":
        assert ("run 2\n", "why\n") == (bad.stdout, bad.stderr)


def test_over_its_limit() -> None:
    """A task over its limit goes before the judge, whose text is kept; the heartbeat does not save it."""
    _, bad = odd_one("sleep", limit_s=0.3, heartbeat_s=30)

    assert (Fate.HUNG, "False 2") == (bad.fate, bad.report)
    assert "was at one task for" in bad.message


def test_silent() -> None:
    """A worker that is stopped as a whole sends no heartbeat."""
    _, bad = odd_one("stop", heartbeat_s=1)

    assert (Fate.HUNG, "True 2") == (bad.fate, bad.report)


def test_judge_may_wait() -> None:
    """A judge that sees progress is asked again, and again."""
    asked: list[Stuck] = []

    def judge(stuck: Stuck) -> str | None:
        asked.append(stuck)
        return "enough" if len(asked) == 2 else None

    summary = run(
        seeds(3), f"{PLACE}:odd_one", options={"deed": "sleep"}, limit_s=0.2, judge=judge, workers=1
    )

    assert ([2, 2], "enough") == ([s.task.number for s in asked], summary.bad[0].report)
    assert asked[0].seconds < asked[1].seconds


def test_what_a_task_started_goes_too() -> None:
    """A process in a session of its own, started by a hung task, does not survive the worker."""
    _, bad = odd_one("child", limit_s=1)

    assert gone(int(bad.stdout.split()[-1]))


@pytest.mark.parametrize("deed", ["retire", "fork twice back"])
def test_no_task_is_lost(deed: str) -> None:
    """A worker that is to be replaced leaves the rest of its batch to the next; a fork speaks once."""
    summary = run(
        seeds(5), f"{PLACE}:odd_one", options={"deed": deed}, workers=1, batch=5, heartbeat_s=0
    )

    assert ({Fate.PASSED: 5}, 1 + (deed == "retire")) == (summary.counts, summary.workers)


def test_stop_on_first_failure() -> None:
    """A fate in `stop_on` ends the run at once; what was under way is named."""
    endless = (Task(number, number) for number in range(10**9))

    summary = run(endless, f"{PLACE}:odd_one", options={"deed": "fail"}, stop_on=BAD)

    assert ("first failure", [2]) == (summary.stopped, [bad.task.number for bad in summary.bad])


def test_time_and_age() -> None:
    """After its seconds a run begins nothing more; workers past their time are replaced on the way."""
    endless = (Task(number, number) for number in range(10**9))

    summary = run(endless, f"{PLACE}:square", workers=1, ttl_s=0.5, seconds=2)

    assert ("time", []) == (summary.stopped, summary.bad)
    assert 2 <= summary.workers
    assert summary.done == summary.counts[Fate.PASSED] > 0


def test_refusals() -> None:
    """What a worker refuses is the caller's to see: at the start, or in a task."""
    with pytest.raises(UsageError, match="no such scenario; name another"):
        run(seeds(3), f"{PLACE}:refuses")
    with pytest.raises(UsageError, match="seed 2 is not to my taste"):
        run(seeds(3), f"{PLACE}:odd_one", options={"deed": "refuse"})


def test_workers_that_never_start() -> None:
    """Three in a row that end before they are ready stop the run, with what they printed."""
    with pytest.raises(
        WorkerError, match=r"(?s)3 workers in a row .*ZeroDivisionError: at the start"
    ):
        run(seeds(3), f"{PLACE}:broken", workers=1)


def test_resume_is_exact(tmp_path: Path) -> None:
    """A run that was stopped, resumed, does the rest once: together they are the whole."""
    header = Header("d1", {"seed": "0"})
    seen: Counter[int] = Counter()

    def listen(event: Event) -> None:
        if isinstance(event, Ended) and not event.resumed:
            seen[event.task.number] += 1

    def part(journal: Journal, stop_on: frozenset[Fate]) -> Summary:
        with journal:
            return run(
                seeds(40), f"{PLACE}:odd_one", options={"deed": "fail"}, journal=journal, stop_on=stop_on,
                on_event=listen, workers=1, batch=4,
            )  # fmt: skip

    file = tmp_path / "new" / "journal.jsonl"
    first = part(Journal.create(file, header), BAD)
    with file.open("ab") as torn:
        torn.write(b'{"number": 30, "se')
    second = part(Journal.resume(file, header), frozenset())
    third = part(Journal.resume(file, header), frozenset())

    assert (3, 40, 40) == (first.done, second.done, third.done)
    assert (0, 3, 40) == (first.resumed, second.resumed, third.resumed)
    assert dict.fromkeys(range(40), 1) == seen
    assert [2] == [bad.task.number for bad in third.bad]
    assert 0 == third.workers


def test_shards_cover_all_once() -> None:
    """Every number is in exactly one of n shards."""
    shards = [Shard.parse(f"{part}/3") for part in (1, 2, 3)]

    assert [1] * 30 == [sum(number in shard for shard in shards) for number in range(30)]
    for wrong in ("0/3", "4/3", "3", "a/b", "1/", "-1/2", "1/999999999", "²/3"):
        with pytest.raises(UsageError, match=r"type e\.g\. 2/5"):
            Shard.parse(wrong)
