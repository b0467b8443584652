"""A search divided into batches: one result, whoever runs them, whatever becomes of a worker."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from stress.cli import main
from tests.verify.outcomes import told
from verify import program as programs
from verify.abc import UsageError
from verify.explore import Exploration, Verdict
from verify.explore import explore as undivided
from verify.parallel import Search, explore
from verify.parallel.command import together
from verify.supervise import Journal, JournalError, Shard

if TYPE_CHECKING:
    from collections.abc import Sequence

ROOT = Path(__file__).parents[2]
pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a directory with the programs as a module of its own: workers import what belongs to its package."""
    place = tmp_path_factory.mktemp("divided")
    shutil.copy(ROOT / "tests" / "verify" / "divided.py", place / "divided_programs.py")
    return place


@pytest.fixture(autouse=True)
def _here(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place)
    monkeypatch.setenv("PYTHONPATH", f"{ROOT}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")
    monkeypatch.syspath_prepend(place)


def search(
    target: str, *, executions: int | None = 120, batch: int = 30, **more: Any
) -> tuple[programs.Program, Search]:
    """Return a program and a search of it."""
    program = programs.load(f"divided_programs:{target}").by_default()
    made = replace(
        Search.of(program), executions=executions, batch=batch, strategy="random", **more
    )
    return program, made


@pytest.mark.parametrize("target", ["several", "counted"])
def test_workers_do_not_matter(target: str) -> None:
    """One worker or three: the same finds with the same numbers, schedules and tokens."""
    program, asked = search(target)

    one = told(explore(program, asked, workers=1))
    three = told(explore(program, asked, workers=3))

    assert one == three
    assert one["groups"]


def test_batch_is_a_search() -> None:
    """What a batch finds is what an undivided search with its seed and size finds."""
    program, asked = search("several", executions=30)
    state = explore(program, asked, workers=1)

    alone = undivided(program, asked.strategy_of(asked.seed_of(0)), executions=30)

    assert [(key, of.count, of.first, of.token) for key, of in alone.groups.items()] == [
        (key, of.count, of.first, of.token) for key, of in state.groups.items()
    ]


def test_first_failure_is_the_first() -> None:
    """With --first the search ends at the failure with the lowest number, not at that which came first."""
    program, asked = search("rare?deed=fail", first_only=True)
    whole = explore(program, replace(asked, first_only=False), workers=2)

    states = [explore(program, asked, workers=many) for many in (1, 3)]

    assert told(states[0]) == told(states[1])
    (group,) = states[0].groups.values()
    assert [group.first] == [of.first for of in whole.groups.values()]
    assert states[0].executions < whole.executions


def test_exhausted() -> None:
    """A batch in which every schedule was run ends the search."""
    program, asked = search("rare?writers=2", executions=3000, batch=1000)

    state = explore(program, replace(asked, strategy="portfolio"), workers=2)

    assert Verdict.EXHAUSTED is state.verdict
    assert "every schedule was run" in state.worth


def test_classes_are_counted() -> None:
    """The runs of all batches together say what a pass is worth."""
    program, asked = search("rare")

    measure = explore(program, asked, workers=2).measure

    assert measure is not None
    assert (120, 24) == (measure.tallies["random"].runs, len(measure.distinct))


def test_nothing_to_interleave() -> None:
    """A program that starts no thread proves nothing, divided or not."""
    program, asked = search("alone")

    state = explore(program, asked, workers=1)

    assert (Verdict.INCONCLUSIVE, True) == (state.verdict, state.alone)


@pytest.mark.parametrize(
    ("deed", "code", "words"),
    [
        ("segfault", 1, "ended by SIGSEGV"),
        ("leave", 1, "ended with exit code 7"),
        ("kill", 4, "ended by SIGKILL"),
        ("hold", 4, "gave no sign of life"),
        ("deaf", 4, "blocked outside the check"),
    ],
)
def test_lost_workers(deed: str, code: int, words: str) -> None:
    """A batch that costs its worker is named with its seed, and the others are run."""
    program, asked = search(f"rare?deed={deed}", executions=90)

    state = explore(program, asked, workers=2, heartbeat_s=2)

    assert (code, 0) == (state.exit_code, state.executions % 30)
    assert state.lost
    seeds = {asked.seed_of(number) for number in range(3)}
    for lost in state.lost:
        assert words in lost.text
        assert any(f"(seed {seed})" in lost.text for seed in seeds)
    if code == 4:
        assert deed == "kill" or any("divided_programs.py" in line for line in state.lost[0].report)
    else:
        (group,) = state.groups.values()
        assert group.finding.details[-1] in state.lost[0].text


def test_again_crashes_again() -> None:
    """The line that is named with a lost batch runs into the same crash, in one process."""
    program, asked = search("rare?deed=leave")
    state = explore(program, asked)

    _, _, line = state.lost[0].text.partition("again: stage3 ")
    words = [word.strip("'") for word in line.split()]
    ended = subprocess.run([sys.executable, "-m", "stress.cli", *words], check=False)

    assert 7 == ended.returncode


# --- journals


def run(*words: str) -> tuple[int, dict[str, object]]:
    """Run `stage3` in a process of its own; return its exit code and the result, less what differs with the clock."""
    ended = subprocess.run(
        [sys.executable, "-m", "stress.cli", *words, "--json"], capture_output=True, check=False
    )
    result = json.loads(ended.stdout)
    for row in (result, *result["groups"], *result["notes"]):
        row.pop("seconds", None)
        row.pop("trace", None)
    return ended.returncode, result


def wait_for_lines(file: Path, many: int, process: subprocess.Popen[Any]) -> None:
    """Wait until a journal has so many lines."""
    while process.poll() is None:
        if file.exists() and file.read_bytes().count(b"\n") >= many:
            return
        signal.sigtimedwait([], 0.01)


def test_killed_and_resumed(tmp_path: Path) -> None:
    """A search that is killed on the way and resumed gives what one that was not gives."""
    words = ["explore", "divided_programs:several", "--strategy", "random", "--executions", "900"]
    words += ["--no-shrink", "--batch", "30", "--workers", "2", "--output", str(tmp_path)]
    file = tmp_path / "j"
    command = [sys.executable, "-m", "stress.cli", *words, "--journal", str(file)]
    with subprocess.Popen(command, start_new_session=True, stdout=subprocess.DEVNULL) as process:
        wait_for_lines(file, 5, process)
        os.killpg(process.pid, signal.SIGKILL)
    there = file.read_bytes()
    assert 5 <= there.count(b"\n") < 31
    file.write_bytes(there + b'{"number":29,"seed"')  # as a kill in the middle of a write leaves it

    resumed = run(*words, "--resume", str(file))

    assert run(*words) == resumed
    assert 31 == file.read_bytes().count(b"\n")


def test_interrupted(tmp_path: Path) -> None:
    """Ctrl-C ends the workers and the search, and says the line that goes on with it."""
    file = tmp_path / "j"
    words = ["explore", "divided_programs:rare", "--strategy", "random", "--batch", "20"]
    words += ["--executions", "100000", "--journal", str(file), "--output", str(tmp_path)]
    command = [sys.executable, "-m", "stress.cli", *words]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        wait_for_lines(file, 4, process)
        process.send_signal(signal.SIGINT)
        said = process.stderr.read().splitlines()

    assert (130, "stage3: interrupted") == (process.returncode, said[-1])
    assert said[-2].startswith("go on:  stage3 explore divided_programs:rare --strategy random")
    assert f"--batch 20 --executions 100000 --resume {file}" in said[-2]


def shard_journals(
    folder: Path, asked: Search, program: programs.Program, parts: int
) -> list[Path]:
    """Run every shard of a search; return the journals."""
    files = []
    for part in range(1, parts + 1):
        own = replace(asked, shard=Shard(part, parts))
        files.append(folder / f"{part}.jsonl")
        with Journal.create(files[-1], own.header()) as journal:
            explore(program, own, workers=1, journal=journal)
    return files


def merge(files: Sequence[Path]) -> Exploration:
    return together(list(files), on_hang=print)


def test_shards_merge_to_the_whole(tmp_path: Path) -> None:
    """Three shards give what the search in one gives; without one of them the result is in doubt, and says why."""
    program, asked = search("several", executions=140)
    files = shard_journals(tmp_path, asked, program, 3)

    assert told(explore(program, asked)) == told(merge(files))
    assert "shard 2/3 is missing" in merge([files[0], files[2]]).lost[0].text
    lines = files[1].read_bytes().splitlines(keepends=True)
    files[1].write_bytes(b"".join(lines[:-1]))
    (lost,) = merge(files).lost
    assert "shard 2/3 is not finished: no batch" in lost.text
    assert f"--shard 2/3 --resume {files[1]}" in lost.text


def test_merge_without_finds_is_no_pass(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A shard that is missing makes a pass inconclusive, exit code 4; with all of them it is 0."""
    program, asked = search("rare", executions=60)
    files = shard_journals(tmp_path, asked, program, 2)

    assert 4 == main(["merge", str(files[0])])
    assert "LOST: shard 2/2 is missing" in capsys.readouterr().out
    assert 0 == main(["merge", *map(str, files)])
    assert "2 of 2 batches of 30 executions" in capsys.readouterr().out


def edited(lines: list[bytes], what: str) -> list[bytes]:
    """Return a shard's journal with something wrong in it."""
    header, *rest = lines
    changes = {
        "other seed": [header.replace(b'"seed":"0"', b'"seed":"1"'), *rest],
        "other text": [header.replace(b'"program":"', b'"program":"0'), *rest],
        "other version": [header.replace(b'"version":1', b'"version":2'), *rest],
        "other Python": [header.replace(b'"python":"3', b'"python":"2'), *rest],
        "other batch": [header.replace(b'"batch":"30"', b'"batch":"nine"'), *rest],
        "other division": [header.replace(b'"shard":"2/2"', b'"shard":"2/3"'), *rest],
        "same shard": [header.replace(b'"shard":"2/2"', b'"shard":"1/2"'), *rest],
        "other task": [header, *(line.replace(b'"number":1', b'"number":2') for line in rest)],
        "no value": [header, *(line.replace(b'"steps"', b'"stops"') for line in rest)],
        "stress": [header.replace(b'"batch":', b'"noise":'), *rest],
    }
    return changes[what]


@pytest.mark.parametrize(
    ("what", "words"),
    [
        ("other seed", "two searches: seed is 0 in the one, 1 in the other"),
        ("other text", "two searches: the program's digest"),
        ("other version", "has version 2, this stage3 reads 1"),
        ("other Python", "one of python 2.1"),
        ("other batch", "'nine' is no whole number"),
        ("other division", "two divisions of a search"),
        ("same shard", "both of shard 1/2"),
        ("other task", "batch 2 with seed"),
        ("no value", "steps is None, not a whole number"),
        ("stress", "is not of stage3 explore: batch is None"),
    ],
)
def test_merge_refuses(
    what: str, words: str, shards: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Journals that do not belong together, or are damaged, are refused with the reason."""
    second = tmp_path / "second"
    second.write_bytes(b"".join(edited(shards[1].read_bytes().splitlines(keepends=True), what)))

    assert 2 == main(["merge", str(shards[0]), str(second)])
    assert words in capsys.readouterr().err


@pytest.fixture(scope="module")
def shards(place: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Return the journals of a search in two shards."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        patch.setenv("PYTHONPATH", f"{ROOT}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")
        patch.syspath_prepend(place)
        program, asked = search("rare", executions=60)
        return shard_journals(tmp_path_factory.mktemp("shards"), asked, program, 2)


def test_resume_refuses_another_search(
    shards: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A journal of other settings is refused, and left as it was; a new one never takes an old one's place."""
    before = shards[0].read_bytes()
    words = [
        "explore",
        "divided_programs:rare",
        "--batch",
        "30",
        "--shard",
        "1/2",
        "--strategy",
        "random",
    ]

    assert 2 == main([*words, "--executions", "90", "--resume", str(shards[0])])
    assert "was written with executions 60, now it is 90" in capsys.readouterr().err
    assert 2 == main([*words, "--executions", "60", "--journal", str(shards[0])])
    assert "cannot be made: File exists" in capsys.readouterr().err
    assert 0 == main(
        [*words, "--executions", "60", "--resume", str(shards[0]), "--output", str(tmp_path)]
    )
    assert "1 of 2 batches of 30 executions, shard 1/2" in capsys.readouterr().out
    assert before == shards[0].read_bytes()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--strategy", "dfs", "--workers", "2"], "visits one schedule after the other"),
        (["--workers", "2", "--dask", "tcp://127.0.0.1:1"], "give one of the two"),
        (["--shard", "3/2"], "shard '3/2' is not i/n"),
        (["--resume", "nothing-here"], "journal nothing-here cannot be read: No such file"),
        (["--workers", "2", "--pct", "3,20,2"], "--pct sets PCT's plain mode"),
    ],
)
def test_bad_input(words: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    """What cannot be divided, or makes no sense together, is one line and exit code 2."""
    assert 2 == main(["explore", "divided_programs:rare", *words])
    assert said in capsys.readouterr().err


def test_other_text_in_a_worker(place: Path) -> None:
    """A worker that finds another text of the program refuses, and the search ends with its words."""
    program, asked = search("rare")

    with pytest.raises(UsageError, match="another text of divided_programs:rare"):
        explore(program, replace(asked, digest="0" * 16))


def test_refusal_names_the_file(tmp_path: Path) -> None:
    """What is no journal at all is refused by name."""
    file = tmp_path / "x"
    file.write_text("[]\n")

    with pytest.raises(JournalError, match="x is no journal of stage3"):
        merge([file])
