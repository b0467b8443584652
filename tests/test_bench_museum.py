"""`bench.museum`: what it runs, what it keeps, and the page and picture drawn from it."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from dataclasses import asdict
from typing import TYPE_CHECKING

import pytest

from bench import museum, museum_page
from bench.museum_cells import COLUMNS, HEALTHY, REPLAYS, Cell, Job, run
from stress.migration import defects

if TYPE_CHECKING:
    from pathlib import Path

FOUND = Cell(
    found=True, right=True, first=12, first_s=0.5, executions=12, cause="spin", replays=REPLAYS
)
OTHER = Cell(found=True, right=False, first=3, first_s=0.1, executions=3, cause="deadlock")
MISSED = Cell(found=False, right=False, first=0, first_s=0.0, executions=99, cause="")


def test_totals() -> None:
    """Finds, classes, replays and false alarms are counted, and held to what is promised."""
    matrix = {
        "A1": {"portfolio": FOUND, "random": MISSED, HEALTHY: MISSED},
        "A2": {"portfolio": FOUND},
    }
    totals = museum_page.Totals.of(matrix)
    assert {"portfolio": (2, 2), "random": (0, 1)} == {
        way: count for way, count in totals.found.items() if count[1]
    }
    assert (2, 2, 2, 2, 0, 99) == (
        totals.right, totals.portfolio, totals.identical, totals.replayed, totals.alarms, totals.healthy
    )  # fmt: skip
    assert totals.as_promised
    assert not museum_page.Totals.of({"A1": {"portfolio": FOUND, HEALTHY: OTHER}}).as_promised
    assert not museum_page.Totals.of({"A1": {"portfolio": OTHER}}).as_promised
    assert not museum_page.Totals.of({"A1": {"portfolio": MISSED}}).as_promised


def test_journal(tmp_path: Path) -> None:
    """What was run stands in the journal; a line that is no cell is refused with its number."""
    file = tmp_path / "museum.jsonl"
    job = Job("A3", "0" * 16, "random", 0, 3.0)
    museum.Journal(file).add(job, FOUND)
    again = museum.Journal(file)
    assert {job: FOUND} == again.cells
    assert {"random": FOUND} == again.newest()["A3"]
    file.write_text(file.read_text() + "{}\n")
    with pytest.raises(SystemExit, match="line 2 is no cell"):
        museum.Journal(file)


def test_plan() -> None:
    """Each defect under each way, the ways one after the other."""
    jobs = museum.plan(["A3", "H8"], ["portfolio", "race"], 7, 2.0)
    assert [("A3", "portfolio"), ("H8", "portfolio"), ("A3", "race"), ("H8", "race")] == [
        (job.defect, job.column) for job in jobs
    ]
    assert {7} == {job.seed for job in jobs}


def test_cell() -> None:
    """A cell says how many executions it took, and that its find replays."""
    job = Job("A3", "", "portfolio", 0, 20.0)
    cell = run(job)
    assert (True, True, 1, "broken invariant", REPLAYS) == (
        cell.found, cell.right, cell.first, cell.cause, cell.replays
    )  # fmt: skip


def test_page() -> None:
    """A cell is its execution, a dash, or marked where the class is another."""
    text = museum_page.markdown({"A1": {"portfolio": FOUND, "random": MISSED, "pct": OTHER}}, 3.0)
    assert "| A1 | 12 | - | 3* |" in text


def test_picture() -> None:
    """The picture is whole XML with a square for each cell."""
    matrix = {"A1": dict.fromkeys(COLUMNS, FOUND), "A2": {"portfolio": OTHER}}
    tree = ET.fromstring(museum_page.heat_map(matrix))  # noqa: S314 - made a line above
    titles = [element.text for element in tree.iter("{http://www.w3.org/2000/svg}title")]
    assert len(COLUMNS) == len(titles)
    assert "A2, portfolio: 3*" in titles


def test_page_is_drawn_from_its_data() -> None:
    """Page and picture in the documentation are those of the data beside them, and every defect is there."""
    seconds, matrix = museum.read(museum.DATA)
    assert museum.DATA.with_suffix(".md").read_text() == museum_page.markdown(matrix, seconds)
    assert museum.DATA.with_suffix(".svg").read_text() == museum_page.heat_map(matrix)
    assert list(defects.load()) == list(matrix)
    assert json.loads(json.dumps(asdict(FOUND))) == asdict(FOUND)
