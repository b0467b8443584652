"""What the program calls what it makes, read off the instructions behind the call."""

from __future__ import annotations

import sys

from verify.sites import store_after

NAMES: list[tuple[str, str]] = []


class Made:
    """Notes what it is about to be called."""

    def __init__(self, *_args: object, **_keywords: object) -> None:
        frame = sys._getframe(1)
        NAMES.append(store_after(frame.f_code, frame.f_lasti))


class Pair:
    """Makes two, three and one as attributes."""

    def __init__(self) -> None:
        self.a, self.b = Made(), Made()
        self.c, self.d, self.e = Made(), Made(1), Made(k=2)
        self.f = Made()


def names(code: str) -> list[str]:
    NAMES.clear()
    scope: dict[str, object] = {"Made": Made}
    exec(f"def body():\n {code}\nbody()", scope)  # noqa: S102 - our own code
    return [name for _, name in NAMES]


def test_one_and_several() -> None:
    """One name, two, three, and more than fit a swap."""
    assert ["a"] == names("a = Made()")
    assert ["a", "b"] == names("a, b = Made(), Made(1)")
    assert ["a", "b", "c"] == names("a, b, c = Made(), Made(), Made()")
    assert ["a", "b", "c", "d"] == names("a, b, c, d = Made(), Made(), Made(k=1), Made()")


def test_attributes() -> None:
    """Attributes come with the name of what they are on."""
    NAMES.clear()

    Pair()

    assert [("self", name) for name in "abcdef"] == NAMES


def test_what_goes_elsewhere_has_no_name() -> None:
    """What goes into a list, a tuple that is kept, a return value or a call is not what is stored next."""
    assert ["", ""] == names("a = [Made(), Made()]; b = 1")
    assert ["", ""] == names("a = (Made(), Made()); b = 1; c = 2")
    assert ["", ""] == names("return Made(), Made()")
    assert [""] == names("Made(); b = 1")
    assert [""] == names("id(Made()); b = 1")
