"""How large a timeline page is and how long it takes: `python -m bench.timeline [--steps N ...]`, half a minute.

For runs of 200, 2,000 and 20,000 steps of four threads that take two locks in turn, recorded by a search as any failure
is: seconds to record and to write, sizes of trace and page, and in a headless Chromium the milliseconds from opening to
drawn (best of five) and from a key to the next step drawn (median of forty). Without a browser only the former.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

from tests.traces.browser import CHROMIUM, DRIVER, Browser
from traces import store
from traces.html.page import page
from verify import PCT, Settings, explore, scenario
from verify.program import of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from traces.schema import Trace

SIZES = (200, 2_000, 20_000)
THREADS, STEPS_A_ROUND = 4, 4
OPENED, PRESSED = 5, 40
DRAWN = "const [n] = performance.getEntriesByType('navigation'); return n.domContentLoadedEventEnd - n.startTime"
PRESS = """
const begin = performance.now();
document.dispatchEvent(new KeyboardEvent('keydown', {key: 'ArrowLeft', bubbles: true}));
document.getElementById('lanes').getBoundingClientRect();
return performance.now() - begin;
"""


def program(steps: int) -> Callable[[], None]:
    """Return a program that makes about so many steps and fails at the end."""
    rounds = max(1, steps // (THREADS * STEPS_A_ROUND))

    def body() -> None:
        outer, inner = threading.Lock(), threading.Lock()

        def work() -> None:
            for _ in range(rounds):
                with outer, inner:
                    pass

        threads = [threading.Thread(target=work) for _ in range(THREADS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        raise AssertionError("the end")

    return body


def recorded(steps: int) -> Trace:
    """Return the trace of a run of about so many steps."""
    settings = Settings(max_steps=4 * steps + 1000)
    body = of(scenario(settings=settings)(program(steps)))
    state = explore(body, PCT(1), executions=1, first_only=True)
    trace = next(iter(state.groups.values())).trace
    assert trace is not None
    return trace


def seen(browser: Browser, path: Path) -> tuple[float, float]:
    """Return the milliseconds until the page is drawn, and until the next step is."""
    drawn = []
    for _ in range(OPENED):
        browser.open(path)
        drawn.append(float(browser.run(DRAWN)))
    return min(drawn), statistics.median(float(browser.run(PRESS)) for _ in range(PRESSED))


def row(steps: int, browser: Browser | None) -> str:
    """Return one line of the table."""
    with tempfile.TemporaryDirectory() as name:
        begin = time.perf_counter()
        trace = recorded(steps)
        between = time.perf_counter()
        file, path = store.save(trace, Path(name)), Path(name) / "page.html"
        path.write_text(page(trace, file.name), encoding="utf-8")
        end = time.perf_counter()
        sizes = [each.stat().st_size / 1000 for each in (file, path)]
        times = seen(browser, path) if browser is not None else (float("nan"), float("nan"))
    return (
        f"{len(trace.steps):>8,} {between - begin:>9.2f} {end - between:>8.2f} "
        f"{sizes[0]:>11,.0f} {sizes[1]:>10,.0f} {times[0]:>9.0f} {times[1]:>7.1f}"
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Print the table; return the exit code."""
    parser = argparse.ArgumentParser(prog="bench.timeline", description=__doc__)
    parser.add_argument("--steps", type=int, nargs="+", default=SIZES, metavar="N")
    args = parser.parse_args(argv)
    print("   steps  record s  write s  trace (kB)  page (kB)  drawn ms  key ms")
    if CHROMIUM and DRIVER:
        with Browser() as browser:
            for steps in args.steps:
                print(row(steps, browser), flush=True)
    else:
        for steps in args.steps:
            print(row(steps, None), flush=True)
        print("no chromium and chromedriver on PATH: nothing was opened")
    return 0


if __name__ == "__main__":
    sys.exit(main())
