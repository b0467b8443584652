"""QMP's bytes, messages and argument types, and a session against bytes of any kind."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mig.monitor import messages
from mig.monitor.arguments import Choice, Field, Flag, ListOf, Struct, Text, Whole
from mig.monitor.framing import MESSAGE_MAX, NESTING_MAX, FramingError, Splitter
from mig.monitor.messages import Json, QmpError
from mig.monitor.session import Session

HELLO = b'{"execute": "qmp_capabilities"}'
ECHO = b'{"execute": "echo"}'


def said(splitter: Splitter) -> list[str]:
    """All messages and errors that the splitter has."""
    got = []
    while True:
        try:
            message = splitter.next()
        except FramingError as error:
            got.append(f"error: {error}")
            continue
        if message is None:
            return got
        got.append(message.decode())


class Echo:
    """Commands that answer with what they were given; `break` raises."""

    def execute(self, name: str, arguments: dict[str, Json]) -> Json:
        """Answer."""
        if name == "break":
            raise RuntimeError("broken")
        return {"name": name, **arguments}


def session() -> Session:
    """A session with `Echo`."""
    return Session(Echo(), "test")


def answers(made: Session, data: bytes) -> list[dict[str, Json]]:
    """What the session answers to the bytes."""
    made.feed(data)
    lines = []
    while (line := made.answer()) is not None:
        lines.append(json.loads(line))
    return lines


def refused(data: bytes) -> tuple[str, str]:
    """Class and text of the error that answers the bytes after the negotiation."""
    made = session()
    answers(made, HELLO)
    (answer,) = answers(made, data)
    error = answer["error"]
    assert isinstance(error, dict)
    return str(error["class"]), str(error["desc"])


@given(st.data())
def test_pieces(data: st.DataObject) -> None:
    """Messages are the same, however the bytes are cut."""
    texts = [
        '{"a": "}]\\"\\\\", "b": [{}]}',
        "[1, [2]]",
        '{"é": "\\u00e9"}',
        '{\n "c":\t1\r\n}',
    ]
    stream = "\n".join(texts).encode()
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=6)))
    splitter, got = Splitter(), []

    for begin, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        splitter.feed(stream[begin:end])
        got += said(splitter)

    assert texts == got
    assert 0 == splitter.pending


@pytest.mark.parametrize(
    ("data", "errors"),
    [
        (b"5\n", ["QMP input must be a JSON object, not '5'; begin with {"]),
        (b"}\n", ["QMP input must be a JSON object, not '}'; begin with {"]),
        (b'{"a": "b\n', ["JSON parse error, stray '\\n'; send one JSON object"]),
        (b'{"a": \xff', ["JSON parse error, stray '�'; send one JSON object"]),
        (b'{"a": \x01 "b"}\n', ["JSON parse error, stray '\\x01'; send one JSON object"]),
        (b"[" * 5000 + b"\n", [f"JSON nesting depth limit of {NESTING_MAX} exceeded; send one JSON object"]),
        (b'{"a": "' + b"x" * MESSAGE_MAX, [f"JSON message of more than {MESSAGE_MAX} bytes; send one JSON object"]),
    ],
    ids=["scalar", "bracket", "newline", "0xff", "control", "deep", "long"],
)  # fmt: skip
def test_framing_errors(data: bytes, errors: list[str]) -> None:
    """What cannot be a message is named and dropped, and the next line is read as usual."""
    splitter = Splitter()

    splitter.feed(data)

    assert [f"error: {error}" for error in errors] == said(splitter)
    splitter.feed(b"\n{}\n")
    assert ["{}"] == said(splitter)


@given(
    st.lists(
        st.binary(max_size=200)
        | st.sampled_from([b"{", b'"', b"[" * 70, HELLO, ECHO, b"\xff", b"\n"])
    )
)
def test_any_bytes(pieces: list[bytes]) -> None:
    """No bytes make a session raise or keep more than a message; after a line's end it is in step."""
    made = session()

    for piece in pieces:
        for answer in answers(made, piece):
            assert {"return", "error"} & set(answer)
        assert made.pending <= MESSAGE_MAX

    answers(made, b"\xff\n" + HELLO + b"\n")
    assert [{"return": {"name": "echo"}, "id": 1}] == answers(made, b'{"execute": "echo", "id": 1}')


def test_flood() -> None:
    """A message without an end is not kept."""
    made = session()

    for _ in range(40):
        answers(made, b'{"a": "' + b"x" * 9000)

    assert made.pending <= MESSAGE_MAX


def test_conversation() -> None:
    """First the greeting, then the negotiation, then commands, each answer with its id."""
    made = session()
    greeting = json.loads(made.greeting)

    assert {"version", "capabilities"} == set(greeting["QMP"])
    assert made.greeting.endswith(b"\r\n")
    with_id = b'{"execute": "echo", "id": [1, {"x": 2}], "arguments": {"a": 1}}'
    before, hello, echo, again = answers(made, ECHO + HELLO + with_id + HELLO)
    assert "CommandNotFound" == before["error"]["class"]  # type: ignore[call-overload, index]  # known to be an object
    assert {"return": {}} == hello
    assert {"return": {"name": "echo", "a": 1}, "id": [1, {"x": 2}]} == echo
    assert "Capabilities negotiation is already complete, command ignored" == again["error"]["desc"]  # type: ignore[call-overload, index]  # known to be an object


@pytest.mark.parametrize(
    ("data", "desc"),
    [
        (b"[1]", "QMP input must be a JSON object, not an array; begin with {"),
        (b'{"execute": "a", "execute": "b"}', "JSON parse error, duplicate key; send one JSON object"),
        (b'{"a": x}', "JSON parse error, Expecting value: line 1 column 7 (char 6); send one JSON object"),
        (b'{"id": NaN}', "JSON parse error, stray 'NaN'; send one JSON object"),
        (b'{"id": 1e400}', "JSON parse error, number 1e400 is out of range; send one JSON object"),
        (b'{"id": "\\ud800"}', "JSON parse error, not Unicode (surrogates not allowed); send UTF-8"),
        (b'{"id": "\xc3("}', "JSON parse error, not Unicode (invalid continuation byte); send UTF-8"),
        (b'{"execute": 5}', "QMP input member 'execute' must be a string; give a command's name"),
        (b"{}", "QMP input member 'execute' is missing; give a command's name"),
        (b'{"execute": "a", "x": 1}', "QMP input member 'x' is unexpected; use execute, arguments, id"),
        (b'{"execute": "a", "arguments": null}', "QMP input member 'arguments' must be an object"),
        (b'{"exec-oob": "a"}', "QMP capability 'oob' is not offered here; use execute, not exec-oob"),
    ],
)  # fmt: skip
def test_messages_refused(data: bytes, desc: str) -> None:
    """A message of the wrong shape is answered with what is wrong."""
    assert ("GenericError", desc) == refused(data)


def test_capability_unknown() -> None:
    """There is nothing to enable."""
    (answer,) = answers(
        session(), b'{"execute": "qmp_capabilities", "arguments": {"enable": ["oob"]}}'
    )

    assert {
        "error": {
            "class": "GenericError",
            "desc": "Parameter 'enable[0]' does not accept value 'oob'; use nothing",
        }
    } == answer


def test_fault_of_ours(capsys: pytest.CaptureFixture[str]) -> None:
    """A command that breaks is answered, and the session goes on."""
    kind, desc = refused(b'{"execute": "break"}')

    assert "GenericError" == kind
    assert desc.startswith("internal error in stage3: RuntimeError('broken')")
    assert "RuntimeError: broken" in capsys.readouterr().err


def test_events() -> None:
    """An event has its time in seconds and microseconds, and data only where there are."""
    line = messages.event("MIGRATION", {"status": "setup"}, 1795579937.7633571)

    assert {
        "timestamp": {"seconds": 1795579937, "microseconds": 763357},
        "event": "MIGRATION",
        "data": {"status": "setup"},
    } == json.loads(line)
    assert "data" not in json.loads(messages.event("STOP", {}, 1.0))


TYPES = Struct(
    (
        Field("uri", Text()),
        Field("detach", Flag(), optional=True),
        Field("speed", Whole(), optional=True),
        Field(
            "list",
            ListOf(Struct((Field("word", Choice(("a", "b"))), Field("state", Flag())))),
            optional=True,
        ),
    )
)


@pytest.mark.parametrize(
    ("value", "desc"),
    [
        ({}, "Parameter 'uri' is missing"),
        ({"uri": 5}, "Invalid parameter type for 'uri', expected: string"),
        ({"uri": "", "detach": 1}, "Invalid parameter type for 'detach', expected: boolean"),
        ({"uri": "", "speed": True}, "Invalid parameter type for 'speed', expected: integer"),
        ({"uri": "", "speed": 1.5}, "Invalid parameter type for 'speed', expected: integer"),
        ({"uri": "", "list": {}}, "Invalid parameter type for 'list', expected: array"),
        ({"uri": "", "list": [1]}, "Invalid parameter type for 'list[0]', expected: object"),
        ({"uri": "", "list": [{"word": "a"}]}, "Parameter 'list[0].state' is missing"),
        ({"uri": "", "list": [{"word": 1}]}, "Invalid parameter type for 'list[0].word', expected: string"),
        ({"uri": "", "list": [{"word": "c"}]}, "Parameter 'list[0].word' does not accept value 'c'; use a, b"),
        ({"uri": "", "x": 1}, "Parameter 'x' is unexpected; possible: uri, detach, speed, list"),
    ],
)  # fmt: skip
def test_argument_types(value: Json, desc: str) -> None:
    """An argument of a wrong type is named by its path."""
    with pytest.raises(QmpError) as caught:
        TYPES.check(value)

    assert desc == caught.value.desc


def test_arguments_right() -> None:
    """What has the types passes."""
    TYPES.check({"uri": "", "detach": True, "speed": 1, "list": [{"word": "b", "state": False}]})
