"""Strategies by name: ours, those that `[tool.stage3]` lists, installed ones (entry points), and `module:Class`.

Promises: a strategy of a user's own needs the three methods of `verify.abc.Strategy` and nothing
else; what the search loop also wants (a name, a seed, a sentence on what a pass is worth) is filled in. A
class is called with the seed if it takes one. Nothing is imported before it is asked for;
everything wrong with a name or a class is one `UsageError` that says what to type.
"""

from __future__ import annotations

import inspect
from importlib.metadata import entry_points
from typing import TYPE_CHECKING

from verify.abc import UsageError
from verify.importing import imported
from verify.strategies import STRATEGIES

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from verify.abc import Strategy, T
    from verify.strategies import NamedStrategy

    Make = Callable[..., Strategy]  # type: ignore[explicit-any] # called with or without a seed

DEFAULT = "portfolio"
GROUP = "stage3.strategies"
METHODS = ("new_execution", "choose", "draw")

_added: dict[str, str] = {}


class Named:
    """A strategy of three methods with what the search loop also asks for; what else it has stays reachable."""

    def __init__(self, strategy: Strategy, name: str, seed: int) -> None:
        self.strategy = strategy
        self.name = name
        self.seed = seed
        self.choose: Callable[[Sequence[T], T], T] = strategy.choose
        self.draw: Callable[[int], int] = strategy.draw

    def new_execution(self) -> bool:
        """Prepare for the next execution."""
        return self.strategy.new_execution()

    def __getattr__(self, name: str) -> object:
        return getattr(self.strategy, name)

    def worth(self, executions: int) -> str:
        """Say what `executions` executions without a find are worth, if the strategy does."""
        say = getattr(self.strategy, "worth", None)
        if say is not None:
            return str(say(executions))
        return f"{executions:,} executions of {self.name}, which does not say what they are worth"


def add(spec: str) -> None:
    """Let `module:Class` be known by the class's name in small letters, too."""
    _added[known_as(spec)] = spec


def known_as(spec: str) -> str:
    """Return the name that `add` makes known."""
    return split(spec)[1].lower()


def split(spec: str) -> tuple[str, str]:
    """Return module and class of `module:Class`."""
    module, _, name = spec.partition(":")
    if not (name.isidentifier() and all(part.isidentifier() for part in module.split("."))):
        raise UsageError(
            f"strategy {spec!r} is not of the form module:Class; say e.g. mypackage.search:Backwards"
        )
    return module, name


def known() -> list[str]:
    """Return the names of all strategies there are, in order."""
    return sorted({*STRATEGIES, *_added, *entry_points(group=GROUP).names})


def check(name: str) -> None:
    """Raise `UsageError` unless `name` is a known name or of the form module:Class."""
    if ":" in name:
        split(name)
    elif name not in STRATEGIES and name not in _added and name not in known():
        raise UsageError(
            f"no strategy {name!r}; there are: {', '.join(known())}; or name one of yours as module:Class"
        )


def make(name: str, seed: int) -> NamedStrategy:
    """Return a fresh strategy."""
    if name in STRATEGIES:
        return STRATEGIES[name](seed)
    check(name)
    spec = name if ":" in name else _added.get(name, "")
    found = _imported(spec) if spec else _installed(name)
    strategy = _called(found, spec or name, seed)
    title = getattr(strategy, "name", None)
    return Named(strategy, title if isinstance(title, str) else name, seed)


def _imported(spec: str) -> object:
    module_name, name = split(spec)
    module = imported(module_name, f"strategy {spec!r}")
    found: object = getattr(module, name, None)
    if found is None:
        raise UsageError(
            f"strategy {spec!r}: module {module_name!r} has no {name!r}; name a class that it has"
        )
    return found


def _installed(name: str) -> object:
    (entry, *_) = entry_points(group=GROUP, name=name)
    try:
        found: object = entry.load()
    except (ImportError, AttributeError, SyntaxError) as error:
        raise UsageError(
            f"strategy {name!r}: its entry point {entry.value} cannot be loaded: {error}; "
            "repair or remove that package"
        ) from None
    return found


def _called(found: object, spec: str, seed: int) -> Strategy:
    missing = [method for method in METHODS if not callable(getattr(found, method, None))]
    if not callable(found) or (isinstance(found, type) and missing):
        lacks = f"lacks {', '.join(missing)}" if missing else "cannot be called"
        raise UsageError(
            f"strategy {spec!r} {lacks}; a strategy is a class with the methods {', '.join(METHODS)}"
        )
    maker: Make = found
    try:
        inspect.signature(maker).bind(seed)
    except TypeError:
        made = _without_seed(maker, spec)
    else:
        made = maker(seed)
    return made


def _without_seed(maker: Make, spec: str) -> Strategy:
    try:
        inspect.signature(maker).bind()
    except TypeError as error:
        raise UsageError(
            f"strategy {spec!r}: {error}; let it take the seed alone, or nothing"
        ) from None
    return maker()
