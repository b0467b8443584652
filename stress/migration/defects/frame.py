"""What a defect of the museum consists of, and how it is seeded: `seeded`, and by nothing else.

Promises: outside a `with seeded(...)` block the engine is whole; a block restores what it found at import, whatever
happened inside. A step that was replaced and has changed since is named by `Defect.drift`.
Assumes: one block at a time in a process, entered before the machine is built.
Does not: hunt, or know scenarios by more than their names.

A defect is one or few steps of the engine replaced by functions of its own, or, where `mig.designs` has the same fault,
that design: then the machine is built by it and nothing is replaced at all. With both, the steps are replaced and the
machine is built by that design, which is whole.
"""

from __future__ import annotations

import ast
import hashlib
import inspect
import re
import textwrap
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from mig.designs.base import Design, Steps
from mig.designs.thread import Merged, Thread

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

HEALTHY: Final = Thread.name
_NUMBERED: Final = re.compile(r"^\d+\. ", re.MULTILINE)
_IDS: Final = re.compile(r"[A-Z]\d+(, [A-Z]\d+)*")


def digest(function: object) -> str:
    """Eight hex digits over a function's source, without its comments, docstrings and layout."""
    inner = getattr(function, "fget", None) or getattr(function, "__func__", None) or function
    tree = ast.parse(textwrap.dedent(inspect.getsource(inner)))  # type: ignore[arg-type] # a function by now
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef) and ast.get_docstring(node) is not None:
            node.body = node.body[1:] or [ast.Pass()]
    return hashlib.blake2b(ast.unparse(tree).encode(), digest_size=4).hexdigest()


class Step:
    """A step of the engine, `owner.name`, and the function `by` in its place; `known`: what it replaces, digested."""

    def __init__(self, owner: type, name: str, by: object, known: str) -> None:
        self.owner = owner
        self.name = name
        self.by = by
        self.known = known
        self.whole: object = vars(owner).get(name)

    def __str__(self) -> str:
        return f"{self.owner.__module__}.{self.owner.__qualname__}.{self.name}"

    @property
    def drift(self) -> str:
        """What is to be done where the step is not the one that the defect was written against, or an empty string."""
        if self.whole is None:
            return f"{self} is gone: replace the step that does its work now"
        now = digest(self.whole)
        if now == self.known:
            return ""
        return f"{self} has changed: see whether the defect still does what it says, then write {now} for {self.known}"


@dataclass(frozen=True)
class Defect:
    """One historic bug. `story` is its module's docstring, which `__post_init__` holds to its form.

    `scenario` and `arguments` bring it about; `cause` and `word` (in the finding's key or message) are what a search
    has to report.
    """

    story: str
    scenario: str
    cause: str
    word: str
    steps: tuple[Step, ...] = ()
    design: type[Thread] | None = None
    arguments: Mapping[str, int] = field(default_factory=dict)
    known: str = ""
    """Of a design: the digest over all steps that it replaces."""
    also: tuple[tuple[str, str], ...] = ()
    """Other causes and words by which the same defect shows, in other schedules."""

    def __post_init__(self) -> None:
        ids, dot, _ = self.story.partition(". ")
        lacking = [word for word in ("\nUpstream: ", "\nFix: ") if word not in self.story]
        if not dot or not _IDS.fullmatch(ids) or lacking or len(self.mechanism) < 2:
            raise ValueError(
                f"the story of {ids[:40]!r} lacks {lacking or 'ids or numbered steps'}; see another defect's"
            )

    @property
    def ids(self) -> tuple[str, ...]:
        """Its numbers in the catalogue, the one it goes by first."""
        return tuple(self.story.partition(". ")[0].split(", "))

    @property
    def title(self) -> str:
        """One sentence."""
        return self.story.partition("\n")[0].partition(". ")[2]

    def part(self, name: str) -> str:
        """The paragraph of the story that begins with `name`, in one line."""
        _, _, rest = self.story.partition(f"\n{name}: ")
        end = re.search(r"\n(?=[A-Z1-9][a-z]*[:.] )|\n\n|\Z", rest)
        return " ".join(rest[: end.start() if end else None].split())

    @property
    def mechanism(self) -> tuple[str, ...]:
        """The numbered steps by named threads."""
        body, *steps = _NUMBERED.split(self.story)
        del body
        return tuple(" ".join(re.split(r"\n[A-Z][a-z]+: ", step)[0].split()) for step in steps)

    @property
    def design_name(self) -> str:
        """The design that the machine is built by while it is seeded."""
        return HEALTHY if self.design is None else self.design.name

    @property
    def whole_design(self) -> str:
        """The design that the machine is built by when it is not."""
        return self.design_name if self.steps else HEALTHY

    @property
    def replaced(self) -> tuple[str, ...]:
        """The steps of the engine that it replaces, by their full names."""
        if self.steps or self.design is None:
            return tuple(map(str, self.steps))
        return tuple(name for name, _ in _overridden(self.design))

    @property
    def drift(self) -> tuple[str, ...]:
        """What has changed under it, in words that say what to do; empty if nothing."""
        if self.steps or self.design is None:
            return tuple(step.drift for step in self.steps if step.drift)
        now = "".join(digest(whole) for _, whole in _overridden(self.design))
        short = hashlib.blake2b(now.encode(), digest_size=4).hexdigest()
        if short == self.known:
            return ()
        return (
            f"a step under {self.design.name} has changed: look at it, then write {short} for {self.known!r}",
        )

    def matches(self, cause: str, key: tuple[str, ...], message: str) -> bool:
        """Whether a finding is this defect, by its cause class and what it names."""
        parts = (*key, message)
        shown = ((self.cause, self.word), *self.also)
        return any(cause == mine and any(word in part for part in parts) for mine, word in shown)


def _overridden(design: type[Design]) -> list[tuple[str, object]]:
    """The steps that a design, and the classes it brings along, replace."""
    found = []
    brought = (design, design.cpus_class, design.ram_save_class)
    for made in brought:
        for cls in made.__mro__:
            if cls in {Thread, Merged, Steps, Design, object} or not vars(cls):
                break
            for name, value in vars(cls).items():
                base = next((vars(b)[name] for b in cls.__mro__[1:] if name in vars(b)), None)
                if inspect.isfunction(value) and inspect.isfunction(base) and name != "__init__":
                    found.append((f"{base.__module__}.{base.__qualname__}", base))
    return sorted(dict(found).items())


@contextmanager
def seeded(defect: Defect | None) -> Iterator[str]:
    """Have the engine carry `defect` inside the block, None: nothing; the name of the design to build machines by."""
    steps = () if defect is None else defect.steps
    try:
        for step in steps:
            setattr(step.owner, step.name, step.by)
        yield HEALTHY if defect is None else defect.design_name
    finally:
        for step in steps:
            setattr(step.owner, step.name, step.whole)
