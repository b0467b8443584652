"""Correct programs, and CPython's own waiting code stepped through, under every detector: nothing is found."""

from __future__ import annotations

import pytest

from bench import correct, pure
from bench.false_alarms import BY_DESIGN, Case, cases, search, told
from verify.detectors.dependence import decides

CASES = [case for case in cases() if case.origin != "must pass"]
SOURCE = """\
def work(box, table, lock):
    box.n += 1
    if "k" not in table:
        with lock:
            table["k"] = 1
    seen = box.n
    more = seen + 1
    if more > 3:
        box.n = 0
    print(box.n)
    table["k"] = 2
    if box.n:
        return
    box.n = more
    while box.n:
        box.n = 9


def other(box):
    box.n = 1
"""


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_silent(case: Case) -> None:
    """A few schedules of each; `python -m bench.false_alarms` runs two thousand."""
    assert [] == told(search(case.watched, 12))


def test_all_there() -> None:
    """The programs are 22, and those of the library three."""
    assert (22, 3) == (len(correct.PROGRAMS), len(pure.PROGRAMS))


@pytest.mark.slow
def test_library_is_stepped_through() -> None:
    """The lock that CPython writes in Python reads its owner before it has the lock, and that is seen."""
    assert "_RLock._owner" == Case(
        "library", "own_condition", pure.program_of("own_condition")
    ).races(20)
    assert {"_RLock._owner"} == BY_DESIGN["own_condition"]


@pytest.mark.parametrize(
    ("read", "write", "expected"),
    [
        (2, 2, True),    # one statement
        (3, 5, True),    # a test, and what stands under it
        (6, 9, True),    # a local variable carries it, through another, into a test
        (6, 14, True),   # and into a value
        (12, 14, True),  # a test whose body leaves
        (15, 16, True),  # a loop
        (10, 11, False),  # read, and nothing done with it
        (3, 11, False),  # the test is over
        (14, 16, False),  # what is read to be written is not the test
        (2, 21, False),  # another function
    ],
)  # fmt: skip
def test_decides(
    tmp_path_factory: pytest.TempPathFactory, read: int, write: int, *, expected: bool
) -> None:
    """Whether what one line reads decides what another writes is read off the source."""
    file = tmp_path_factory.mktemp("source") / "source.py"
    file.write_text(SOURCE)

    assert expected is decides(str(file), read, write)


def test_decides_nothing_of_no_source() -> None:
    """Of a file that is not there, nothing is said."""
    assert not decides("/no/such/file.py", 1, 1)
