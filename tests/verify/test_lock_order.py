"""The lock-order graph under control: the eight cases, declared locks, keys, waits, cycles over runs, the command."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from stress.cli import main
from traces import lock_baseline, lock_order, token
from traces.lock_order import Graph, Mode, Status
from verify import Portfolio
from verify.explore import replay
from verify.lock_order import store
from verify.lock_order.circles import circles
from verify.lock_order.collect import collect
from verify.lock_order.confirm import steer_into_all
from verify.lock_order.findings import Order, Standing, exit_code, findings, silent
from verify.lock_order.merge import across, merged
from verify.lock_order.page import page
from verify.lock_order.pictures import dot, svg
from verify.program import of

from . import lock_order_cases as cases

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from traces.lock_order import Cycle

    Body = Callable[[], None]

HERE = "tests.verify.lock_order_cases"


def graph_of(body: Body, executions: int = 12) -> Graph:
    return collect(of(body).at("sync"), Portfolio(1), executions=executions).graph


def potential(graph: Graph) -> list[Cycle]:
    return [each for each in graph.cycles.values() if each.verdict == lock_order.POTENTIAL]


def reasons(graph: Graph) -> set[str]:
    return {cycle.reason for cycle in silent(graph, findings(graph))}


@pytest.mark.parametrize("body", cases.REAL, ids=lambda body: str(body.__name__))
def test_real_cycles(body: Body) -> None:
    """Each real cycle is one finding, and a directed schedule ends in it that replays on both backends."""
    program = of(body).at("sync")

    (found,) = findings(graph_of(body))
    (steered,) = steer_into_all(program, [found.cycle] if found.cycle else [], runs=50)

    assert Standing.POTENTIAL is found.standing
    assert Status.CONFIRMED is steered.outcome.status
    assert steered.group is not None
    assert "deadlock" == steered.group.finding.cause
    assert replay(program, token.decode(steered.outcome.token))[0].identical


@pytest.mark.parametrize(
    ("body", "reason"), cases.SILENT.items(), ids=lambda each: str(getattr(each, "__name__", each))
)
def test_silent_cycles(body: Body, reason: str) -> None:
    """Each cycle that is no deadlock is silent, with its reason."""
    graph = graph_of(body)

    assert ([], {reason}) == (findings(graph), reasons(graph))


def test_a_read_write_lock() -> None:
    """A declared lock has its place in the graph; a writer closes the circle, readers do not."""
    (found,) = findings(graph_of(cases.writers))
    assert found.cycle is not None
    (steered,) = steer_into_all(of(cases.writers).at("sync"), [found.cycle], runs=50)
    readers = graph_of(cases.shelves)

    assert {"books", "other"} == set(found.names)
    assert Status.CONFIRMED is steered.outcome.status
    assert ([], {"read locks"}) == (findings(readers), reasons(readers))


def test_keys() -> None:
    """Locks of one class taken with rising keys are in order; with a falling one they are not."""
    (found,) = findings(graph_of(cases.falling))

    assert [] == findings(graph_of(cases.keyed))
    assert {Mode.IN_ORDER} == {key.mode for key in graph_of(cases.keyed).edges}
    assert ("keys out of order", Standing.BROKEN) == (found.kind, found.standing)


def test_a_signal_is_no_mutex() -> None:
    """A circle through a lock that another thread gives back is silent."""
    assert {"signal"} == reasons(graph_of(cases.signalled))


def test_nested_monitor() -> None:
    """A wait under a lock that every notifier needs is a finding."""
    (found,) = findings(graph_of(cases.monitor, 30))

    assert ("nested monitor", ("outer", "ready")) == (found.kind, found.names)


def test_halves_of_a_cycle_in_different_runs() -> None:
    """A cycle that no run shows whole appears when runs are put together, and is nobody's before."""
    forth, back = graph_of(cases.only_ab), graph_of(cases.only_ba)
    both = merged([forth, back])

    assert [[], []] == [findings(forth), findings(back)]
    (cycle,) = across(both)
    assert ("different runs", False) == (cycle.reason, cycle.objects)
    assert ["Pair.a", "Pair.b"] == sorted(findings(both)[0].names)
    assert [] == across(merged([graph_of(cases.joined), graph_of(cases.joined)]))


def test_main_thread_alone_is_one_thread() -> None:
    """Halves that only the main thread makes are no cycle: a process has one main thread."""
    forth = graph_of(lambda: cases.Pair().forth())
    back = graph_of(lambda: cases.Pair().back())

    assert [] == across(merged([forth, back]))


def test_merging_keeps_what_was_proved() -> None:
    """A potential cycle stays one beside a run in which the locks were others, and counts add up."""
    graph = graph_of(cases.abba)
    twice = merged([graph, graph])

    assert 2 * graph.runs == twice.runs
    assert 1 == len(findings(twice))
    assert list(graph.edges) == list(twice.edges)


def test_declared_order() -> None:
    """Taking a lock against the declared order, or any under a leaf, is broken order."""
    graph = graph_of(cases.only_ab)

    assert [] == findings(graph, Order(("Pair.a", "Pair.b")))
    (against,) = findings(graph, Order(("Pair.b", "Pair.a")))
    (leaf,) = findings(graph, Order(("Pair.b",), ("Pair.a",)))
    assert "declared order: Pair.b > Pair.a" == against.text
    assert leaf.text.startswith("Pair.a is declared a leaf")
    assert 1 == exit_code([against])


def test_circles() -> None:
    """Simple circles come once, shortest first; what leads nowhere is passed over."""
    arcs = [("a", "b"), ("b", "c"), ("c", "a"), ("b", "a"), ("c", "x"), ("y", "a"), ("a", "a")]

    assert [("a", "b"), ("a", "b", "c")] == list(circles(arcs, lambda: None))


def test_too_many_circles_are_said() -> None:
    """A graph in which everything is taken under everything ends, and says that it is incomplete."""
    names = range(40)
    said: list[int] = []

    sum(1 for _ in circles([(a, b) for a in names for b in names], lambda: said.append(1)))

    assert [1] == said


def test_pictures() -> None:
    """DOT and our own SVG have every lock and edge, and the red ones are those of the finding."""
    graph = graph_of(cases.abba)
    found = findings(graph)
    picture = svg(graph, found, graphviz=False)

    assert 2 == dot(graph, found).count("->")
    assert 2 == dot(graph, found).count("penwidth=2")
    ET.fromstring(picture)  # noqa: S314 - our own text
    assert 2 == picture.count("url(#red)")


def test_page() -> None:
    """The page has picture, findings and edges; what the program is called is never markup."""
    graph = graph_of(cases.abba)
    classes = {key: replace(each, name=f"<b>{each.name}") for key, each in graph.classes.items()}
    graph = replace(graph, classes=classes)
    made = page(graph, findings(graph))

    assert "<b>" not in made
    assert 2 == made.count('<tr><th scope="row">')
    assert "script-src 'none'" in made
    assert "<title>lock order: potential: lock-order cycle</title>" in made


def run(*words: str, output: Path) -> int:
    return main(["lock-order", *words, "--executions", "12", "--output", str(output)])


@pytest.mark.slow
def test_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A confirmed cycle is exit code 1 with a replay line; in the baseline it is 0, and expired it is 1 again."""
    target, base = f"{HERE}:abba", tmp_path / "base.json"

    first = run(target, "--write-baseline", str(base), "--reason", "old", output=tmp_path)
    shown = capsys.readouterr().out
    second = run(target, "--baseline", str(base), output=tmp_path)
    (entry,) = lock_baseline.from_json(base.read_text())
    base.write_text(base.read_text().replace('"expires": null', '"expires": "2020-01-31"'))
    third = run(target, "--baseline", str(base), output=tmp_path)

    assert (1, 0, 1) == (first, second, third)
    assert f"replay: stage3 replay {target} s3:1:" in shown
    assert "old" == entry.reason
    assert "accepted (old)" in capsys.readouterr().out


@pytest.mark.slow
def test_command_silent(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing found is 0, with reasons; a cycle that data exclude is excluded by running every schedule."""
    assert 0 == run(f"{HERE}:gate", output=tmp_path)
    assert "a -> b -> a: gate: " in capsys.readouterr().out
    assert 0 == run(f"{HERE}:in_flags", output=tmp_path)
    assert "excluded: lock-order cycle: a -> b -> a" in capsys.readouterr().out
    (certificate,) = tmp_path.glob("*.cert")
    assert 0 == main(["certificate", "check", str(certificate)])
    assert 4 == run(f"{HERE}:in_flags", "--exhaust", "0", output=tmp_path)
    assert "not reached in 200 directed executions" in capsys.readouterr().out


@pytest.mark.slow
def test_command_monitor(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A nested monitor in which an execution slept for ever is confirmed by that execution."""
    target = f"{HERE}:monitor"

    assert 1 == main(["lock-order", target, "--executions", "40", "--output", str(tmp_path)])

    shown = capsys.readouterr().out
    assert "confirmed: nested monitor: outer -> ready" in shown
    assert f"replay: stage3 replay {target} s3:1:" in shown
    assert "holding outer: every notification seen is made with it" in shown


@pytest.mark.slow
def test_command_merges_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`--into` merges with what is there; files alone are judged without steering."""
    into = tmp_path / "order.json"

    run(f"{HERE}:only_ab", "--into", str(into), output=tmp_path)
    assert 4 == run(f"{HERE}:only_ba", "--into", str(into), output=tmp_path)
    capsys.readouterr()
    assert 4 == run(str(into), "--json", output=tmp_path)

    shown = json.loads(capsys.readouterr().out)
    assert ["different runs"] == [cycle.reason for cycle in across(store.load(into))]
    assert ["potential"] == [each["standing"] for each in shown["findings"]]


def test_sarif(tmp_path: Path) -> None:
    """The SARIF log has what the schema requires, stable ids and fingerprints, and relative paths."""
    file = tmp_path / "x.sarif"
    run(f"{HERE}:bank", "--sarif", str(file), output=tmp_path)

    log = json.loads(file.read_text())

    assert {"$schema", "version", "runs"} == log.keys()
    assert "2.1.0" == log["version"]
    (whole,) = log["runs"]
    driver = whole["tool"]["driver"]
    assert "stage3" == driver["name"]
    (result,) = whole["results"]
    assert result["ruleId"] == driver["rules"][result["ruleIndex"]]["id"] == "lock-order-cycle"
    assert "error" == result["level"]
    assert result["message"]["text"]
    assert {"stage3LockOrder/v1"} == result["partialFingerprints"].keys()
    (place,) = result["locations"]
    where = place["physicalLocation"]
    assert "tests/verify/lock_order_cases.py" == where["artifactLocation"]["uri"]
    assert where["region"]["startLine"] > 0
    assert [1] == [each["id"] for each in result["relatedLocations"]]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["nowhere.json"], "nowhere.json: cannot be read: No such file or directory"),
        ([f"{HERE}:nothing"], "has no function 'nothing'"),
        ([f"{HERE}:abba", "--baseline", "no.json"], "no.json: cannot be read"),
    ],
)
def test_bad_input(
    words: list[str],
    said: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """What cannot be used is one line and exit code 2."""
    assert 2 == run(*words, output=tmp_path)
    error = capsys.readouterr().err
    assert said in error
    assert 1 == error.count("\n")


def test_an_exclusion_ends_with_new_evidence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What every schedule of one target excludes is open again when another run makes an edge of the cycle."""
    into = tmp_path / "order.json"
    run(f"{HERE}:in_flags", "--into", str(into), output=tmp_path)
    graph = store.load(into)
    (found,) = findings(graph)

    other = graph_of(lambda: cases.in_flags())

    assert Standing.EXCLUDED is found.standing
    assert Standing.EXCLUDED is findings(merged([graph, graph]))[0].standing
    assert Standing.POTENTIAL is findings(merged([graph, other]))[0].standing
    assert 0 == run(str(into), "--into", str(into), output=tmp_path)
    assert graph == store.load(into)


@pytest.mark.slow
def test_executions_count_once(tmp_path: Path) -> None:
    """A file merged into itself says no more than before; directed executions of several days and targets add up."""
    into = tmp_path / "order.json"
    more = ["--into", str(into), "--exhaust", "0", "--steer", "3"]
    targets = [f"{HERE}:in_flags", f"{HERE}:in_flags?"]

    def searched() -> list[tuple[str, int]]:
        return [(each.target, each.runs) for each in store.load(into).outcomes.values()]

    run(*targets, *more, output=tmp_path)
    first = searched()
    run(str(into), *more, output=tmp_path)
    again = searched()
    run(*targets, *more, output=tmp_path)

    both = " and ".join(targets)
    assert [[(both, 6)], [(both, 6)], [(both, 12)]] == [first, again, searched()]
