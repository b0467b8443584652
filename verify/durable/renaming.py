"""Names that an edit changed, read off lines that are otherwise alike.

Promises: only a name that is in the old text alone is said to be a new one, which is in the new text alone; no two
become one. Of several candidates the one with the most votes is taken: a vote is a pair of places with the same kind of
operation whose lines are alike but for names, and it counts more where more of the rest agrees.
"""

from __future__ import annotations

import keyword
import re
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

from verify.durable.places import words

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from traces.anchors import Place

_WORD = re.compile(r"[^\W\d]\w*")


def shape(line: str) -> tuple[str, ...]:
    """Return a line without what names things."""
    return tuple("_" if _is_name(word) else word for word in words(line))


def _is_name(word: str) -> bool:
    return word.isidentifier() and not keyword.iskeyword(word)


def _names(place: Place) -> set[str]:
    text = f"{place.function} {place.line} {place.object} {place.made}"
    return {word for word in _WORD.findall(text) if _is_name(word)}


def _all_names(places: Iterable[Place]) -> set[str]:
    return set[str]().union(*map(_names, places))


def renamed(
    old: Sequence[Place], new: Sequence[Place], weigh: Callable[[Place, Place], float]
) -> Mapping[str, str]:
    """Return what names of the old places have become; `weigh` says how much a pair of places counts, 0 for not."""
    olds, news = _all_names(old), _all_names(new)
    gone, fresh = olds - news, news - olds
    votes: Counter[tuple[str, str]] = Counter()
    for one in old:
        for other in new if _names(one) & gone else ():
            weight = round(10 * weigh(one, other))
            if weight > 0 and shape(one.line) == shape(other.line):
                for pair in _pairs(one, other):
                    votes[pair] += weight
    out: dict[str, str] = {}
    taken: set[str] = set()
    for (before, after), _ in votes.most_common():
        if before in gone and after in fresh and before not in out and after not in taken:
            out[before] = after
            taken.add(after)
    return out


def _pairs(one: Place, other: Place) -> Iterable[tuple[str, str]]:
    yield from zip(words(one.line), words(other.line), strict=True)
    for before, after in (
        (one.function, other.function),
        (one.object, other.object),
        (one.made, other.made),
    ):
        if shape(before) == shape(after):
            yield from zip(words(before), words(after), strict=True)


def translate(place: Place, names: Mapping[str, str]) -> Place:
    """Return an old place in the names of the new text. What stands in no function may name things by its `op`."""

    def said(text: str) -> str:
        return _WORD.sub(lambda found: names.get(found[0], found[0]), text)

    return replace(
        place,
        op=place.op if place.function else said(place.op),
        function=said(place.function),
        line=said(place.line),
        object=said(place.object),
        made=said(place.made),
    )
