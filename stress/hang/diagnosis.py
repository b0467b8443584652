"""From snapshots and dumps to a report: pure.

Promises: `diagnose` always returns a report, however little it is given, and is a function of its
arguments alone. Of several processes the one with the strongest verdict is blamed; a process that only
waits for another is not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from stress.hang import rows
from stress.hang.graph import stuck
from stress.hang.model import VERDICTS, HangReport
from stress.hang.scene import scenes
from stress.hang.verdicts import Finding, judge

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from stress.hang.scene import Scene
    from verify.backtraces import ProcessDump
    from verify.observe.snapshot import Snapshot, ThreadState

__all__ = ["certain", "diagnose"]

_FOR_A_CHILD: Final = ("os.waitpid", "subprocess", "Popen")
_PERHAPS_FOR_A_CHILD: Final = ("read", "os.read", "select", "Selector")
_HELPERS: Final = ("multiprocessing.resource_tracker", "multiprocessing.forkserver")


def diagnose(
    snapshots: Sequence[Snapshot],
    dumps: Sequence[ProcessDump] = (),
    *,
    headline: str = "no progress",
    patience_s: float = 1.0,
    activity: Mapping[int, float] | None = None,
    moving: Iterable[int] = (),
    stale: Iterable[int] = (),
    commands: Mapping[int, tuple[str, ...]] | None = None,
    attached: Mapping[str, str] | None = None,
    problems: Iterable[str] = (),
    notes: Mapping[str, str] | None = None,
    repro: str = "",
    stands_still: bool = False,
) -> HangReport:
    """Return the report on processes that made no progress for `patience_s` seconds.

    `dumps` come in the order parents first. `activity` maps kernel thread ids to the share of the time
    that they computed (0 to 1), `moving` are those whose stack or variables changed between samples;
    `stale` are threads that an earlier report has told of and that are left behind: they are shown, not
    blamed. `commands` are the processes' command lines, where no recording has them; `notes` come beside
    those of the program. `stands_still`: the program's own measure of progress says that it makes none.
    """
    known = commands or {}
    all_scenes = scenes(snapshots, dumps, activity or {}, moving, stale)
    findings = [
        (scene, judge(scene, patience_s, stands_still=stands_still)) for scene in all_scenes
    ]
    scene, finding = _strongest(findings, known)
    told = dict(scene.snapshot.notes) if scene is not None and scene.snapshot is not None else {}
    trouble = list(problems)
    for snapshot in snapshots:
        trouble += [f"process {snapshot.pid}: {each}" for each in snapshot.incomplete]
    for dump in dumps:
        trouble += [f"process {dump.pid}: {each}" for each in dump.problems]
    return HangReport(
        headline=headline,
        verdict=finding.verdict,
        kind=finding.kind,
        cause=finding.cause,
        details=finding.details,
        cycle=finding.cycle,
        pid=scene.pid if scene is not None else 0,
        command=_command(scene, known) if scene is not None else (),
        threads=tuple(row for each in _ordered(all_scenes, scene) for row in rows.rows(each)),
        notes={**told, **(notes or {})},
        snapshots=tuple(snapshots),
        dumps=tuple(dumps),
        attached=dict(attached or {}),
        problems=tuple(trouble),
        repro=repro,
    )


def certain(snapshot: Snapshot, patience_s: float, stale: Iterable[int] = ()) -> bool:
    """Say whether a recording alone shows threads that can never go on, all waiting for over `patience_s`.

    True whatever the other threads do: a cycle of waits without time-outs; and where no thread is left that
    could, a lock or a permit that nobody will give back. `stale` threads do not count.
    """
    # Most looks end here: what follows is work for each thread and each lock.
    if not any(_waits_long(state, snapshot.taken_ns, patience_s) for state in snapshot.threads):
        return False
    (scene,) = scenes([snapshot], (), {}, (), stale)
    found = stuck(scene)
    if not all(actor in found or actor.stale for actor in scene.living):
        found = stuck(scene, firm=True)
    waited = [scene.waited_s(actor) or 0.0 for actor in found if not actor.stale]
    return bool(waited) and min(waited) >= patience_s


def _waits_long(state: ThreadState, now_ns: int, patience_s: float) -> bool:
    waiting = state.waiting
    return state.alive and waiting is not None and (now_ns - waiting.since_ns) / 1e9 >= patience_s


def _strongest(
    findings: list[tuple[Scene, Finding]], commands: Mapping[int, tuple[str, ...]]
) -> tuple[Scene | None, Finding]:
    def weight(place: int) -> tuple[bool, bool, int, bool, int]:
        scene, finding = findings[place]
        command = _command(scene, commands)
        helper = any(part in word for word in command for part in _HELPERS)
        waits = len(findings) > 1 and _waits_for_a_child(scene)
        perhaps = waits or (
            len(findings) > 1
            and scene.main is not None
            and scene.main.operation.startswith(_PERHAPS_FOR_A_CHILD)
        )
        # A parent that waits for a child's end gets on as the child does; of equals it comes first otherwise.
        only_waits = waits and finding.verdict == "blocked I/O"
        return helper, only_waits, VERDICTS.index(finding.verdict), perhaps, place

    if not findings:
        nothing = "no Python process could be looked at: see what could not be had"
        return None, Finding("blocked I/O", "unknown", nothing)
    return findings[min(range(len(findings)), key=weight)]


def _waits_for_a_child(scene: Scene) -> bool:
    if scene.main is None:
        return False
    if scene.main.operation.startswith(_FOR_A_CHILD):
        return True
    # To read what a child prints until it ends is a wait for it, too.
    within = scene.main.stack
    return any(frame.file.endswith("/subprocess.py") for frame in within if not frame.native)


def _command(scene: Scene, commands: Mapping[int, tuple[str, ...]]) -> tuple[str, ...]:
    return scene.command or commands.get(scene.pid, ())


def _ordered(all_scenes: Sequence[Scene], first: Scene | None) -> list[Scene]:
    return sorted(all_scenes, key=lambda scene: scene is not first)
