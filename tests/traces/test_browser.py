"""The pages in a real browser: drawn without complaint or request, moved by keys and address, accessible."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from tests.traces import browser
from tests.traces.browser import Browser
from tests.traces.test_html import HOSTILE, hostile, long_run
from tests.traces.values import deadlock, explained, staged, turned
from traces import artifacts
from traces.html.beside import beside
from traces.html.page import page

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from traces.schema import Trace

pytestmark = [*browser.needed, pytest.mark.slow]

LEFT, RIGHT, HOME, END, ENTER = "\ue012", "\ue014", "\ue011", "\ue010", "\ue007"


@pytest.fixture(scope="module")
def opened() -> Iterator[Browser]:
    with Browser() as found:
        yield found


def show(opened: Browser, directory: Path, trace: Trace, behind: str = "") -> None:
    path = directory / "page.html"
    path.write_text(page(trace, "x.json"), encoding="utf-8")
    opened.open(path, behind)


def text(opened: Browser, selector: str) -> str:
    return str(opened.run(f"return document.querySelector({selector!r}).innerText"))


def many(opened: Browser, selector: str) -> int:
    return int(opened.run(f"return document.querySelectorAll({selector!r}).length"))


def step(opened: Browser) -> int:
    """Return the step in the address, which must be that of the heading."""
    found = int(opened.run("return location.hash").removeprefix("#step="))
    assert text(opened, "#which").startswith(f"Step {found} ")
    return found


@pytest.mark.parametrize("trace", [deadlock(), explained(), turned(), hostile(), long_run(1000)])
def test_drawn(opened: Browser, tmp_path: Path, trace: Trace) -> None:
    """The page is drawn, with no complaint on the console and no request but for itself."""
    show(opened, tmp_path, trace)
    assert "yes" == opened.run("return document.documentElement.dataset.ready")
    assert [] == opened.complaints()
    assert [(tmp_path / "page.html").as_uri()] == opened.requests()


def test_hostile(opened: Browser, tmp_path: Path) -> None:
    """What a trace says is shown as it is, and runs nothing."""
    show(opened, tmp_path, hostile())
    assert re.sub(r"\s+", "", ascii(HOSTILE)[1:-1])[:20] in re.sub(
        r"\s+", "", text(opened, "#message")
    )
    assert 2 == many(opened, "script")


def test_what_is_drawn(opened: Browser, tmp_path: Path) -> None:
    """Holds and waits are bars, switches lines, the decisive one and the failing step marked, the cycle drawn."""
    show(opened, tmp_path, staged())
    assert 2 == many(opened, "#lanes .hold")
    assert 1 == many(opened, "#lanes .waits")
    assert 2 == many(opened, "#lanes .cycle")
    assert 3 == many(opened, "#lanes .switch")
    assert 1 == many(opened, "#lanes .decides")
    assert 1 == many(opened, "#lanes .fails")
    assert 6 == many(opened, "#lanes .op")
    assert "Cycle: t1, waits for t2, waits for t1" == opened.run(
        "return document.querySelector('#graph[aria-label^=Cycle]').getAttribute('aria-label')"
    )


def test_locks_at_a_step(opened: Browser, tmp_path: Path) -> None:
    """Owner and waiters are those after the selected step."""
    show(opened, tmp_path, staged(), "#step=2")
    assert (
        "lock\towner\twaiting for it\na\tt1, since step 2\tnobody" == text(opened, "#locks").strip()
    )
    opened.keys(RIGHT)
    assert "a\tt1, since step 2\tt2" in text(opened, "#locks")
    assert "b\tt2, since step 3\tnobody" in text(opened, "#locks")


def test_keys(opened: Browser, tmp_path: Path) -> None:
    """Steps, switches, decision and failure are a key away, and the ends stop."""
    show(opened, tmp_path, staged())
    found = []
    for key in (HOME, LEFT, RIGHT, "j", "k", "n", "n", "p", "d", "f", "n", END, RIGHT, HOME):
        opened.keys(key)
        found.append(step(opened))
    assert [0, 0, 1, 2, 1, 2, 3, 2, 2, 5, 5, 5, 5, 0] == found


def test_address(opened: Browser, tmp_path: Path) -> None:
    """A link to a step opens there; one that is no step opens at the failure; what follows the address is data."""
    for behind, expected in (("#step=1", 1), ("#step=99", 5), ("#step=<x>", 5), ("", 5)):
        show(opened, tmp_path, staged(), behind)
        assert expected == step(opened)
    opened.run("location.hash = '#step=2'")
    opened.run("window.dispatchEvent(new HashChangeEvent('hashchange'))")
    assert 2 == step(opened)


def test_source(opened: Browser, tmp_path: Path) -> None:
    """The lines around the step are shown, its own marked."""
    show(opened, tmp_path, staged(), "#step=2")
    assert "8    with first:" == re.sub(r"\n", "", text(opened, "#source .here"))
    assert 2 == many(opened, "#source div")


def test_search_and_filter(opened: Browser, tmp_path: Path) -> None:
    """The list has what matches, the rest is dimmed, Enter goes on to the next match."""
    show(opened, tmp_path, staged(), "#step=0")
    opened.keys("/", *"acquire b", ENTER)
    assert "2 of 6" == text(opened, "#found")
    assert 2 == many(opened, "#rows tr")
    assert 4 == many(opened, "#lanes .op.dim")
    assert 3 == step(opened)
    opened.keys("\ue00c")
    assert 6 == many(opened, "#rows tr")
    opened.run(
        "const k = document.querySelector('#kind'); k.value = 'preemption'; k.dispatchEvent(new Event('change'))"
    )
    assert 1 == many(opened, "#rows tr")


def test_folding(opened: Browser, tmp_path: Path) -> None:
    """A folded thread keeps its steps, without its locks, and leaves the list."""
    show(opened, tmp_path, staged())
    opened.run("document.querySelectorAll('#names button')[1].click()")
    assert "false" == opened.run(
        "return document.querySelectorAll('#names button')[1].getAttribute('aria-expanded')"
    )
    assert 1 == many(opened, "#lanes .hold")
    assert 4 == many(opened, "#rows tr")


def test_dark(opened: Browser, tmp_path: Path) -> None:
    """The page follows the system, and its own button."""
    ground = "return getComputedStyle(document.documentElement).backgroundColor"
    show(opened, tmp_path, staged())
    light = opened.run(ground)
    opened.keys("t")
    dark = opened.run(ground)
    opened.media("prefers-color-scheme", "dark")
    show(opened, tmp_path, staged())
    assert (light != dark, dark) == (True, opened.run(ground))
    opened.media("prefers-color-scheme", "light")


def test_print(opened: Browser, tmp_path: Path) -> None:
    """Printed, the whole run is in view and the buttons are gone."""
    show(opened, tmp_path, long_run(300))
    printed = opened.driver.execute_cdp_cmd("Page.printToPDF", {"landscape": True})["data"]
    assert printed.startswith("JVBERi0")  # %PDF- in base 64
    assert [] == opened.complaints()


def test_long_run(opened: Browser, tmp_path: Path) -> None:
    """Of 20,000 steps only those in view are drawn; all can be reached."""
    show(opened, tmp_path, long_run(20_000), "#step=12345")
    assert 12_345 == step(opened)
    assert 0 < many(opened, "#lanes .op") < 1000
    assert 100 == many(opened, "#rows tr")
    opened.keys(END)
    assert 19_999 == step(opened)
    opened.keys("0")
    assert many(opened, "#lanes *") < 20_000


def test_checker(opened: Browser, tmp_path: Path) -> None:
    """The checker is at work: it finds what is wrong with a bad page."""
    (tmp_path / "bad.html").write_text(
        "<!doctype html><img src='data:,'><p style='color:#eee'>pale</p>"
    )
    opened.open(tmp_path / "bad.html")
    found = {each.partition(":")[0] for each in opened.violations()}
    assert {"image-alt", "color-contrast", "document-title", "html-has-lang"} <= found


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_accessible(opened: Browser, tmp_path: Path, scheme: str) -> None:
    """The accessibility checker has nothing against any page, in either mode."""
    opened.media("prefers-color-scheme", scheme)
    artifacts.keep(staged(), tmp_path)
    (tmp_path / "beside.html").write_text(beside(staged(), turned(), ("one", "other")))
    for behind, path in (("#step=3", "page.html"), ("", "index.html"), ("", "beside.html")):
        if path == "page.html":
            show(opened, tmp_path, staged(), behind)
        else:
            opened.open(tmp_path / path, behind)
        assert [] == opened.violations(), path
    opened.media("prefers-color-scheme", "light")
