"""`stage3 vm`: a process with a machine that a user controls by QMP, as one controls QEMU.

Promises: the machine lives until `quit`, SIGTERM or SIGINT; then its threads, sockets and socket files
are gone and the exit code is 0. An incoming migration that fails ends it, too, with 1, unless
`migrate-incoming` said `exit-on-error` false. Bad input is refused before anything runs.
Does not: compare anything; `stage3 migrate` does.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import pathlib
import re
import signal
import sys
from typing import TYPE_CHECKING, Final

from mig import designs, image, transport
from mig.machine import Machine, void
from mig.monitor.served import Served
from stress import guests
from stress.migrate_types import MAX_RAM, MAX_VCPUS, PAGE, MigrateInputError, sized
from verify.abc import UsageError
from verify.cli import refuse
from verify.record import own_version

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterator

    from mig.image import GuestImage

DEFER: Final = "defer"
"""For `--incoming`: `migrate-incoming` will say from where."""
EXIT_FAILED: Final = 1
_QEMUS_OPTIONS: Final = re.compile(r"(,(server(=on)?|nowait|wait=off))*$")
"""What users of QEMU write behind a monitor's address, where it means what is done here anyway."""


@dataclasses.dataclass(frozen=True, slots=True)
class VmOptions:
    """A machine. Sizes are bytes, rates per second."""

    qmp: tuple[str, ...]
    """Where clients connect: `tcp:HOST:PORT` or `unix:PATH`."""
    incoming: str | None = None
    """A migration URI or `defer`: wait for a guest instead of running one."""
    image: pathlib.Path | None = None
    ram: int = 16 << 20
    vcpus: int = 2
    dirty_rate: int = 2000
    """Pages that all vCPUs together write each second."""
    design: str = "thread"
    paused: bool = False
    """Do not start the guest."""

    def check(self) -> None:
        """Raise `MigrateInputError` for the first value that is out of range."""
        if not self.qmp:
            raise MigrateInputError("nobody could control it; give --qmp unix:PATH")
        if self.design not in designs.NAMES:
            raise MigrateInputError(
                f"unknown design {self.design!r}; choose one of {', '.join(designs.NAMES)}"
            )
        if not (0 < self.ram <= MAX_RAM and self.ram % PAGE == 0):
            raise MigrateInputError(
                f"{self.ram} bytes of RAM; give a multiple of {PAGE} up to {MAX_RAM}"
            )
        for name, value, high in (
            ("vcpus", self.vcpus, MAX_VCPUS),
            ("dirty-rate", self.dirty_rate, 1 << 30),
        ):
            if not 0 <= value <= high:
                raise MigrateInputError(f"{name} {value}; give a number from 0 to {high}")


def _guest(options: VmOptions) -> GuestImage:
    if options.image is None:
        awaited = options.incoming is not None
        return guests.blank(options.ram) if awaited else guests.made_up(options.ram)
    try:
        return image.load(options.image)
    except image.ImageError as error:
        raise MigrateInputError(str(error)) from None


def _machine(options: VmOptions, guest: GuestImage) -> Machine:
    """The machine of the guest; its memory is filled unless it is awaited."""
    awaited = options.incoming is not None
    machine = Machine(
        "destination" if awaited else "source",
        [(block.name, block.length) for block in guest.blocks],
        guests.programs(options.vcpus, options.dirty_rate) if options.vcpus else [],
        designs.by_name(options.design),
        name=guest.machine,
    )
    machine.autostart = not options.paused
    if not awaited:
        guests.fill(machine, guest)
    return machine


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _serve(
    options: VmOptions, stack: contextlib.ExitStack, when_over: Callable[[], None]
) -> Served:
    """Start everything; what was started is ended by `stack`."""
    machine = _machine(options, _guest(options))
    stack.callback(machine.close)
    package = f"stage3 {own_version()}"
    served = Served(machine, options.qmp, package, incoming=options.incoming is not None)
    stack.callback(served.close)
    served.control.when_over = when_over
    arriving = served.control.arriving
    if arriving is not None and options.incoming not in {None, DEFER}:
        arriving.listen(options.incoming)
    if arriving is None and not options.paused:
        machine.start()
    served.start()
    for uri in served.server.uris:
        _say(f"QMP: {uri}")
    if arriving is not None and arriving.uri:
        _say(f"incoming: {arriving.uri}")
    return served


@contextlib.contextmanager
def _signals() -> Iterator[tuple[int, int]]:
    """A pipe, into which SIGTERM and SIGINT write a byte each; yields its two ends.

    An exception raised by a handler would strike anywhere, also half-way through starting a machine.
    """
    reading, writing = os.pipe()

    def note(number: int, _frame: object) -> None:
        os.write(writing, bytes([number]))

    kept = {number: signal.signal(number, note) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield reading, writing
    finally:
        for number, handler in kept.items():
            signal.signal(number, handler)
        os.close(reading)
        os.close(writing)


def vm(options: VmOptions) -> int:
    """Run a machine until it is told to end; the exit code. In the main thread.

    Raises `UsageError` for bad input.
    """
    options.check()
    with _signals() as (reading, writing), contextlib.ExitStack() as stack:
        try:
            served = _serve(options, stack, lambda: void(os.write(writing, b"\0")))
        except transport.TransportError as error:
            raise MigrateInputError(str(error)) from None
        if os.read(reading, 1) != b"\0":
            served.close("host-signal")
        if failure := served.control.failure:
            sys.stderr.write(f"stage3 vm: the incoming migration failed: {failure}\n")
            return EXIT_FAILED
    return 0


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `vm` and its options to the parsers of the umbrella command."""
    parser = subparsers.add_parser(
        "vm",
        help="run a machine that is controlled by QMP, as source or destination of migrations",
        description="Runs a machine whose vCPUs keep writing, and serves QEMU's monitor protocol: migrate it"
        " with any client of QMP, to another 'stage3 vm' or to a QEMU.",
        epilog="exit codes: 0 ended by quit or a signal, 1 the incoming migration failed, 2 bad input,"
        " 3 internal error",
    )
    add = parser.add_argument
    add("--qmp", action="append", default=[], metavar="ADDRESS",
        help="serve QMP on unix:PATH or tcp:HOST:PORT; may be repeated")  # fmt: skip
    add(
        "--incoming",
        metavar="URI",
        help="wait for a guest from there, or 'defer' for migrate-incoming",
    )
    add("--image", type=pathlib.Path, help="raw image or stream written by QEMU; .gz is fine")
    add("--ram", type=sized, default=16 << 20, help="memory without an image (16M)")
    add("--vcpus", type=int, default=2, help="number of vCPU threads (2)")
    add("--dirty-rate", type=int, default=2000, help="pages/s written (2000)")
    add("--design", default="thread", help="who migrates under which lock (thread)")
    add("-S", "--paused", action="store_true", help="do not start the guest before 'cont'")


def run(args: argparse.Namespace) -> int:
    """Run `stage3 vm` with parsed arguments; returns the exit code."""
    names = {field.name for field in dataclasses.fields(VmOptions)} - {"qmp"}
    qmp: list[str] = args.qmp
    options = VmOptions(
        qmp=tuple(_QEMUS_OPTIONS.sub("", uri) for uri in qmp),
        **{name: getattr(args, name) for name in names},
    )
    try:
        return vm(options)
    except UsageError as error:
        return refuse("vm", error)
