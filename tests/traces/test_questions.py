"""The page about the recorded hang answers the questions of docs/timeline-questions.md without much scrolling."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.traces import browser
from tests.traces.browser import HEIGHT, Browser
from traces.html.page import page
from traces.store import load

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [*browser.needed, pytest.mark.slow]

TRACE = Path(__file__).with_name("data") / "stop-hang.json"

WHERE = """
const [selector, text] = arguments;
const says = (each) => each.innerText.replace(/\\s+/g, " ");
const found = [...document.querySelectorAll(selector)].filter((each) => says(each).includes(text));
if (!found.length) return null;
const box = found[found.length - 1].getBoundingClientRect();
return [box.bottom + scrollY, box.height, box.right];
"""
IN_VIEW = """
const box = document.querySelector(arguments[0]).getBoundingClientRect();
return box.top >= 0 && box.bottom <= innerHeight;
"""


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    path = tmp_path_factory.mktemp("page") / "hang.html"
    path.write_text(page(load(TRACE), str(TRACE.name)), encoding="utf-8")
    with Browser() as found:
        found.open(path)
        yield found


def bottom(opened: Browser, selector: str, text: str) -> float:
    """Return how far down the page the last element with that text ends; it must be there, and not be empty."""
    found = opened.driver.execute_script(WHERE, selector, text)
    assert found is not None, text
    low, height, right = found
    assert height > 0
    assert right <= browser.WIDTH
    return float(low)


@pytest.mark.parametrize(
    "text",
    [
        "main: main:Event#1 in Event.wait step 58",
        "source iothread: MainLoop._selector in Selector.select step 75",
        "vcpu 0: halt condition of vCPU 0 in Condition.wait step 68",
        "vcpu 1: halt condition of vCPU 1 in Condition.wait step 73",
        "nobody holds a lock",
        "source iothread goes on, a switch: Condition.wake pause condition step 59",
        "24 of 24 sampled schedules that go so far fail in this way",
        "vcpu 0 going on there instead step 59",
        "9 of 24 sampled schedules then end well, 15 fail in this way",
    ],
)
def test_at_once(opened: Browser, text: str) -> None:
    """The answers for the end of the run are in view when the page opens."""
    assert bottom(opened, "#answers li", text) <= HEIGHT


def test_at_the_decision(opened: Browser) -> None:
    """One key leads to the step that decides; scrolled once, its owner, its waiters and its source are in view."""
    opened.keys("d")
    assert "#step=59" == opened.run("return location.hash")
    row = "Machine.big_lock source iothread, since step 59 vcpu 0, vcpu 1"
    assert bottom(opened, "#locks tr", row) <= 2 * HEIGHT
    assert bottom(opened, "#source .here", "self.pause_cond.wait()") <= 2 * HEIGHT
    opened.run("window.scrollTo(0, 300)")
    for selector in ("#locks", "#graph", "#source .here"):
        assert opened.driver.execute_script(IN_VIEW, selector), selector
    waits = opened.run("return document.querySelector('#graph').getAttribute('aria-label')")
    for vcpu in ("vcpu 0", "vcpu 1"):
        assert f"{vcpu} waits for Machine.big_lock, which source iothread has" in waits
