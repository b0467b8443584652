"""The replay token: round trips, exact errors, and lines that were made to hurt."""

from __future__ import annotations

import os
import subprocess
import sys
import zlib
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.traces.values import deadlock, tokens
from traces.token import (
    MOST_BODY,
    PREFIX,
    RunDigest,
    Token,
    TokenError,
    decode,
    encode,
    from_trace,
    step_check,
)

CHECKS = bytes.fromhex("b08cfe380032")
FINAL = bytes.fromhex("2dbe7327f07f2ff9")
VERSION_1 = "s3:1:LHjaYxBUMnYJTStnYCmuzEtm091XrP6hXv8nKwMDIwMj24aefxYMRgC3pgpxOrI8AA"
COPY_AGAIN = "copy the whole line again from the report"
LINE = encode(from_trace(deadlock()))
BODY_START = "0011223344556677" + "00" + "04" + b"sync".hex()


def framed(body: bytes) -> str:
    """Return a line with a right checksum around `body`, compressed or not."""
    sized = bytes([len(body) & 0x7F | 0x80, len(body) >> 7 & 0x7F | 0x80, len(body) >> 14]) + body
    data = sized + zlib.crc32(sized).to_bytes(4, "big")
    return PREFIX + urlsafe_b64encode(data).rstrip(b"=").decode()


def refusal(line: str) -> str:
    """Return the error for `line` as a user reads it."""
    with pytest.raises(TokenError) as caught:
        decode(line)
    return str(caught.value)


def usable_or_refused(line: str) -> bool:
    """Return whether `line` is a token that round-trips, or is refused with culprit and remedy."""
    try:
        token = decode(line)
    except TokenError as error:
        return all((error.culprit, error.problem, error.remedy))
    return token == decode(encode(token))


@settings(max_examples=60)
@given(tokens())
def test_round_trip(token: Token) -> None:
    """Any token comes back equal from its line, which is one printable word."""
    line = encode(token)
    assert token == decode(line)
    assert line.isascii()
    assert line.isprintable()
    assert [line] == line.split()


def test_line() -> None:
    """The format does not change by accident: this line is what version 1 prints."""
    expected = Token("0011223344556677", "", "sync", (0, 0, 1, 0, 1), CHECKS, 6, FINAL)
    assert expected == from_trace(deadlock())
    assert expected == decode(VERSION_1)


def test_wrapped() -> None:
    """A line that a terminal wrapped still decodes."""
    assert decode(LINE) == decode(f"  {LINE[:20]}\n    {LINE[20:]}\n")


def test_size() -> None:
    """A thousand steps of four tasks, a choice at every second one, fit in 1,200 characters."""
    names = [f"main/{i % 4}" for i in range(1000)]
    checks = bytes(step_check(name, "acquire", "main:Lock#1") for name in names)
    token = Token("0" * 16, "", "sync", tuple(i % 3 for i in range(500)), checks, 1000, bytes(8))
    assert len(encode(token)) < 1200


@pytest.mark.parametrize(
    ("line", "error"),
    [
        ("", f"""token prefix: '' does not begin with "{PREFIX}"; {COPY_AGAIN}"""),
        ("hello", f"""token prefix: 'hello' does not begin with "{PREFIX}"; {COPY_AGAIN}"""),
        (
            "s3:2:AAAA",
            "token version: '2', but this stage3 reads version 1; use the stage3 that printed it",
        ),
        (LINE + "!", f"token: '!' is no character of a token; {COPY_AGAIN}"),
        (LINE + "é", f"token: '\\xe9' is no character of a token; {COPY_AGAIN}"),
        (PREFIX, f"token length of the body: ends too early; {COPY_AGAIN}"),
        (PREFIX + "A" * 5, f"token: is truncated after 5 characters; {COPY_AGAIN}"),
        (LINE[:-4], f"token: is truncated: 41 of 44 bytes are there; {COPY_AGAIN}"),
        (LINE + "AAAA", f"token: has 3 bytes too many; {COPY_AGAIN}"),
        (
            LINE[:30] + ("A" if LINE[30] != "A" else "B") + LINE[31:],
            f"token checksum: does not match: a character was changed; {COPY_AGAIN}",
        ),
        (framed(b"junk"), "token body: Error -3 while decompressing data"),
        (framed(zlib.compress(bytes(99))[:-2]), "token body: does not end where its compression"),
        (framed(zlib.compress(bytes(99)) + b"x"), "token body: does not end where its compression"),
        (framed(zlib.compress(b"")), f"token program digest: ends too early; {COPY_AGAIN}"),
    ],
)
def test_refused(line: str, error: str) -> None:
    """A line that is no token is refused with what is wrong and what to do."""
    assert refusal(line).startswith(error)


@pytest.mark.parametrize(
    ("body", "error"),
    [
        ("0011223344556677" + "02ffff", "token Python version: b'\\xff\\xff' is not UTF-8"),
        ("0011223344556677" + "8002", "token Python version: is more than 255"),
        ("0011223344556677" + "0133" + "0161" + "00" * 11, "token Python version: '3' is not a"),
        (BODY_START + "ff" * 10, f"token number of steps: is more than {2**64 - 1}"),
        (BODY_START + "00" * 9 + "c1843d", "token number of choices: is more than 1000000"),
        (BODY_START + "00" * 9 + "05" + "00", "token choice: ends too early"),
        (BODY_START + "01" + "00" * 9 + "02" + "0000", "token number of checks: 2 is not the nu"),
        (BODY_START + "00" * 11 + "00", "token body: has 1 bytes after its end"),
    ],
)
def test_body(body: str, error: str) -> None:
    """A body with a right checksum but a wrong field is refused by that field."""
    assert refusal(framed(zlib.compress(bytes.fromhex(body)))).startswith(error)


def test_bomb() -> None:
    """A small line that unfolds beyond the bound is refused at the bound."""
    bomb = zlib.compress(bytes(MOST_BODY + 1), 9)
    assert 20_000 > len(bomb)
    assert refusal(framed(bomb)).startswith(f"token body: unfolds to more than {MOST_BODY} bytes")


def test_too_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """A line beyond the bound is neither read nor written."""
    monkeypatch.setattr("traces.token.MOST_CHARACTERS", 40)
    assert refusal(LINE) == f"token: has {len(LINE)} characters, at most 40; {COPY_AGAIN}"
    with pytest.raises(TokenError, match="replay the trace file instead"):
        encode(from_trace(deadlock()))


@pytest.mark.parametrize(
    ("changes", "culprit"),
    [
        ({"program_digest": "00"}, "token program digest"),
        ({"python": "3.11.7"}, "token Python version"),
        ({"granularity": ""}, "token granularity"),
        ({"steps": 1_000_001}, "token number of steps"),
        ({"final": b"short"}, "token final digest"),
        ({"choices": (0,) * 1_000_001}, "token number of choices"),
        ({"choices": (2**64,)}, "token choice"),
        ({"checks": b"12345"}, "token number of checks"),
    ],
)
def test_encode_refuses(
    changes: dict[str, str | int | bytes | tuple[int, ...]], culprit: str
) -> None:
    """What could not be decoded is not encoded."""
    with pytest.raises(TokenError) as caught:
        encode(replace(from_trace(deadlock()), **changes))  # type: ignore[arg-type]
    assert culprit == caught.value.culprit


@settings(max_examples=100)
@given(st.data())
def test_fuzz(data: st.DataObject) -> None:
    """Changing the bytes of a token gives a `TokenError`, even where the checksum is made right."""
    text = LINE[len(PREFIX) :]
    raw = bytearray(urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    raw[data.draw(st.integers(0, len(raw) - 1))] ^= data.draw(st.integers(1, 255))
    line = PREFIX + urlsafe_b64encode(raw).decode().rstrip("=")
    assert refusal(line)
    body = bytearray(zlib.decompress(urlsafe_b64decode(text + "=" * (-len(text) % 4))[1:-4]))
    body[data.draw(st.integers(0, len(body) - 1))] ^= data.draw(st.integers(1, 255))
    assert usable_or_refused(framed(zlib.compress(bytes(body))))


def test_python() -> None:
    """Only a schedule of synchronisation operations is free of the Python version."""
    trace = deadlock()
    fine = replace(trace, program=replace(trace.program, granularity="gil"))
    assert ("", "3.11") == (from_trace(trace).python, from_trace(fine).python)


def test_digest() -> None:
    """The digest tells steps, their order and their fields apart; each fold gives the step's check."""
    runs = [[("a", "b", "c")], [("ab", "", "c")], [("a", "b", "c")] * 2, []]
    digests = set()
    for steps in runs:
        run = RunDigest()
        assert [step_check(*step) for step in steps] == [run.fold(*step) for step in steps]
        digests.add(run.digest())
    assert {8} == {len(digest) for digest in digests}
    assert len(runs) == len(digests)


def test_surrogate() -> None:
    """A name that is not valid Unicode still has a check."""
    assert step_check("main", "open", "\udc80") in range(256)


@pytest.mark.slow
def test_processes() -> None:
    """Checks are the same in processes with other hash seeds."""
    code = "from traces.token import step_check; print(step_check('main/1', 'acquire', 'L'))"
    seen = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": seed},
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert {f"{step_check('main/1', 'acquire', 'L')}\n"} == seen
