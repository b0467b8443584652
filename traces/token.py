"""A schedule as one printable line: `s3:1:` and base64url, short enough to paste.

Promises: `decode(encode(token)) == token`; `decode` takes a line from anywhere, uses bounded memory
(a small line cannot unfold into a large value) and raises `TokenError` naming what is wrong with it
and what to do. The same value gives the same line, in every process and on every Python.
Assumes nothing about the program; `checks` and `final` are what lets a replay notice at the first
step that another program is running. Does no I/O.

Layout of the bytes behind the prefix: length of the body (varint), body (zlib), CRC-32 of both (4,
big-endian). The body: program digest (8), Python version and granularity (length and UTF-8), number
of steps (varint), final digest (8), number of choices and choices (varints), number of checks
(varint) and checks. A varint is little-endian, seven bits a byte, the high bit set on all but the
last.
"""

from __future__ import annotations

import binascii
import re
import string
import zlib
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b
from typing import TYPE_CHECKING

from traces.errors import TokenError, quoted
from traces.schema import MOST_CHOICES, MOST_STEPS

if TYPE_CHECKING:
    from traces.schema import Trace

__all__ = [
    "PREFIX",
    "RunDigest",
    "Token",
    "TokenError",
    "decode",
    "encode",
    "from_trace",
    "step_check",
]

PREFIX = "s3:1:"
MOST_CHARACTERS = 4 * 1024 * 1024
MOST_BODY = 12 * 1024 * 1024
MOST_NUMBER = 2**64 - 1
COPY_AGAIN = "copy the whole line again from the report"

_DIGEST_BYTES = 8
_CRC_BYTES = 4
_ALPHABET = frozenset(string.ascii_letters + string.digits + "-_")
_PYTHON = re.compile(r"([0-9]{1,3}\.[0-9]{1,3})?")
_GRANULARITY = re.compile(r"[!-~]{1,255}")


@dataclass(frozen=True, slots=True)
class Token:
    """What a replay needs beside the program.

    `program_digest` are 16 hexadecimal digits; `python` is the minor version the schedule depends
    on (`3.11`), "" when any will do; `checks` is one byte a step (`step_check`), or empty when only
    the end is checked; `final` are the 8 bytes of `RunDigest` after the last of `steps` steps.
    """

    program_digest: str
    python: str
    granularity: str
    choices: tuple[int, ...]
    checks: bytes
    steps: int
    final: bytes


class RunDigest:
    """Folds the steps of one run, in order, into 8 bytes."""

    __slots__ = ("_hash",)

    def __init__(self) -> None:
        self._hash = blake2b(digest_size=_DIGEST_BYTES)

    def fold(self, task: str, op: str, obj: str) -> int:
        """Take in one step and return its `step_check`."""
        digest = _step_digest(task, op, obj)
        self._hash.update(digest)
        return digest[0]

    def digest(self) -> bytes:
        """Return the 8 bytes for the steps so far."""
        return self._hash.digest()


def step_check(task: str, op: str, obj: str) -> int:
    """Return one byte that tells this step from most others, the same in every process.

    Two different steps agree by chance once in 256, so a run that diverges is noticed in a step or
    two; `RunDigest` settles the rest.
    """
    return _step_digest(task, op, obj)[0]


@lru_cache(maxsize=65_536)
def _step_digest(task: str, op: str, obj: str) -> bytes:
    # Lengths first: ("a", "bc") and ("ab", "c") are different steps.
    text = f"{len(task)}:{task}{len(op)}:{op}{obj}"
    return blake2b(text.encode(errors="surrogatepass"), digest_size=_DIGEST_BYTES).digest()


def from_trace(trace: Trace) -> Token:
    """Return the token that replays `trace`.

    Scheduling points at synchronisation operations (granularity `sync`) are the same in all Python
    versions; any other granularity ties the schedule to the minor version it was recorded under.
    """
    program, run = trace.program, RunDigest()
    checks = bytes(run.fold(step.task, step.op, step.object) for step in trace.steps)
    minor = ".".join(program.python.split(".")[:2])
    return Token(
        program_digest=program.digest[: 2 * _DIGEST_BYTES],
        python="" if program.granularity == "sync" else minor,
        granularity=program.granularity,
        choices=trace.schedule.choices,
        checks=checks,
        steps=len(trace.steps),
        final=run.digest(),
    )


def encode(token: Token) -> str:
    """Return the line for `token`; raise `TokenError` for a value that `decode` would refuse."""
    _check(token)
    body = zlib.compress(_pack(token), 9)
    sized = _varint(len(body)) + body
    framed = sized + zlib.crc32(sized).to_bytes(_CRC_BYTES, "big")
    line = PREFIX + urlsafe_b64encode(framed).rstrip(b"=").decode()
    if len(line) > MOST_CHARACTERS:
        problem = f"would have {len(line)} characters, at most {MOST_CHARACTERS}"
        raise TokenError("token", problem, "replay the trace file instead")
    return line


def decode(line: str) -> Token:
    """Return the token behind `line`; white space, as from a wrapped terminal line, is ignored."""
    if len(line) > MOST_CHARACTERS:
        problem = f"has {len(line)} characters, at most {MOST_CHARACTERS}"
        raise TokenError("token", problem, COPY_AGAIN)
    sized = _unframe(_payload("".join(line.split())))
    unfold = zlib.decompressobj()
    try:
        body = unfold.decompress(sized, MOST_BODY + 1)
    except zlib.error as error:
        raise TokenError("token body", str(error), COPY_AGAIN) from None
    if len(body) > MOST_BODY:
        raise TokenError("token body", f"unfolds to more than {MOST_BODY} bytes", COPY_AGAIN)
    if not unfold.eof or unfold.unused_data:
        raise TokenError("token body", "does not end where its compression does", COPY_AGAIN)
    token = _unpack(body)
    _check(token)
    return token


def _payload(line: str) -> bytes:
    """Return the bytes behind the prefix."""
    if not line.startswith("s3:"):
        problem = f'{quoted(line, 24)} does not begin with "{PREFIX}"'
        raise TokenError("token prefix", problem, COPY_AGAIN)
    if not line.startswith(PREFIX):
        version = line.split(":", 2)[1]
        problem = f"{quoted(version, 24)}, but this stage3 reads version {PREFIX.split(':')[1]}"
        raise TokenError("token version", problem, "use the stage3 that printed it, or find anew")
    text = line[len(PREFIX) :]
    if strange := next((c for c in text if c not in _ALPHABET), None):
        raise TokenError("token", f"{quoted(strange)} is no character of a token", COPY_AGAIN)
    try:
        return urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except binascii.Error:
        raise TokenError(
            "token", f"is truncated after {len(text)} characters", COPY_AGAIN
        ) from None


def _unframe(framed: bytes) -> bytes:
    """Return the compressed body, its length and checksum checked."""
    reader = _Reader(framed)
    length = reader.number("length of the body")
    there = len(framed) - reader.at - _CRC_BYTES
    if there < length:
        problem = f"is truncated: {max(there, 0)} of {length} bytes are there"
        raise TokenError("token", problem, COPY_AGAIN)
    if there > length:
        raise TokenError("token", f"has {there - length} bytes too many", COPY_AGAIN)
    sized, crc = framed[:-_CRC_BYTES], framed[-_CRC_BYTES:]
    if zlib.crc32(sized).to_bytes(_CRC_BYTES, "big") != crc:
        raise TokenError("token checksum", "does not match: a character was changed", COPY_AGAIN)
    return sized[reader.at :]


def _pack(token: Token) -> bytes:
    """Return the body before compression."""
    python, granularity = token.python.encode(), token.granularity.encode()
    parts = [bytes.fromhex(token.program_digest)]
    parts += [_varint(len(python)), python, _varint(len(granularity)), granularity]
    parts += [_varint(token.steps), token.final]
    parts += [_varint(len(token.choices)), *map(_varint, token.choices)]
    parts += [_varint(len(token.checks)), token.checks]
    return b"".join(parts)


def _unpack(body: bytes) -> Token:
    """Return the token in an uncompressed body."""
    reader = _Reader(body)
    token = Token(
        program_digest=reader.take(_DIGEST_BYTES, "program digest").hex(),
        python=reader.text("Python version"),
        granularity=reader.text("granularity"),
        steps=reader.number("number of steps"),
        final=reader.take(_DIGEST_BYTES, "final digest"),
        choices=tuple(
            reader.number("choice") for _ in range(reader.number("number of choices", MOST_CHOICES))
        ),
        checks=reader.take(reader.number("number of checks", MOST_STEPS), "checks"),
    )
    if reader.at != len(body):
        extra = len(body) - reader.at
        raise TokenError("token body", f"has {extra} bytes after its end", COPY_AGAIN)
    return token


def _check(token: Token) -> None:
    """Refuse a token whose fields cannot be: both ends of the wire call it."""
    if not re.fullmatch(r"[0-9a-f]{16}", token.program_digest):
        _refuse("program digest", token.program_digest, "16 lower-case hexadecimal digits")
    if not _PYTHON.fullmatch(token.python):
        _refuse("Python version", token.python, 'a version such as 3.11, or ""')
    if not _GRANULARITY.fullmatch(token.granularity):
        _refuse("granularity", token.granularity, "1 to 255 printable characters")
    if not 0 <= token.steps <= MOST_STEPS:
        _refuse("number of steps", token.steps, f"between 0 and {MOST_STEPS}")
    if len(token.final) != _DIGEST_BYTES:
        _refuse("final digest", token.final, f"{_DIGEST_BYTES} bytes")
    if len(token.choices) > MOST_CHOICES:
        _refuse("number of choices", len(token.choices), f"at most {MOST_CHOICES}")
    if strange := [c for c in token.choices if not 0 <= c <= MOST_NUMBER]:
        _refuse("choice", strange[0], f"between 0 and {MOST_NUMBER}")
    if token.checks and len(token.checks) != token.steps:
        _refuse("number of checks", len(token.checks), f"the number of steps, {token.steps}")


def _refuse(part: str, value: object, expected: str) -> None:
    raise TokenError(f"token {part}", f"{quoted(value)} is not {expected}", COPY_AGAIN)


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


class _Reader:
    """Takes fields off bytes from the front; what is not there is named."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0

    def take(self, count: int, part: str) -> bytes:
        """Take `count` bytes."""
        end = self.at + count
        if end > len(self.data):
            raise TokenError(f"token {part}", "ends too early", COPY_AGAIN)
        taken = self.data[self.at : end]
        self.at = end
        return taken

    def number(self, part: str, most: int = MOST_NUMBER) -> int:
        """Take a varint of at most `most`."""
        number = shift = 0
        while True:
            byte = self.take(1, part)[0]
            number |= (byte & 0x7F) << shift
            if number > most or shift > 63:
                raise TokenError(f"token {part}", f"is more than {most}", COPY_AGAIN)
            if byte < 0x80:
                return number
            shift += 7

    def text(self, part: str) -> str:
        """Take a short string."""
        taken = self.take(self.number(part, 255), part)
        try:
            return taken.decode()
        except UnicodeDecodeError:
            raise TokenError(f"token {part}", f"{quoted(taken)} is not UTF-8", COPY_AGAIN) from None
