"""A small recorded deadlock, and Hypothesis strategies for traces and tokens."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import strategies as st

from traces.explanation import Event, Explanation, Order, Shrunk
from traces.scene import VERSION, Hold, Scene, Source, Wait
from traces.schema import (
    Failure,
    Frame,
    HeldLock,
    Program,
    Schedule,
    Step,
    TaskRecord,
    Trace,
)
from traces.token import Token
from traces.turning import Turning

MOST_NUMBER = 2**64 - 1


def step(index: int, task: str, did: str, site: str = "", *, result: str = "") -> Step:
    """Return a step that took one microsecond; `did` is operation and object."""
    op, _, obj = did.partition(" ")
    return Step(index, task, op, obj, site, result, index * 1e-6, switch=False, choice=0)


def blocked(path: str, name: str, waits_for: str, held: str) -> TaskRecord:
    """Return one of the two tasks of the deadlock."""
    return TaskRecord(
        path=path,
        name=name,
        role="payer",
        state="blocked",
        waits_for=waits_for,
        held=(HeldLock(held, "accounts.py:8 transfer"),),
        stack=(Frame("accounts.py", 9, "transfer", "    with second:"),),
    )


def deadlock() -> Trace:
    """Return the trace of two transfers in opposite directions that stop each other."""
    first, second = "main:Lock#1", "main:Lock#2"
    switch = Step(
        3, "main/2", "acquire", second, "accounts.py:8 transfer", "ok", 3e-6, switch=True, choice=1
    )
    return Trace(
        program=Program(
            "accounts:race", "00112233445566778899", "3.11.7", "0.1.0", "sync", {"depth": "3"}
        ),
        schedule=Schedule((0, 0, 1, 0, 1)),
        steps=(
            step(0, "main", "start main/1", "accounts.py:20 race"),
            step(1, "main", "start main/2", "accounts.py:21 race"),
            step(2, "main/1", f"acquire {first}", "accounts.py:8 transfer", result="ok"),
            switch,
            step(4, "main/2", f"acquire {first}", "accounts.py:9 transfer"),
            step(5, "main/1", f"acquire {second}", "accounts.py:9 transfer"),
        ),
        tasks=(
            TaskRecord("main", "main", "", "blocked", "main/1", (), ()),
            blocked("main/1", "t1", second, first),
            blocked("main/2", "t2", first, second),
        ),
        failure=Failure(
            "deadlock",
            "t1 waits for b, which t2 holds; t2 waits for a, which t1 holds.",
            ("Nobody else can release them.",),
            ("t1", "b", "t2", "a", "t1"),
            ("deadlock", "a", "b"),
        ),
        strategy="pct",
        seed=7,
        titles={first: "a", second: "b"},
    )


def explained() -> Trace:
    """Return that trace with what shrinking made of it, and why it fails."""
    first, second = "main:Lock#1", "main:Lock#2"
    stack = (Frame("accounts.py", 9, "transfer", "    with second:"),)
    taken = Event("main/1", "acquire", first, 0, 2, "accounts.py:8 transfer", stack)
    wanted = Event("main/2", "acquire", first, 0, None, "accounts.py:9 transfer", stack)
    others = Event("main/2", "acquire", second, 0, 3, "accounts.py:8 transfer")
    own = Event("main/1", "acquire", second, 0, None, "accounts.py:9 transfer")
    orders = (Order(taken, wanted, 20, 0), Order(others, own, 20, 0))
    return replace(
        deadlock(),
        shrunk=Shrunk("s3:1:AAAA", 4, 11, 1, 73, fewest=True),
        explanation=Explanation(orders, 48, 48, 2, 0, reduced=True),
    )


def staged() -> Trace:
    """Return that trace with who held and waited between its steps, and the lines of the program."""
    first, second = "main:Lock#1", "main:Lock#2"
    scene = Scene(
        VERSION,
        6,
        (Hold(first, "main/1", 2, None), Hold(second, "main/2", 3, None)),
        (
            Wait("main", "Thread.join", "main/1", "main/1", 1, None),
            Wait("main/2", "acquire", first, "main/1", 3, None),
            Wait("main/1", "acquire", second, "main/2", 4, None),
        ),
        (Source("accounts.py", 7, ("def transfer(first, second):", "    with first:")),),
    )
    return replace(explained(), scene=scene)


def turned() -> Trace:
    """Return that trace without orders, with the choice that decided."""
    return replace(
        staged(), explanation=None, turning=Turning(3, "main/2", 24, 24, "main/1", 24, 6, 18)
    )


numbers = st.integers(0, MOST_NUMBER)
texts = st.text(max_size=8)
lists_of_text = st.lists(texts, max_size=3).map(tuple)
mappings = st.dictionaries(texts, texts, max_size=3)
digests = st.binary(min_size=8, max_size=8).map(bytes.hex)
minors = st.sampled_from(["3.11", "3.12", "3.14"])
granularities = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=9)
schedules = st.builds(Schedule, st.lists(numbers, max_size=5).map(tuple))
programs = st.builds(
    Program, texts, digests, minors.map("{}.1".format), texts, granularities, mappings
)
frames = st.builds(Frame, texts, numbers, texts, texts)
helds = st.builds(HeldLock, texts, texts)
tasks = st.builds(
    TaskRecord,
    path=texts,
    name=texts,
    role=texts,
    state=texts,
    waits_for=texts,
    held=st.lists(helds, max_size=2).map(tuple),
    stack=st.lists(frames, max_size=2).map(tuple),
)
failures = st.builds(Failure, texts, texts, lists_of_text, lists_of_text, lists_of_text)
steps = st.builds(
    Step,
    index=st.just(0),
    task=texts,
    op=texts,
    object=texts,
    site=texts,
    result=texts,
    time=st.floats(0, 1e9),
    switch=st.booleans(),
    choice=st.none() | numbers,
)


def _numbered(drawn: list[Step]) -> tuple[Step, ...]:
    return tuple(
        Step(i, s.task, s.op, s.object, s.site, s.result, s.time, s.switch, s.choice)
        for i, s in enumerate(drawn)
    )


shrunk = st.builds(Shrunk, texts, numbers, numbers, numbers, numbers, st.booleans())
events = st.builds(
    Event,
    texts,
    texts,
    texts,
    numbers,
    st.none() | numbers,
    texts,
    st.lists(frames, max_size=2).map(tuple),
)
orders = st.lists(st.builds(Order, events, events, numbers, numbers), max_size=3).map(tuple)


@st.composite
def explanations(draw: st.DrawFn) -> Explanation:
    """Draw an explanation whose critical pair is one of its orders."""
    drawn = draw(orders)
    critical = draw(st.none() | st.integers(0, len(drawn) - 1)) if drawn else None
    counts = draw(st.tuples(numbers, numbers, numbers))
    return Explanation(drawn, *counts, critical, draw(st.booleans()))


plain_traces = st.builds(
    Trace,
    program=programs,
    schedule=schedules,
    steps=st.lists(steps, max_size=4).map(_numbered),
    tasks=st.lists(tasks, max_size=2).map(tuple),
    failure=st.none() | failures,
    strategy=texts,
    seed=numbers,
    titles=mappings,
    shrunk=st.none() | shrunk,
    explanation=st.none() | explanations(),
)


@st.composite
def traces_drawn(draw: st.DrawFn) -> Trace:
    """Draw a trace whose scene and turning lie within its steps."""
    trace = draw(plain_traces)
    kept = len(trace.steps)
    if not kept:
        return trace
    place = st.integers(0, kept - 1)
    interval = st.tuples(place, st.none() | place).map(
        lambda pair: pair if pair[1] is None else (min(pair), max(pair))  # type: ignore[type-var] # both are numbers
    )
    holds = st.builds(lambda a, b, ends: Hold(a, b, *ends), texts, texts, interval)
    waits = st.builds(
        lambda a, b, c, d, ends: Wait(a, b, c, d, *ends), texts, texts, texts, texts, interval
    )
    sources = st.builds(Source, texts, numbers, lists_of_text)
    scene = st.builds(
        Scene,
        st.just(VERSION),
        st.just(kept),
        st.lists(holds, max_size=3).map(tuple),
        st.lists(waits, max_size=3).map(tuple),
        st.lists(sources, max_size=2).map(tuple),
    )
    turning = st.builds(Turning, place, texts, *[numbers] * 2, texts, *[numbers] * 3)
    return replace(trace, scene=draw(st.none() | scene), turning=draw(st.none() | turning))


traces = traces_drawn()


@st.composite
def tokens(draw: st.DrawFn) -> Token:
    """Draw a token that `encode` accepts."""
    checks = draw(st.binary(max_size=40))
    return Token(
        program_digest=draw(digests),
        python=draw(st.just("") | minors),
        granularity=draw(granularities),
        choices=tuple(draw(st.lists(numbers, max_size=20))),
        checks=checks,
        steps=len(checks) or draw(st.integers(0, 1000)),
        final=draw(st.binary(min_size=8, max_size=8)),
    )
