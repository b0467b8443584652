"""What crosses processes and journals of a divided search: round trips, and refusals of everything else."""

from __future__ import annotations

import importlib
import json
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from verify.abc import Finding, UsageError
from verify.explore import Exploration, Group
from verify.parallel.batches import Batch, DamagedError, Kind, Loss, of_ended
from verify.parallel.merging import Batches, joined, merged
from verify.parallel.rows import RowError
from verify.parallel.search import Search
from verify.parallel.seen import Seen, together
from verify.program import of
from verify.supervise import Ended, Fate, Header, Shard, Task

from . import orders

if TYPE_CHECKING:
    from collections.abc import Callable

TEXTS = st.text(max_size=20)
LISTS = st.lists(TEXTS, max_size=3).map(tuple)
NUMBERS = st.integers(0, 1 << 53)
SECONDS = st.floats(0, 1e9)
GRANULARITIES = st.sampled_from(["sync", "gil", "access", "auto+Account.balance"])
FINDINGS = st.builds(Finding, TEXTS, TEXTS, LISTS, LISTS, LISTS, LISTS, st.booleans())
CHOICES = st.lists(NUMBERS, max_size=9).map(tuple)
KINDS = st.builds(Kind, FINDINGS, CHOICES, NUMBERS, SECONDS, NUMBERS, GRANULARITIES)
PRINTS = st.lists(st.integers(-5, (1 << 63) - 1), max_size=4).map(tuple)
SEEN = st.builds(Seen, NUMBERS, st.lists(st.tuples(TEXTS, PRINTS), max_size=2).map(tuple), PRINTS)
BATCHES = st.builds(
    Batch, NUMBERS, NUMBERS, SECONDS, st.lists(KINDS, max_size=2).map(tuple), st.just(()), st.booleans(), TEXTS,
    GRANULARITIES, TEXTS, st.booleans(), NUMBERS, SEEN, NUMBERS,
)  # fmt: skip
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=6,
)
SEARCH = Search("module:function", "0" * 16, ("a", "b.c"), seed=-3, executions=100, batch=10)


@given(BATCHES)
@settings(max_examples=20)
def test_batches_come_back(batch: Batch) -> None:
    """A batch is the same after JSON."""
    assert batch == Batch.parse(json.loads(json.dumps(batch.as_json())))


@given(BATCHES, st.data())
@settings(max_examples=20)
def test_damaged_batches_are_refused(batch: Batch, data: st.DataObject) -> None:
    """Whatever stands in place of a field, it is read as what it has to be, or refused by name."""
    value = batch.as_json()
    field = data.draw(st.sampled_from(sorted(value)))
    value[field] = data.draw(JSON)
    try:
        found = Batch.parse(value)
    except RowError as error:
        assert str(error)  # noqa: PT017 - either end is good
    else:
        assert json.dumps(found.as_json()) == json.dumps(Batch.parse(found.as_json()).as_json())


@settings(max_examples=50)
@given(JSON)
def test_hostile_values_of_a_journal(value: object) -> None:
    """The value of a journal's line is a batch, or one error that names the batch."""
    ended = Ended(Task(3, 0), Fate.PASSED, value=value)  # type: ignore[arg-type] # any JSON
    with pytest.raises(DamagedError, match="batch 3"):
        of_ended(ended)


@pytest.mark.parametrize(
    "search",
    [
        SEARCH,
        replace(SEARCH, executions=None, shard=Shard(2, 3), first_only=True, twice=5),
        replace(SEARCH, strategy="pct", pct=(3, 20, 2), packages=("a",), builds="running"),
        replace(SEARCH, backend="threads", granularity="gil", hash_seed="7", fair=True),
    ],
)
def test_headers_come_back(search: Search) -> None:
    """The header of a journal says all of a search."""
    assert search == Search.of_header(search.header())


@settings(max_examples=50)
@given(st.sampled_from(sorted(SEARCH.header().settings)), TEXTS)
def test_hostile_headers(name: str, text: str) -> None:
    """A header with another text in it is one of another search, or refused; it never raises anything else."""
    header = SEARCH.header()
    try:
        found = Search.of_header(Header(header.program, {**header.settings, name: text}))
    except (RowError, UsageError) as error:
        assert str(error)  # noqa: PT017 - either end is good
    else:
        assert {
            **SEARCH.header().settings,
            name: found.header().settings[name],
        } == found.header().settings


def test_sizes_and_seeds() -> None:
    """The last batch has what is left over, and every batch a seed of its own that stays the same."""
    search = replace(SEARCH, executions=95)

    assert ([10] * 9 + [5], 0) == ([search.size(k) for k in range(10)], search.size(10))
    assert (10, 20) == (search.batches, len({SEARCH.seed_of(k) for k in range(20)}))
    assert 171_688_830_359_742 == Search("m:f", "", seed=0).seed_of(0)


def test_shards_divide_the_batches() -> None:
    """Every batch is in one shard."""
    shards = [replace(SEARCH, shard=Shard(part, 3)) for part in (1, 2, 3)]

    numbers = [number for search in shards for number in search.numbers()]

    assert list(range(10)) == sorted(numbers)
    assert all(number in search.shard for search in shards for number in search.numbers())


def passed(*, last: bool = False) -> Batch:
    return Batch(
        10, 0, 0.0, (), (), exhausted=False, diverged="", granularity="sync", worth="", last=last
    )


def exploration(*messages: str) -> Exploration:
    """Return a search that failed once in each of these ways."""
    state = Exploration(of(exploration), "random", 1, executions=len(messages))
    for at, message in enumerate(messages, 1):
        finding = Finding("exception", message, (message,))
        state.groups["exception", message] = Group(finding, (0, 1), at, 0.5)
    return state


def test_too_much_to_list(monkeypatch: pytest.MonkeyPatch) -> None:
    """Kinds of failure that do not fit a message are counted, and the report says so."""
    monkeypatch.setattr("verify.parallel.batches.MOST_BYTES", 1000)
    state = exploration("a", "b" * 1000, "c")

    batch = Batch.of(state, found=False)

    assert (["a"], 2) == ([kind.finding.message for kind in batch.groups], batch.unlisted)
    batches = Batches(replace(SEARCH, executions=10))
    batches.add(0, batch)
    assert (
        "2 kinds of failure left out for their size" in merged(of(exploration), batches, 1.0).parts
    )


def test_numbers_of_merged_executions() -> None:
    """The same failure of two batches is one, counted together; the first is the first by number."""
    batches = Batches(replace(SEARCH, executions=30))
    batches.add(2, Batch.of(exploration("x"), found=False))
    batches.add(1, Batch.of(exploration("y", "x"), found=False))
    batches.add(0, passed())

    state = merged(of(exploration), batches, 1.0)

    found = [(of.finding.message, of.first, of.count) for of in state.groups.values()]
    assert ([("y", 11, 1), ("x", 12, 2)], 13) == (found, state.executions)


@pytest.mark.parametrize(
    ("one", "other", "both"),
    [
        ("sync", "sync", "sync"),
        ("sync", "auto+A.x", "auto+A.x"),
        ("auto+A.x", "sync", "auto+A.x"),
        ("auto+A.x", "auto+A.y", "auto+A.x,A.y"),
    ],
)
def test_points_of_all_batches(one: str, other: str, both: str) -> None:
    """The report names the scheduling points of all batches together."""
    assert both == joined(one, other)


def test_classes_of_all_batches() -> None:
    """Independent runs of all batches are counted together; what has no name is a class of its own in each."""
    one = Seen(5, (("pos", (7, 8, -1)),), (9,))
    other = Seen(4, (("pos", (7, -1)), ("random", (7,))), (-2,))

    measure = together([one, other])

    assert (9, 6) == (measure.looked, len(measure.distinct))
    assert (5, 4) == (measure.tallies["pos"].runs, measure.tallies["pos"].classes)
    assert 1 == measure.tallies["random"].classes


def test_batches_at_other_points_are_not_counted_together() -> None:
    """Classes of batches whose scheduling points differ have nothing to do with each other."""
    batches = Batches(replace(SEARCH, executions=20))
    batches.add(0, passed())
    assert merged(of(exploration), batches, 1.0).measure is not None
    batches.add(1, replace(passed(), granularity="auto+A.x"))
    assert merged(of(exploration), batches, 1.0).measure is None


def test_end_of_a_search() -> None:
    """Batches behind the first last one do not count, and nothing is settled before all in front of it are there."""
    batches = Batches(SEARCH)
    for number, last in ((4, True), (0, False), (6, False), (2, True)):
        batches.add(number, passed(last=last))

    assert ([0, 2], [1]) == ([n for n, _ in batches.counting()], batches.missing(1, 1))
    assert ([1], False) == ([task.number for task in batches.left()], batches.settled())
    batches.add(1, Loss(0, Fate.HUNG, "hung"))
    assert batches.settled()


def test_crash_ends_a_search_for_the_first_failure() -> None:
    """A crash is a failure, a kill is none."""
    batches = Batches(replace(SEARCH, first_only=True))

    batches.add(1, Loss(0, Fate.CRASHED, "the worker ended by SIGKILL"))
    assert batches.end is None
    batches.add(2, Loss(0, Fate.CRASHED, "the worker ended by SIGSEGV"))
    assert 2 == batches.end


def test_watching_takes_a_small_part_of_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where it takes two seconds to put the batches together, that is done every forty seconds, not at each batch."""
    now, told = [0.0], list[float]()

    def conduct(*_: object, on_batch: Callable[[Ended], None], **__: object) -> None:
        for number in range(400):
            now[0] += 0.25
            on_batch(Ended(Task(number, 0, {}), Fate.PASSED))

    def slowly(state: Exploration) -> None:
        told.append(now[0])
        now[0] += 2.0
        del state

    program = of(orders.one_lock)
    monkeypatch.setattr("verify._real.perf_counter", lambda: now[0])
    exploring = importlib.import_module("verify.parallel.exploring")
    monkeypatch.setattr(exploring, "conduct", conduct)

    exploring.explore(program, Search.of(program), progress=slowly)

    assert [0.5, 42.5, 84.5] == told
