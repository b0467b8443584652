"""Coverage of orders: what the listener pairs, what a file holds, how files merge."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stress.cli import main
from traces.errors import InputError
from verify import program as programs
from verify import registry
from verify.coverage import Coverage, Pairs, Place, Seen, dump, load, merge, parse, save
from verify.session import Session

from . import orders, zoo

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

A, B = Place("Lock", "Lock.acquire", "a.py:1 f"), Place("Lock", "Lock.acquire", "a.py:2 g")
SEEN = Seen("0" * 16, 3)
PLACES = st.builds(Place, *[st.text(max_size=8)] * 3)
COVERAGES = st.builds(
    Coverage,
    st.dictionaries(
        st.text(max_size=8),
        st.builds(Seen, st.from_regex(r"[0-9a-f]{16}", fullmatch=True), st.integers(0, 1 << 53)),
        max_size=3,
    ),
    st.frozensets(st.tuples(PLACES, PLACES), max_size=6),
)


def seen(body: Callable[[], object], executions: int = 40, strategy: str = "random") -> Coverage:
    """Return the coverage of a few runs."""
    program, pairs, search = programs.of(body), Pairs(), registry.make(strategy, 0)
    with Session(program) as session:
        for _ in range(executions):
            search.new_execution()
            session.run(search, [pairs, *program.detectors()])
    return pairs.coverage(program.target, program.digest)


def name(place: Place) -> str:
    """Return the innermost function of a site."""
    return place.site.rpartition(" ")[2].rpartition(".")[2]


def functions(coverage: Coverage) -> list[tuple[str, str, str, str]]:
    """Return the pairs never flipped, as operations and innermost functions."""
    return [(a.op, name(a), b.op, name(b)) for a, b in coverage.goals]


def test_both_orders_of_one_lock() -> None:
    """Two threads that take a lock are seen in both orders, and no order is left to try."""
    coverage = seen(orders.one_lock)

    assert (1, []) == (coverage.flipped, coverage.goals)
    assert {"Lock"} == {place.kind for pair in coverage.pairs for place in pair}


def test_one_order_is_a_goal() -> None:
    """With a single run one order is left to try, and the lines of both are named."""
    (goal,) = functions(seen(orders.one_lock, executions=1))

    assert ("Lock.acquire", "Lock.acquire") == (goal[0], goal[2])
    assert {"left", "right"} == {goal[1], goal[3]}


def test_waiting_counts_as_coming_first() -> None:
    """A thread that waits when the event is set came before it."""
    coverage = seen(orders.event)

    assert (1, []) == (coverage.flipped, functions(coverage))


def test_an_order_the_program_keeps() -> None:
    """An event that is set before its waiter exists is never flipped."""
    assert [("Event.set", "event_first", "Event.wait", "wait")] == functions(
        seen(orders.event_first)
    )


def test_listener_changes_nothing() -> None:
    """The same seed runs the same schedules with the listener and without."""
    program = programs.of(zoo.abba)
    choices = []
    for listeners in ([], [Pairs()]):
        search = registry.make("random", 7)
        with Session(program) as session:
            for _ in range(20):
                search.new_execution()
                choices.append(session.run(search, [*listeners, *program.detectors()]).choices)

    assert choices[:20] == choices[20:]


@given(COVERAGES)
def test_round_trip(coverage: Coverage) -> None:
    """What is written is read back."""
    assert coverage == parse(dump(coverage))


@given(st.one_of(st.text(), st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(
        st.sampled_from(["format", "version", "programs", "places", "pairs", "x"]), inner, max_size=6
    ),
).map(json.dumps)))  # fmt: skip
def test_hostile_text(text: str) -> None:
    """Text that is no coverage is refused by name, whatever it is."""
    with pytest.raises(InputError, match="delete it and run again"):
        parse(text)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"version": 2}, "version: 2 is not 1"),
        ({"pairs": [[0, 9]]}, "pairs[0]: 9 is not a whole number from 0 to 1"),
        ({"pairs": [[0, True]]}, "pairs[0]"),
        ({"places": [["Lock", "x"]]}, "places[0]"),
        ({"programs": [["m:f", "zz", 1]]}, "programs[0] digest"),
        ({"programs": [["m:f", "0" * 16, -1]]}, "programs[0] executions"),
        ({"more": 1}, "fields: 'more'"),
        ({"pairs": {}}, "pairs: an object of 0"),
    ],
)
def test_wrong_fields(change: dict[str, object], said: str) -> None:
    """Each field is checked, and named."""
    good = json.loads(dump(Coverage({"m:f": SEEN}, frozenset([(A, B)]))))

    with pytest.raises(InputError) as caught:
        parse(json.dumps(good | change))

    assert said in str(caught.value)


def test_merge() -> None:
    """Two orders seen apart are flipped together; executions add up."""
    one, other = (
        Coverage({"m:f": SEEN}, frozenset([(A, B)])),
        Coverage({"m:f": SEEN, "m:g": SEEN}, frozenset([(B, A)])),
    )
    both = merge(one, other)

    assert ([(A, B)], [], 1) == (one.goals, both.goals, both.flipped)
    assert {"m:f": Seen("0" * 16, 6), "m:g": SEEN} == both.programs


def test_two_texts_of_one_program() -> None:
    """Lines of another text of the program are refused, with what to do."""
    with pytest.raises(InputError, match=r"m:f: coverage of two texts of it .* delete the older"):
        merge(Coverage({"m:f": SEEN}), Coverage({"m:f": Seen("1" * 16, 3)}))


def test_save_adds(tmp_path: Path) -> None:
    """A file that is there is added to; nothing else is left in the directory."""
    file = tmp_path / "made" / "coverage.json"
    save(Coverage({"m:f": SEEN}, frozenset([(A, B)])), file)
    save(Coverage({"m:f": SEEN}, frozenset([(B, A)])), file)

    assert ([], 6) == (load(file).goals, load(file).programs["m:f"].executions)
    assert [file] == [*file.parent.iterdir()]


def test_save_leaves_what_it_cannot_read(tmp_path: Path) -> None:
    """A file that is no coverage is refused and stays as it is."""
    file = tmp_path / "notes.txt"
    file.write_text("mine")

    with pytest.raises(InputError, match=r"notes\.txt: coverage: is no JSON"):
        save(Coverage(), file)

    assert "mine" == file.read_text()


def test_unreadable_files(tmp_path: Path) -> None:
    """A missing file, a directory and bytes that are no text are each named."""
    binary = tmp_path / "binary"
    binary.write_bytes(b"\xff")
    for path, said in (
        (tmp_path / "none", "cannot be read"),
        (tmp_path, "regular"),
        (binary, "UTF-8"),
    ):
        with pytest.raises(InputError, match=f"{path.name}: .*{said}"):
            load(path)


def test_on_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A first run leaves an order to try, named by its lines; more runs into the same file leave none."""
    file = str(tmp_path / "coverage.json")
    explore = [
        "explore",
        "tests.verify.orders:one_lock",
        "--coverage",
        file,
        "--strategy",
        "random",
    ]
    assert 0 == main([*explore, "--executions", "1"])
    first = capsys.readouterr().out
    assert 0 == main([*explore, "--executions", "40"])
    assert 0 == main(["coverage", file, "--json"])
    merged = json.loads(capsys.readouterr().out.partition("\n{")[2].join(["{", ""]))

    assert (
        "of pairs of conflicting operations 0 were seen in both orders, 1 in one order only"
        in first
    )
    assert "never flipped: Lock.acquire Lock at tests/verify/orders.py:" in first
    assert (41, 1, []) == (merged["executions"], merged["flipped"], merged["never_flipped"])


def test_command_merges(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Files given together are merged, written where asked, and stay as they are."""
    files = [tmp_path / "one", tmp_path / "two"]
    save(Coverage({"m:f": SEEN}, frozenset([(A, B)])), files[0])
    save(Coverage({"m:f": SEEN}, frozenset([(B, A)])), files[1])

    assert 0 == main(["coverage", *map(str, files), "--output", str(tmp_path / "both")])
    assert "of pairs of conflicting operations 1 were seen in both" in capsys.readouterr().out
    assert (6, 3) == tuple(
        load(tmp_path / name).programs["m:f"].executions for name in ("both", "one")
    )


def test_command_refuses(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A file that cannot be used is one line and exit code 2."""
    assert 2 == main(["coverage", str(tmp_path / "none")])
    assert 1 == len(capsys.readouterr().err.splitlines())
