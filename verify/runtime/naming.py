"""Names that are the same in every run of a schedule, in every process.

Promises: a task is named by its creation path (`main`, `main/1`, `main/1/2`); an object by the task
that made it, its kind and a per-task counter (`main/1:Lock#2`). Never by `id()`, never by a global
number, so two runs that do the same things call the same things by the same names whatever the
order in which other tasks ran. An object that was there before the run is named in the order of
first use (`early:Event#1`).
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from verify.sites import assigned_name, site_of_frame

if TYPE_CHECKING:
    from verify.runtime.execution import Execution
    from verify.runtime.task import Task


class Named:
    """Base of every modelled object: who made it, and as the how-manieth.

    `key` tells it from everything else in its execution; objects that only matter together share one.
    """

    __slots__ = ("__weakref__", "creator", "execution", "key", "label", "serial", "site")

    key: int | tuple[int, int]

    KIND = "Object"

    def adopt(self, execution: Execution) -> None:
        """Belong to `execution` from now on: named by the task that is running."""
        self.execution = execution
        execution.named = self.key = execution.named + 1
        self.label = ""
        self.site = ""
        maker = execution.current
        if maker is None:
            execution.early += 1
            self.creator = "early"
            self.serial = execution.early
        else:
            maker.made += 1
            self.creator = maker.path
            self.serial = maker.made
        if execution.record_sites:
            self.remember_site()

    def remember_site(self) -> None:
        """Keep where the object was made, and what the program calls it (runs that record sites only)."""
        frame = sys._getframe(1)  # noqa: SLF001 - the documented way to one's own frame
        self.site = site_of_frame(frame)
        label = assigned_name(frame)
        if label:
            self.entitle(label)

    def entitle(self, label: str) -> None:
        """Take the name under which reports speak of the object; another one of that name gets a number behind it."""
        labels = self.execution.labels
        labels[label] = count = labels.get(label, 0) + 1
        self.label = label if count == 1 else f"{label}#{count}"

    @property
    def name(self) -> str:
        """The creation-path name, stable from run to run."""
        return f"{self.creator}:{self.KIND}#{self.serial}"

    @property
    def title(self) -> str:
        """What a report calls it: the attribute it was first seen under if known, else its creation path."""
        return self.label or self.name


class Holdable(Named):
    """A lock: `holder` is the task that has it."""

    __slots__ = ("holder",)

    holder: Task | None
