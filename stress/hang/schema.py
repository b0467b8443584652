"""A hang report as JSON, with all its evidence.

Promises: `from_json(to_json(report)) == report`; `from_json` takes text from anywhere and either returns
a report whose every field has its type and keeps its bound, or raises `HangError` naming the field and
saying what to do. No I/O. The snapshots inside are whole: another command can steer a run by them.
"""

from __future__ import annotations

import json
import types
import typing
from dataclasses import asdict, fields
from typing import Final

from stress.hang.model import VERDICTS, HangReport, HeldRow, ThreadRow
from traces.errors import InputError, quoted
from verify.backtraces import ProcessDump, StackFrame, ThreadDump
from verify.observe import snapshot as snapshots

__all__ = ["FORMAT", "VERSION", "HangError", "from_json", "to_json"]

FORMAT: Final = "stage3-hang"
VERSION: Final = 1
MOST_CHARACTERS: Final = 256 * 1024 * 1024
MOST_ROWS: Final = 100_000
MOST_TEXT: Final = 4_000_000
MOST_WHOLE: Final = 2**64
MOST_SECONDS: Final = 1e12
_REMEDY: Final = "give a hang-PID.json that this stage3 wrote, unedited"


class HangError(InputError):
    """A hang report that cannot be read; `culprit` is a file or a field like `threads[3].held`."""


_RECORDS: Final[dict[type, dict[str, object]]] = {
    StackFrame: {"file": str, "line": int, "function": str, "native": bool},
    ThreadDump: {
        "native_id": int | None, "ident": int | None, "name": str, "frames": tuple[StackFrame, ...],
        "active": bool | None, "owns_gil": bool | None, "state": str,
    },
    ProcessDump: {
        "pid": int, "tool": str, "threads": tuple[ThreadDump, ...], "problems": tuple[str, ...],
    },
    HeldRow: {"name": str, "count": int, "since_s": float, "stack": tuple[StackFrame, ...]},
    ThreadRow: {
        "pid": int, "name": str, "role": str, "native_id": int | None, "state": str, "waits_for": str,
        "holder": str, "since_s": float | None, "daemon": bool, "owns_gil": bool, "notify": str,
        "held": tuple[HeldRow, ...], "stack": tuple[StackFrame, ...],
    },
    HangReport: {
        "headline": str, "verdict": str, "kind": str, "cause": str, "details": tuple[str, ...],
        "cycle": tuple[str, ...], "pid": int, "command": tuple[str, ...],
        "threads": tuple[ThreadRow, ...], "notes": dict[str, str],
        "snapshots": tuple[snapshots.Snapshot, ...], "dumps": tuple[ProcessDump, ...],
        "attached": dict[str, str], "problems": tuple[str, ...], "repro": str,
    },
}  # fmt: skip
"""Every record of the format with its fields and their types: an object must have exactly these."""


def to_json(report: HangReport) -> str:
    """Return the report as ASCII JSON, one member of the top level a line."""
    value = {
        "format": FORMAT,
        "version": VERSION,
        **asdict(report),
        "snapshots": [snapshots.to_value(each) for each in report.snapshots],
    }
    members = ",\n".join(
        f" {json.dumps(k)}: {json.dumps(v, allow_nan=False)}" for k, v in value.items()
    )
    return f"{{\n{members}\n}}\n"


def from_json(text: str) -> HangReport:
    """Return the report that `text` holds; raise `HangError` for what `to_json` cannot write."""
    if len(text) > MOST_CHARACTERS:
        raise HangError("report", f"has {len(text)} characters, at most {MOST_CHARACTERS}", _REMEDY)
    try:
        value: object = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise HangError("report", f"is not JSON ({str(error)[:80]})", _REMEDY) from None
    if not isinstance(value, dict) or value.get("format") != FORMAT:
        raise HangError("format", f'this is not a "{FORMAT}" file', _REMEDY)
    version = value.get("version")
    if isinstance(version, bool) or version != VERSION:
        problem = f"{quoted(version)}, but this stage3 reads version {VERSION}"
        raise HangError("version", problem, "use the stage3 that wrote it")
    rest = {name: each for name, each in value.items() if name not in {"format", "version"}}
    report = _record(rest, HangReport, "")
    assert isinstance(report, HangReport)
    if report.verdict not in VERDICTS:
        _refuse("verdict", report.verdict, f"one of {', '.join(VERDICTS)}")
    return report


def _refuse(where: str, value: object, wanted: str) -> typing.NoReturn:
    raise HangError(where, f"{quoted(value)} is not {wanted}", _REMEDY)


def _decode(value: object, hint: object, where: str) -> object:
    """Return `value` as the type `hint` says."""
    if isinstance(hint, types.UnionType):
        (wanted,) = (each for each in typing.get_args(hint) if each is not type(None))
        return None if value is None else _decode(value, wanted, where)
    if typing.get_origin(hint) is tuple:
        if not isinstance(value, list) or len(value) > MOST_ROWS:
            _refuse(where, value, f"a list of at most {MOST_ROWS}")
        inner: object = typing.get_args(hint)[0]
        return tuple(_decode(each, inner, f"{where}[{i}]") for i, each in enumerate(value))
    if typing.get_origin(hint) is dict:
        if not isinstance(value, dict) or len(value) > MOST_ROWS:
            _refuse(where, value, f"an object of at most {MOST_ROWS} texts")
        return {k: _decode(each, str, f"{where}[{quoted(k)}]") for k, each in value.items()}
    if hint is snapshots.Snapshot:
        try:
            return snapshots.from_value(value)
        except snapshots.SnapshotError as error:
            raise HangError(where, str(error)[:300], _REMEDY) from None
    if isinstance(hint, type) and hint in _RECORDS:
        return _record(value, hint, where)
    return _plain(value, hint, where)


def _plain(value: object, hint: object, where: str) -> object:
    if hint is float:
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            _refuse(where, value, "a number of seconds")
        if not 0 <= value <= MOST_SECONDS:
            _refuse(where, value, f"between 0 and {MOST_SECONDS:g}")
        return float(value)
    if type(value) is not hint:
        _refuse(where, value, {int: "a whole number", bool: "true or false"}.get(hint, "a text"))  # type: ignore[call-overload]  # hint is one of the three
    if isinstance(value, str) and len(value) > MOST_TEXT:
        _refuse(where, value, f"of at most {MOST_TEXT} characters")
    if type(value) is int and not 0 <= value < MOST_WHOLE:
        _refuse(where, value, f"between 0 and {MOST_WHOLE}")
    return value


def _record(value: object, kind: type, where: str) -> object:
    if not isinstance(value, dict):
        _refuse(where or "report", value, "an object")
    hints = _RECORDS[kind]
    dot = f"{where}." if where else ""
    for name in hints:
        if name not in value:
            raise HangError(f"{dot}{name}", "is missing", _REMEDY)
    for name in value:
        if name not in hints:
            raise HangError(where or "report", f"unknown field {quoted(name)}", _REMEDY)
    return kind(
        **{name: _decode(value[name], hint, f"{dot}{name}") for name, hint in hints.items()}
    )


assert all({each.name for each in fields(kind)} == set(hints) for kind, hints in _RECORDS.items())
