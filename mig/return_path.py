"""The return path at the source: a thread that hears the destination, and what the migration waits for.

Promises: `await_*` return when it is so, or when the destination can no longer say it; garbage, a refusal
and the end of the connection are each one clear error, told once to `lost`. What comes is bounded: only
answers to what was asked are taken.
Assumes: a stream on which answers can come back; who ends the migration shuts the stream down, which ends
the thread. `lost` may be called on the thread, with no lock held.
Does not: decide what an error means: before the commit the migration fails, after it the outcome is unknown.

What is said, by S, the source, and D, the destination:

1. S: OPEN_RETURN_PATH, PING 1, PING `HELLO`, at the head of the stream. D: PONG 1; a stage3 says PONG `OWN`
   before it answers PONG `HELLO`, as anyone does. So after `HELLO` S knows who D is.
2. S: RAM, for a stage3 what it claims to have sent, devices, PING `READY`. D answers when it has loaded all
   that (a stage3: and checked the claim): PONG `READY`.
3. S commits and sends the end of the stream. D: SHUT 0, and starts the guest; or SHUT with another status,
   and does not.

Source: QEMU migration/migration.c (`source_return_path_thread`, `migrate_send_rp_shut`), docs/devel/migration.rst.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Final

from mig.wire import WireError
from mig.wire_commands import Bare, Code, Ping, encode
from mig.wire_return import Pong, ReturnDecoder, Shut

if TYPE_CHECKING:
    from collections.abc import Callable

    from mig.transport import Stream
    from mig.wire_return import Message

FIRST: Final = 1
"""The value of the first PING, as QEMU has it."""
HELLO: Final = 0x53544733
OWN: Final = 0x53544734
READY: Final = 0x53544735
_ASKED: Final = frozenset({FIRST, HELLO, OWN, READY})
_RECEIVE: Final = 4096


class ReturnPathError(Exception):
    """What the destination did instead of answering; the text says what to do."""


class ReturnPath:
    """What the destination of one migration has said."""

    def __init__(self, stream: Stream, lost: Callable[[Exception], None]) -> None:
        self.lock = threading.Lock()
        self.own = False
        """Whether the destination is a stage3."""
        self.shut: int | None = None
        """With which status it has ended; None before."""
        self.error: Exception | None = None
        """Why it can say nothing more; None while it can."""
        self.heard = 0
        """Bytes that came."""
        self.waiting = False
        """Whether the migration waits for an answer."""
        self._changed = threading.Condition(self.lock)
        self._pongs: set[int] = set()
        self._ending = False
        self._stream = stream
        self._lost = lost
        self._thread = threading.Thread(target=self.run, name="return path", daemon=True)
        self._started = False

    @staticmethod
    def greeting() -> list[bytes]:
        """The commands at the head of the stream."""
        opening = encode(Bare(Code.OPEN_RETURN_PATH))
        return [opening, encode(Ping(FIRST)), encode(Ping(HELLO))]

    @staticmethod
    def question() -> bytes:
        """The command after the last device."""
        return encode(Ping(READY))

    def start(self) -> None:
        """Begin to listen, once."""
        self._started = True
        self._thread.start()

    def join(self) -> None:
        """Wait for the thread; the stream has been shut down, or the destination has ended."""
        if self._started:
            self._thread.join()

    # --- the thread -------------------------------------------------------------------------------

    def run(self) -> None:
        """Listen until the destination ends, or nothing more can come."""
        try:
            self._listen()
        except (WireError, ReturnPathError, OSError) as error:
            with self.lock:
                self.error = error
                self._changed.notify_all()
            self._lost(error)

    def _listen(self) -> None:
        decoder = ReturnDecoder()
        while self.shut is None and (data := self._stream.recv(_RECEIVE)):
            self.heard += len(data)
            decoder.feed(data)
            for message in decoder:
                self._take(message)
        if self.shut is None:
            decoder.finish()
            for message in decoder:
                self._take(message)
        if self.shut is None:
            raise ReturnPathError(
                "the destination closed the connection before it said that it has taken over;"
                " see its own messages"
            )

    def _take(self, message: Message) -> None:
        match message:
            case Pong(value) if value in _ASKED:
                with self.lock:
                    self._pongs.add(value)
                    self.own = OWN in self._pongs
                    self._changed.notify_all()
            case Shut(0) if not self._ending:
                raise ReturnPathError(
                    "the destination says that it has taken over before it was told to;"
                    " start it anew and migrate again"
                )
            case Shut(status):
                with self.lock:
                    self.shut = status
                    self._changed.notify_all()
                if status:
                    self._lost(self.refusal())
            case _:
                raise ReturnPathError(
                    f"the destination said {message}, which nobody asked for;"
                    " migrate without postcopy, to a destination that knows precopy"
                )

    def refusal(self) -> ReturnPathError:
        """The error of a destination that has ended with a status."""
        return ReturnPathError(
            f"the destination refused the guest (status {self.shut}); its own messages say why"
        )

    # --- the migration ----------------------------------------------------------------------------

    def _await(self, settled: Callable[[], bool]) -> bool:
        with self.lock:
            self.waiting = True
            while not settled() and self.error is None and self.shut is None:
                self._changed.wait()
            self.waiting = False
            return settled()

    def await_greeting(self) -> bool:
        """Wait until it is known who the destination is; False when it will not be."""
        return self._await(lambda: HELLO in self._pongs)

    def await_ready(self) -> bool:
        """Wait until the destination has loaded everything but the end; False when it will not."""
        return self._await(lambda: READY in self._pongs)

    def expect_end(self) -> None:
        """From now on the destination may say that it has taken over."""
        self._ending = True

    def await_end(self) -> bool:
        """Wait until the destination has taken over or refused (`shut`); False when it cannot say so any more."""
        return self._await(lambda: self.shut is not None)
