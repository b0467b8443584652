"""The table of commands: what is there, what is refused."""

from __future__ import annotations

import pytest

from mig.machine import MachineError
from mig.monitor.arguments import Field, Struct, Text
from mig.monitor.dispatch import Dispatcher, Entry
from mig.monitor.messages import Json, QmpError


def refuse(_: dict[str, Json]) -> Json:
    """A command that cannot be carried out now."""
    raise MachineError("not now; later")


TABLE = Dispatcher(
    {
        "echo": Entry(lambda given: given["word"], Struct((Field("word", Text()),))),
        "refuse": Entry(refuse),
    }
)


def test_execute() -> None:
    """A command gets its arguments, and its value is the answer."""
    assert "hello" == TABLE.execute("echo", {"word": "hello"})


def test_names() -> None:
    """All commands are listed, those included that every monitor has."""
    assert [
        {"name": name} for name in ("echo", "qmp_capabilities", "query-commands", "refuse")
    ] == (TABLE.execute("query-commands", {}))


@pytest.mark.parametrize(
    ("name", "arguments", "kind", "desc"),
    [
        ("x" * 100, {}, "CommandNotFound", f"The command {'x' * 60} has not been found; query-commands lists them"),
        ("echo", {}, "GenericError", "Parameter 'word' is missing"),
        ("refuse", {}, "GenericError", "not now; later"),
        ("refuse", {"a": 1}, "GenericError", "Parameter 'a' is unexpected; possible: none"),
    ],
)  # fmt: skip
def test_refused(name: str, arguments: dict[str, Json], kind: str, desc: str) -> None:
    """What is no command, has wrong arguments or cannot be done now is refused, with the class for it."""
    with pytest.raises(QmpError) as caught:
        TABLE.execute(name, arguments)

    assert (kind, desc) == (caught.value.kind, caught.value.desc)
