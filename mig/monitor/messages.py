"""QMP's messages as values: commands from JSON texts; greeting, answers and events to bytes.

Promises: what comes from a client is checked for its shape, and refused in QEMU's words where those
say enough; everything written is one line of ASCII, ended as QEMU ends it; the id of a command comes
back with its answer.
Does not: know the commands (`mig.monitor.commands`), nor do I/O.

Source: QEMU 7.2, docs/interop/qmp-spec.txt, qapi/qmp-dispatch.c.
"""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Final, Literal, NamedTuple, NoReturn, TypeAlias, cast

if TYPE_CHECKING:
    from collections.abc import Mapping

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"
ErrorClass: TypeAlias = Literal[
    "GenericError", "CommandNotFound", "DeviceNotActive", "DeviceNotFound", "KVMMissingCap"
]

QEMU_VERSION: Final = (7, 2, 0)
"""The version whose messages are spoken."""
_MEMBERS: Final = frozenset({"execute", "exec-oob", "arguments", "id"})


class QmpError(Exception):
    """A command that is refused: QMP's error class, and what went wrong."""

    def __init__(self, desc: str, kind: ErrorClass = "GenericError") -> None:
        super().__init__(desc)
        self.desc = desc
        self.kind: ErrorClass = kind


class Command(NamedTuple):
    """What a client wants done."""

    name: str
    arguments: dict[str, Json]


# --- from a client ---------------------------------------------------------------------------------


def parse(text: bytes) -> dict[str, Json]:
    """The JSON object in `text`; raises `QmpError`.

    Stricter than QEMU: quotes are double, numbers finite. As there, no key comes twice and strings
    are Unicode without lone surrogates.
    """
    try:
        value = cast(
            "Json",
            json.loads(
                text.decode(),
                object_pairs_hook=_no_key_twice,
                parse_float=_finite,
                parse_constant=_no_constant,
            ),
        )
        json.dumps(value, ensure_ascii=False).encode()
    except (UnicodeDecodeError, UnicodeEncodeError) as error:
        raise QmpError(f"JSON parse error, not Unicode ({error.reason}); send UTF-8") from None
    except ValueError as error:
        raise QmpError(f"JSON parse error, {error}; send one JSON object") from None
    if not isinstance(value, dict):
        raise QmpError("QMP input must be a JSON object, not an array; begin with {")
    return value


def _no_key_twice(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("duplicate key")
    return members


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"number {text[:20]} is out of range")
    return number


def _no_constant(text: str) -> NoReturn:
    raise ValueError(f"stray {text!r}")


def identity(message: Mapping[str, Json]) -> dict[str, Json]:
    """The `id` member, if there is one: it belongs into every answer to the message."""
    return {"id": message["id"]} if "id" in message else {}


def command(message: Mapping[str, Json]) -> Command:
    """The command of a message; raises `QmpError`."""
    for member in message:
        if member not in _MEMBERS:
            raise QmpError(f"QMP input member '{member}' is unexpected; use execute, arguments, id")
    if "exec-oob" in message:
        raise QmpError("QMP capability 'oob' is not offered here; use execute, not exec-oob")
    name = message.get("execute")
    if not isinstance(name, str):
        wrong = "must be a string" if "execute" in message else "is missing"
        raise QmpError(f"QMP input member 'execute' {wrong}; give a command's name")
    arguments = message.get("arguments", {})
    if not isinstance(arguments, dict):
        raise QmpError("QMP input member 'arguments' must be an object")
    return Command(name, arguments)


# --- to a client -----------------------------------------------------------------------------------


def _line(value: Mapping[str, Json]) -> bytes:
    return json.dumps(value, allow_nan=False).encode() + b"\r\n"


def version(package: str) -> dict[str, Json]:
    """What `query-version` answers; `package` says who is behind it."""
    major, minor, micro = QEMU_VERSION
    return {"qemu": {"micro": micro, "minor": minor, "major": major}, "package": package}


def greeting(package: str) -> bytes:
    """The first line of a connection. There is no out-of-band execution."""
    return _line({"QMP": {"version": version(package), "capabilities": []}})


def reply(value: Json, same_id: Mapping[str, Json]) -> bytes:
    """A command's answer."""
    return _line({"return": value, **same_id})


def refusal(error: QmpError, same_id: Mapping[str, Json]) -> bytes:
    """The answer to what is refused."""
    return _line({"error": {"class": error.kind, "desc": error.desc}, **same_id})


def event(name: str, data: Mapping[str, Json], now: float) -> bytes:
    """Something that happened at `now` (seconds since 1970); without `data` where there is none."""
    seconds, microseconds = divmod(round(now * 1_000_000), 1_000_000)
    line: dict[str, Json] = {"timestamp": {"seconds": seconds, "microseconds": microseconds}}
    line["event"] = name
    if data:
        line["data"] = dict(data)
    return _line(line)
