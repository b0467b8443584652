"""What a design consists of: steps whose order and locks matter, each a method of its own.

Promises: a design is created for one migration and used by its thread; a defect or another design
replaces single steps and inherits the rest. Steps say which locks they expect.
Does not: keep figures (`mig.migration`), or stop the guest by itself (`mig.cpus`).
"""

from __future__ import annotations

import abc
from typing import TYPE_CHECKING, ClassVar

from mig.cpus import Cpus
from mig.ram_save import RamSave

if TYPE_CHECKING:
    from mig.migration import Migration


class Design(abc.ABC):
    """The steps of one migration."""

    name: ClassVar[str]
    cpus_class: ClassVar[type[Cpus]] = Cpus
    """How vCPUs of a machine of this design acknowledge, stop and resume."""
    ram_save_class: ClassVar[type[RamSave]] = RamSave
    """How RAM is walked."""

    def __init__(self, migration: Migration) -> None:
        self.migration = migration
        self.machine = migration.machine
        self.big_lock = migration.machine.big_lock
        self.cpus = migration.machine.cpus
        self.channel = migration.channel
        self.ram = migration.ram
        self.state = migration.state
        self.parameters = migration.parameters

    @abc.abstractmethod
    def run(self) -> None:
        """Body of the migration thread."""

    @abc.abstractmethod
    def setup_harvest(self) -> None:
        """Begin to track: logging on, shared log clear, every page dirty. Both locks are held."""

    @abc.abstractmethod
    def estimate(self) -> int:
        """Bytes still to send, exact when near the end. The big lock is held."""

    @abc.abstractmethod
    def iterate(self) -> None:
        """Append a portion. The big lock is held."""

    @abc.abstractmethod
    def flush(self) -> None:
        """Write what was appended, within the budget. No lock is held."""

    @abc.abstractmethod
    def stop_vm(self) -> bool:
        """Stop the guest; False: not this time. The big lock is held, and free while waiting."""

    @abc.abstractmethod
    def complete(self) -> None:
        """Append the rest. The big lock is held and the guest is stopped."""

    @abc.abstractmethod
    def drain(self, *, big_lock_held: bool) -> None:
        """Write everything that was appended, or fail."""

    @abc.abstractmethod
    def finish(self, *, big_lock_held: bool) -> None:
        """Hand the guest over: drain, commit, and the last bytes."""

    @abc.abstractmethod
    def end(self) -> None:
        """The thread's last step: give the guest away or take it back, have it cleaned up."""

    @abc.abstractmethod
    def cleanup(self) -> None:
        """On the iothread, big lock held: join the thread, close the channel."""

    @abc.abstractmethod
    def cancel(self) -> None:
        """From any thread, big lock not held: have the migration end, the guest stay here."""

    @abc.abstractmethod
    def cancel_now(self) -> None:
        """The steps of `cancel`, for a callback of the iothread."""
