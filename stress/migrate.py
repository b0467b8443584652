"""`stage3 migrate`: one live migration between two processes, compared page by page.

Promises: source and destination are processes of their own with real threads and a real socket
between them; vCPUs write until the source stops them. The destination digests every page before its
first vCPU step; the result says how many pages were compared and which differ, and the same for the
device sections of an image. Bad input raises `UsageError` before anything runs. A run that
stands still is reported by the watchdog.
Assumes: memory for both guests. Does not: retry, or change the image.
"""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib
import sys
import threading
import time
from typing import TYPE_CHECKING, Final

from mig import image, transport
from mig.vcpu.guests import DIRTY_LOGS, LOGS
from stress import digests, guests, real_guests
from stress.destination import DestinationProcess
from stress.files import directory_for
from stress.migrate_types import (
    Figures,
    MigrateInputError,
    MigrateOptions,
    MigrateResult,
    sized,
)
from stress.migrate_ways import prepared
from stress.migration.series import recorded
from stress.migration.workloads import SHAPES, Load
from stress.side_channel import ChannelError, Message
from stress.watchdog.counter import CounterWatchdog
from verify.abc import UsageError
from verify.cli import refuse
from verify.observe import install
from verify.observe.recorder import recorder

if TYPE_CHECKING:
    import argparse

    from mig.image import GuestImage
    from mig.transport import Stream
    from stress.migrate_ways import Way
    from stress.side_channel import Value

_URI_HELP: Final = (
    "tcp:HOST:PORT, unix:PATH, fd: (a pair made here), exec:COMMAND (between the two) or"
    " file:PATH[,offset=N] (tcp:127.0.0.1:0)"
)
DESTINATION_GRACE: Final = 5.0
"""Seconds that the destination's watchdog waits longer than the source's."""


class _Hang:
    """What the watchdog found, and the event that says it did."""

    def __init__(self, destination: DestinationProcess) -> None:
        self.event = threading.Event()
        self.report: pathlib.Path | None = None
        self.headline = ""
        self._destination = destination

    def __call__(self, path: pathlib.Path | None, headline: str) -> None:
        self.report, self.headline = path, headline
        self.event.set()
        self._destination.wake()


def _guest(options: MigrateOptions) -> GuestImage:
    if options.load is not None:
        return guests.blank(options.load.ram)
    if options.image is None:
        return guests.made_up(options.ram)
    try:
        return image.load(options.image)
    except image.ImageError as error:
        raise MigrateInputError(str(error)) from None


def _begin_files(options: MigrateOptions) -> None:
    """Refuse what could not be written later; an earlier run's series is emptied."""
    directory_for("--output", options.output)
    if options.series is None:
        return
    try:
        options.series.write_bytes(b"")
    except (OSError, ValueError) as error:
        raise MigrateInputError(
            f"--series {options.series} cannot be written ({error}); name another file"
        ) from None


def _listening(
    destination: DestinationProcess, guest: GuestImage, options: MigrateOptions, uri: str
) -> str:
    """Give the destination its order; the URI it listens on."""
    blocks: list[Value] = [[block.name, block.length] for block in guest.blocks]
    destination.say(
        Message(
            "order",
            {
                "uri": uri,
                "machine": guest.machine,
                "blocks": blocks,
                "vcpus": options.vcpus,
                "dirty_rate": options.dirty_rate,
                "guest": options.guest,
                "dirty_log": options.dirty_log or "",
                "load": "" if options.load is None else options.load.as_text(),
                # Later than the source's own, whose report shows both processes.
                "stall_ms": int((options.stall_timeout + DESTINATION_GRACE) * 1000),
                "output": str(options.output),
            },
        )
    )
    answer = destination.wait_for("listening", "refused")
    if answer.kind == "refused":
        raise MigrateInputError(answer.text("error"))
    return answer.text("uri")


def _compared_memory(source: guests.Source, loaded: Message) -> digests.Difference:
    records = dict(loaded.pairs("records"))
    parts = [(name, pages, records.get(name, 0)) for name, pages in loaded.pairs("blocks")]
    remote = digests.split(loaded.payload, parts)
    return digests.compare(source.digests(), remote)


def _compared_devices(
    source: guests.Source, loaded: Message, result: Message
) -> tuple[int, tuple[str, ...]]:
    """How many device sections were compared, and the names of those that differ."""
    ours = source.device_states()
    theirs = {name: bytes.fromhex(state) for name, state in loaded.strings("vcpus").items()}
    at = 0
    for name, length in result.pairs("foreign"):
        theirs[name] = result.payload[at : at + length]
        at += length
    names = sorted(ours.keys() | theirs.keys())
    return len(names), tuple(name for name in names if ours.get(name) != theirs.get(name))


def _outcome(
    source: guests.Source, destination: DestinationProcess, hang: _Hang, way: Way
) -> MigrateResult:
    """Wait for both sides and compare them; raises `ChannelError` when the destination is gone."""
    cancel_at = time.monotonic() + source.time_limit
    while not source.wait(0.05):
        _note(source)
        if hang.event.is_set():
            raise ChannelError(hang.headline)
        if time.monotonic() >= cancel_at:
            source.cancel()
    figures = source.figures()
    if way.afterwards:
        if figures.status != "completed":
            error = f"source: {source.error() or figures.status}"
            return MigrateResult(figures=figures, error=error, converged=not source.late)
        destination.say(Message("written", {}))
    result = destination.wait_for("result", give_up=hang.event)
    reasons = [
        *([] if figures.status == "completed" else [f"source: {source.error() or figures.status}"]),
        *([] if result.facts.get("completed") else [f"destination: {result.facts.get('error')}"]),
    ]
    if reasons:
        return MigrateResult(figures=figures, error="; ".join(reasons), converged=not source.late)
    loaded = destination.wait_for("digests", give_up=hang.event)
    memory = _compared_memory(source, loaded)
    guest, stores, broken = _asked_guest(source, destination, hang)
    devices, devices_differ = _compared_devices(source, loaded, result)
    return MigrateResult(
        figures=figures,
        compared=memory.compared,
        differing=memory.pages,
        devices_compared=devices,
        devices_differing=devices_differ,
        guest=guest,
        stores_there=stores,
        rule_broken=broken,
    )


def _asked_guest(
    source: guests.Source, destination: DestinationProcess, hang: _Hang
) -> tuple[str, int | None, str]:
    """Which counting guest there is, what it did at the destination, and how its rule is broken."""
    if (counting := source.counting) is None:
        return "", None, ""
    answer = destination.wait_for("guest", give_up=hang.event)
    name = f"{counting.kind}, dirty log {counting.log_name}"
    return name, answer.number("stores"), answer.text("faults")


def _note(source: guests.Source) -> None:
    """Put the migration's state where a hang report of this process shows it; nothing while nobody records."""
    if recorder.path is None:
        return
    figures = source.figures()
    phase = "set-up" if not figures.dirty_sync_count else "iterate, guest runs"
    phase = phase if source.machine.running else "complete, guest stopped"
    install.note("migration.state", figures.status)
    install.note("migration.phase", phase)
    install.note("migration.remaining", f"{figures.remaining} bytes of {figures.total}")
    install.note(
        "migration.transferred", f"{figures.transferred} bytes, {figures.dirty_sync_count} syncs"
    )


def _failed(
    source: guests.Source,
    destination: DestinationProcess,
    hang: _Hang,
    options: MigrateOptions,
    error: ChannelError,
) -> MigrateResult:
    """Tell a hang seen here, a hang that ended the destination, and a failure apart."""
    figures = source.figures()
    if hang.event.is_set():
        destination.kill()
        return MigrateResult(
            figures=figures, error=hang.headline, hung=True, hang_report=hang.report
        )
    if destination.ended_by_watchdog():
        report = options.output / f"hang-{destination.pid}.txt"
        return MigrateResult(
            figures=figures, error="the destination stood still", hung=True, hang_report=report
        )
    return MigrateResult(figures=figures, error=str(error))


def _run(
    guest: GuestImage,
    destination: DestinationProcess,
    sock: Stream,
    options: MigrateOptions,
    way: Way,
) -> MigrateResult:
    hang = _Hang(destination)
    pages = sum(block.length for block in guest.blocks) // guests.PAGE
    source = guests.Source(guest, options, real_guests.of_options(options, pages))
    hung = False
    try:
        with CounterWatchdog(
            lambda: source.progress() + destination.heard,
            options.stall_timeout,
            options.output,
            processes=lambda: {"source": os.getpid(), "destination": destination.pid},
            on_hang=hang,
        ):
            source.start(sock)
            try:
                with recorded(source, options.series):
                    result = _outcome(source, destination, hang, way)
            except ChannelError as error:
                result = _failed(source, destination, hang, options, error)
        hung = result.hung
    finally:
        if not hung:
            source.close()
    return result


def migrate(options: MigrateOptions) -> MigrateResult:
    """Run one migration as described; blocks until it ended or stood still.

    Raises `UsageError` for bad input. After a hang (`hung` is set) the source's threads are
    left where they hang, so that only ending the process gets rid of them.
    """
    options.check()
    guest = _guest(options)
    _begin_files(options)
    with prepared(options.uri) as way, DestinationProcess(way.inherited) as destination:
        try:
            uri = _listening(destination, guest, options, way.destination)
            sock = transport.connect(way.source or uri)
        except (ChannelError, transport.TransportError) as error:
            raise MigrateInputError(str(error)) from None
        return _run(guest, destination, sock, options, way)


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `migrate` and its options to the parsers of the umbrella command."""
    defaults = MigrateOptions()
    parser = subparsers.add_parser(
        "migrate",
        help="migrate one guest between two processes and compare it page by page",
        description="Migrates a guest whose vCPUs keep writing from this process to another one"
        " over a real socket, prints the figures of 'info migrate', and compares every page.",
        epilog="exit codes: 0 completed and equal, 1 failed or different, 2 bad input,"
        " 3 internal error, 5 stood still",
    )
    add = parser.add_argument
    add("--image", type=pathlib.Path, help="raw image or stream written by QEMU; .gz is fine")
    add("--ram", type=sized, default=defaults.ram, help="memory without an image (16M)")
    add("--vcpus", type=int, default=defaults.vcpus, help="number of vCPU threads (2)")
    add("--design", default=defaults.design, help="who migrates under which lock (thread)")
    add("--uri", default=defaults.uri, help=_URI_HELP)
    add("--max-bandwidth", type=sized, default=defaults.max_bandwidth, help="bytes/s (32M)")
    add("--downtime-limit", type=float, default=defaults.downtime_limit, help="seconds (0.03)")
    add("--dirty-rate", type=int, help="pages/s written (2000, or the shape's)")
    add("--stall-timeout", type=float, default=defaults.stall_timeout, help="seconds (10)")
    add("--time-limit", type=float, default=defaults.time_limit, help="seconds to converge (60)")
    add(
        "--drain-limit",
        type=sized,
        default=defaults.drain_limit,
        help="bytes of the last flush (2G - 1)",
    )
    add(
        "--guest",
        choices=LOGS,
        default=defaults.guest,
        help="who executes: Python, or machine code (soft)",
    )
    add("--dirty-log", choices=DIRTY_LOGS, help="who notices what is written (the guest's best)")
    add("--shape", choices=SHAPES, help="a guest that does what this load does")
    add("--working-set", type=sized, default=0, help="bytes that its vCPUs write to (the shape's)")
    add("--slow-by", type=float, default=1.0, help="divide its vCPUs' speed (1)")
    add("--series", type=pathlib.Path, help="file of figures over time, a JSON object a line")
    add("--output", type=pathlib.Path, default=defaults.output, help="directory of a hang report")
    add("--json", action="store_true", help="print the result as one JSON object")


def _options(args: argparse.Namespace) -> MigrateOptions:
    names = {field.name for field in dataclasses.fields(MigrateOptions)} - {"load", "dirty_rate"}
    options = MigrateOptions(**{name: getattr(args, name) for name in names})
    rate: int | None = args.dirty_rate
    if args.shape is None:
        if args.working_set or args.slow_by != 1:
            raise MigrateInputError(
                "--working-set and --slow-by are a load's; give --shape, too, or leave them out"
            )
        return options if rate is None else dataclasses.replace(options, dirty_rate=rate)
    if args.image is not None:
        raise MigrateInputError(
            f"--shape {args.shape} makes a guest of its own; leave out --shape or --image"
        )
    load = Load(args.shape, args.ram, args.vcpus, args.working_set, rate or 0, args.slow_by)
    return dataclasses.replace(options, load=load)


def _json(result: MigrateResult) -> str:
    return json.dumps({**dataclasses.asdict(result), "equal": result.equal}, default=str, indent=1)


def run(args: argparse.Namespace) -> int:
    """Run `stage3 migrate` with parsed arguments; prints, and returns the exit code.

    A hang ends the process here: its threads cannot be joined.
    """
    try:
        result = migrate(_options(args))
    except UsageError as error:
        return refuse("migrate", error)
    text = _json(result) if args.json else "\n".join(result.lines())
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()
    if result.hung:
        os._exit(result.exit_code)
    return result.exit_code


__all__ = ["Figures", "MigrateInputError", "MigrateOptions", "MigrateResult", "migrate"]
