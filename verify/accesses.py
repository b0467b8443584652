"""Shared accesses as operations: what the hooks in rewritten code do.

Promises: `touch` and its kin stand directly before the access they speak of and have no effect on
the program but a scheduling point. A site that is not armed costs one call and one comparison. Objects are
named by the task that made the first armed access to them, their kind and a counter
(`main/1:Account#1.balance`), never by `id()`; an object that dies gives its number up to nobody. A
thread that no execution controls, and an invariant that is looked at, pass through.

Assumes one execution at a time. Which sites are armed is decided between executions (`arm`), from
the pairs of the granularity: the class of the object (for a cell `cell`, for a global its module)
and the name of the attribute or variable; `[]` behind the name is the container it held.
Does not see: what C code does to an object, iteration after its start, `vars()` and `setattr`.
"""

from __future__ import annotations

from collections import Counter, OrderedDict, defaultdict, deque
from inspect import getattr_static
from types import BuiltinMethodType, MemberDescriptorType, MethodWrapperType, ModuleType
from typing import TYPE_CHECKING
from weakref import ref

from verify import _real
from verify.abc import COMPUTED, VALUE, WHOLE
from verify.api import Access
from verify.granularity import covers
from verify.runtime import current
from verify.runtime.loops import budget

if TYPE_CHECKING:
    from collections.abc import Sequence

    from verify.accesses_survey import Survey
    from verify.runtime.execution import Execution
    from verify.runtime.task import Task

CONTAINERS = (list, dict, set, deque, bytearray)
_PLAIN = frozenset({str, bytes, int, float, complex, bool, tuple, frozenset, range, type(None)})
_BOUND = frozenset({BuiltinMethodType, MethodWrapperType})
_OWN = ("verify.", "traces.")
_KEYS = frozenset({int, str, bytes, bool, type(None)})
_ITEMS = frozenset({list, dict, deque, bytearray, defaultdict, OrderedDict, Counter})
NOTHING = object()
"""Stands for the key of an access that has none."""
MOST_PARTS = 4096  # of one object are kept; others are named anew

UNSEEN, OTHER, WANTED = 0, 1, 2
"""What a site knows of a class: never looked at, of interest to a survey alone, or a scheduling point."""


class Site:
    """One access in the program's code: `op` on `field`; `kind` where the code alone tells it, else "".

    `kinds` is None while no access here is a scheduling point, else what is known of each class; `how`
    is `WHOLE` for an operation of a container that CPython keeps atomic.
    """

    __slots__ = ("field", "how", "kind", "kinds", "op", "pairs", "slot")

    def __init__(self, op: str, field: str, kind: str = "", how: str = VALUE) -> None:
        self.op = op
        self.how = how
        self.field = field
        self.kind = kind
        self.kinds: dict[type, int] | None = None
        self.pairs: frozenset[str] = frozenset()
        # What tells accesses to one object apart: a container is one, whatever it is held by.
        self.slot = "[]" if field.endswith("[]") else field

    def wants(self, thing: object) -> bool:
        """Say whether the access to `thing` is a scheduling point."""
        return covers(self.pairs, f"{self.kind or kind_of(thing)}.{self.field}")


class Global:
    """Stands for one rebindable global: `kind` is its module."""

    __slots__ = ("kind",)

    def __init__(self, kind: str) -> None:
        self.kind = kind


class Shared:
    """What one execution knows of one object: its name once it has one, and its parts."""

    __slots__ = ("base", "history", "holder", "keep", "parts")

    def __init__(self, keep: object) -> None:
        self.keep = keep
        self.base = ""
        self.holder = ""
        self.parts: dict[object, Access] = {}
        self.history: dict[str, dict[tuple[int, bool, frozenset[int], str], int]] = {}


class Run:
    """The accesses of one execution. `feasible` says whether a stock build could switch at the pending access."""

    __slots__ = (
        "armed", "bare", "counts", "feasible", "infeasible", "labelling", "polled", "quiet", "shared", "survey",
    )  # fmt: skip

    def __init__(self) -> None:
        self.armed: object = None
        self.begin(None, labelling=False)

    def begin(self, survey: Survey | None, *, labelling: bool) -> None:
        """Forget the last execution."""
        self.shared: dict[int, Shared] = {}
        self.counts: dict[tuple[str, str], int] = {}
        self.survey = survey
        self.labelling = labelling
        self.bare = survey is None and not labelling
        self.polled: set[int] = set()
        self.feasible = True
        self.infeasible: list[str] = []
        self.quiet = False

    def entry(self, thing: object) -> Shared:
        """Return what is known of `thing`, which stays itself for as long as it is known."""
        key = id(thing)
        entry = self.shared.get(key)
        if entry is None:
            table = self.shared
            try:
                keep: object = ref(thing, lambda _: table.pop(key, None))
            except TypeError:
                keep = thing
            entry = table[key] = Shared(keep)
        return entry

    def name(self, me: Task, entry: Shared, thing: object, site: Site, key: object) -> Access:
        """Name the part of `thing` that `site` is about, by the item `key` where there is one."""
        if not entry.base:
            kind = site.kind or kind_of(thing)
            if issubclass(type(thing), Global | ModuleType | type):
                entry.base = kind
            else:
                maker = me.path, kind
                self.counts[maker] = count = self.counts.get(maker, 0) + 1
                entry.base = f"{me.path}:{kind}#{count}"
        slot = site.slot
        text = entry.base if slot == "[]" else f"{entry.base}.{slot}"
        field = site.field
        if slot == "[]":  # not every instruction shows what the container is held by
            entry.holder = entry.holder or field.removesuffix("[]")
            field = f"{entry.holder}[]"
        pair = f"{site.kind or kind_of(thing)}.{field}"
        item = "" if key is NOTHING else repr(key)
        target = Access(text, 0, 0, pair, item, how_of(thing, site, item))
        target.key = text
        if len(entry.parts) < MOST_PARTS:
            entry.parts[slot if key is NOTHING else (slot, key, site.how)] = target
        return target


run = Run()
_ident = _real.get_ident


def kind_of(thing: object) -> str:
    """Return what an object's accesses are grouped by: its class; a class and a module are their own."""
    kind = type(thing)
    if issubclass(kind, type):
        return str(type.__dict__["__name__"].__get__(thing))
    if issubclass(kind, ModuleType):
        return str(vars(thing).get("__name__", "module")).rpartition(".")[2]
    return kind.__name__


def arm(owner: object, sites: Sequence[Site], pairs: frozenset[str], *, everything: bool) -> None:
    """Make the accesses to `pairs` scheduling points; `everything` lets a survey see all others too."""
    wanted = (owner, sites, pairs, everything)
    if wanted == run.armed:
        return
    run.armed = wanted
    fields = {pair.partition(".")[2] for pair in pairs}
    live = everything or "*" in pairs or "*" in fields
    for site in sites:
        site.pairs = pairs
        site.kinds = {} if live or site.field in fields else None


def touch(thing: object, site: Site, key: object = NOTHING) -> None:
    """Stand before a read or write of a part of `thing`, of its item `key` if one is given."""
    kinds = site.kinds
    if kinds is None:
        return
    verdict = kinds.get(type(thing))
    if verdict is None:
        verdict = _judge(thing, site, kinds)
    if not verdict:
        return
    execution = current.execution
    if execution is None or execution.os_ident != _ident():
        return
    # A step of the only task that can go on, which nobody listens to, is a step to count.
    if run.bare and len(execution.enabled) == 1 and not execution.listening:
        left = execution.left - 1
        if left >= 0 and (id(thing) in run.shared or _first(execution, thing, site)):
            execution.left = left
            budget.left = execution.max_jumps
            return
    _step(execution, thing, site, key, wanted=verdict == WANTED)


def _first(execution: Execution, thing: object, site: Site) -> bool:
    """Let an object be named by the task that touches it first, also where that is no step of note."""
    me = execution.current
    if me is not None and not me.done:
        run.name(me, run.entry(thing), thing, site, NOTHING)
    return True


def touch_item(thing: object, key: object, site: Site) -> None:
    """Stand before an access to `thing[key]`."""
    if site.kinds is None:
        return
    plain = type(key) in _KEYS and not (type(key) is int and key < 0)
    touch(thing, site, key if plain else NOTHING)


def touch_receiver(method: object, site: Site) -> None:
    """Stand before the call of a container's bound method."""
    if site.kinds is not None and type(method) in _BOUND:
        touch_container(method.__self__, site)  # type: ignore[attr-defined] # just asked


def touch_receiver_item(method: object, key: object, site: Site) -> None:
    """Stand before the call of a bound method whose first argument is `key`, which in a dict or set is one item's."""
    if site.kinds is not None and type(method) in _BOUND:
        touch_member(method.__self__, key, site)  # type: ignore[attr-defined] # just asked


def touch_member(thing: object, key: object, site: Site) -> None:
    """Stand before an operation on the member `key` of `thing` if it is a container."""
    if site.kinds is not None and issubclass(type(thing), CONTAINERS):
        keyed = type(key) in _KEYS and issubclass(type(thing), dict | set)
        touch(thing, site, key if keyed else NOTHING)


def touch_container(thing: object, site: Site) -> None:
    """Stand before an operation that touches `thing` if it is a container."""
    # Of the class: `isinstance` would ask a proxy's own code.
    if site.kinds is not None and issubclass(type(thing), CONTAINERS):
        touch(thing, site)


def how_of(thing: object, site: Site, item: str) -> str:
    """Say what an access at `site` touches: see `verify.abc.AccessView`."""
    kind = type(thing)
    if site.slot == "[]":
        return VALUE if item and site.how == VALUE and kind in _ITEMS else WHOLE
    if site.kind or issubclass(kind, type | ModuleType):
        return VALUE
    own = (
        kind.__setattr__ is not object.__setattr__
        or kind.__getattribute__ is not object.__getattribute__
    )
    placed = getattr_static(kind, site.field, None)
    computed = own or (
        hasattr(type(placed), "__set__") and type(placed) is not MemberDescriptorType
    )
    return COMPUTED if computed else VALUE


def _step(execution: Execution, thing: object, site: Site, key: object, *, wanted: bool) -> None:
    me = execution.current
    if me is None or me.done or execution.announcing:
        return
    entry = run.shared.get(id(thing))
    if entry is None:
        entry = run.entry(thing)
    if run.survey is not None:
        run.survey.see(execution, me, entry, site, site.kind or kind_of(thing))
        if not wanted:
            return
    part = site.slot if key is NOTHING else (site.slot, key, site.how)
    target = entry.parts.get(part) or run.name(me, entry, thing, site, key)
    if run.labelling:
        _label_step(execution, me, site, target)
    else:
        execution.point(me, site.op, target)


def _judge(thing: object, site: Site, kinds: dict[type, int]) -> int:
    kind = type(thing)
    verdict = UNSEEN
    if kind is Global or not (kind in _PLAIN or str(kind.__module__).startswith(_OWN)):
        verdict = WANTED if site.wants(thing) else (OTHER if run.survey is not None else UNSEEN)
    if not issubclass(kind, ModuleType | type):
        kinds[kind] = verdict
    return verdict


def _label_step(execution: Execution, me: Task, site: Site, target: Access) -> None:
    # A stock build polls between operations only at entries, backward jumps and ends of calls. An
    # operation of a model is a call, so after one a switch was possible; after an access, only if
    # this task polled since.
    feasible = me.op not in {"read", "write"} or me.index in run.polled
    run.polled.discard(me.index)
    run.feasible = feasible
    before = len(execution.choices)
    try:
        execution.point(me, site.op, target)
    finally:  # a task that is preempted here and never comes back is taken down here
        run.feasible = True
        choices = execution.choices
        if not feasible and len(choices) > before and choices[before]:
            run.infeasible.append(execution.site_of(me))


def poll(site: str) -> None:
    """Stand where stock CPython can hand over, as a scheduling point (granularity `gil`)."""
    execution = current.controlled()
    if execution is None or execution.announcing:
        return
    me = execution.current
    if me is not None:
        execution.point(me, "poll", site)


def poll_unless_quiet(site: str) -> None:
    """Stand behind a call that may have been one after which CPython does not poll."""
    if run.quiet:
        run.quiet = False
    else:
        poll(site)


def note_callable(function: object) -> None:
    """Remember whether the call that comes now is one of `len` or `list.append`."""
    run.quiet = function is len or (
        type(function) is BuiltinMethodType and type(function.__self__) is list
    )


def note_poll(site: str) -> None:
    """Remember that the running task passed a place where stock CPython can hand over."""
    del site
    execution = current.execution
    if execution is not None and execution.current is not None:
        run.polled.add(execution.current.index)


def note_poll_unless_quiet(site: str) -> None:
    """Remember it of a call that may have been one of `len` or `list.append`."""
    if run.quiet:
        run.quiet = False
    else:
        note_poll(site)
