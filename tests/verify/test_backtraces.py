"""Backtraces from outside: what each tool prints becomes one record, and a tool that fails a sentence."""

from __future__ import annotations

import ctypes
import faulthandler
import json
import subprocess
import sys
import threading
import types
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from verify.backtraces import StackFrame, collect, collecting, faults, permission, py_spy, pystack
from verify.backtraces.running import ToolError, run

if TYPE_CHECKING:
    from collections.abc import Iterator

PYSTACK = """\
Traceback for thread 12600 (worker) [] (most recent call last):
    (C) File "Python/thread_pthread.h", line 241, in pythread_wrapper (/usr/lib/libpython3.11.so.1.0)
    (Python) File "/tmp/prog.py", line 12, in cc
        ctypes.CDLL(None).sleep(1000)
    (C) File "???", line 0, in ffi_call (/usr/lib/x86_64-linux-gnu/libffi.so.8.1.2)

Traceback for thread 12596 [Has the GIL] (most recent call last):
    (Python) File "/tmp/prog.py", line 19, in <module>
"""

FAULTS = """\
Timeout (0:00:00.100000)!
Thread 0x00007fa525bfe6c0 (most recent call first):
  File "/tmp/a.py", line 190 in inner
  File "/tmp/a.py", line 8 in outer

Current thread 0x00007fa527830b80 (most recent call first):
  File "<stdin>", line ??? in <module>
"""


@pytest.fixture
def waiting() -> Iterator[subprocess.Popen[str]]:
    code = "import threading\nlock = threading.Lock()\nlock.acquire()\nprint(1, flush=True)\nlock.acquire()"
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    with process:
        process.stdout.readline()
        yield process
        process.kill()


def test_py_spy_json() -> None:
    """Frames come innermost last; what has a library is native; odd rows are passed over."""
    row = {
        "thread_id": 7,
        "thread_name": "worker",
        "os_thread_id": 8,
        "active": False,
        "owns_gil": True,
        "frames": [
            {"name": "nanosleep", "filename": "libc.so", "module": "libc.so", "line": 0},
            {"name": "run", "filename": "a.py", "module": None, "line": 3, "locals": []},
            "odd",
        ],
    }

    (thread,) = py_spy.parse(json.dumps([row, 5]))

    assert (7, 8, "worker", True, False) == (
        thread.ident,
        thread.native_id,
        thread.name,
        thread.owns_gil,
        thread.active,
    )
    assert (StackFrame("a.py", 3, "run"),) == thread.python_frames()
    assert (StackFrame("libc.so", 0, "nanosleep", native=True),) == thread.native_tail()
    assert "" != thread.state


def test_moved_local_changes_the_state() -> None:
    """Two samples that differ in a local variable differ in their state."""

    def state(value: str) -> str:
        local = {"name": "n", "repr": value}
        frame = {"name": "f", "filename": "a.py", "module": None, "line": 3, "locals": [local]}
        return py_spy.parse(json.dumps([{"frames": [frame]}]))[0].state

    assert state("1") == state("1")
    assert state("1") != state("2")


@settings(max_examples=30)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["frames", "thread_id", "name", "module", "line", "locals"]), inner
            )
        ),
        max_leaves=12,
    )
)
def test_any_json_is_read_or_refused(value: object) -> None:
    """Whatever JSON py-spy writes gives threads or a ToolError."""
    try:
        threads = py_spy.parse(json.dumps(value))
    except ToolError:
        assert not isinstance(value, list)
    else:
        assert all(isinstance(thread.frames, tuple) for thread in threads)


def test_pystack_text() -> None:
    """Thread, name, holder of the lock, and frames of both kinds."""
    worker, main = pystack.parse(PYSTACK)

    assert (12600, "worker", False) == (worker.native_id, worker.name, worker.owns_gil)
    assert ["pythread_wrapper", "cc", "ffi_call"] == [frame.function for frame in worker.frames]
    assert ("ffi_call",) == tuple(frame.function for frame in worker.native_tail())
    assert (12596, "", True) == (main.native_id, main.name, main.owns_gil)
    with pytest.raises(ToolError, match="no traceback"):
        pystack.parse("nothing")


def test_faulthandler_text() -> None:
    """Idents, names, frames innermost last; a line that nobody knows has number 0."""
    worker, main = faults.parse(FAULTS, {0x7FA525BFE6C0: "worker"})

    assert (0x7FA525BFE6C0, "worker") == (worker.ident, worker.name)
    assert ["outer", "inner"] == [frame.function for frame in worker.frames]
    assert StackFrame("<stdin>", 0, "<module>") == main.frames[0]
    assert "Thread 0x00007fa525bfe6c0 'worker' (most" in faults.named(
        FAULTS, {0x7FA525BFE6C0: "worker"}
    )


@given(
    st.text(alphabet='Thread 0x1f(most recent call first):\n  File "a", line 2 in ', max_size=300)
)
def test_any_text_is_read(text: str) -> None:
    """No text makes the parsers of text fail."""
    faults.parse(text)
    faults.named(text, {1: "one"})


def test_own_dump_round_trip(tmp_path: Path) -> None:
    """What faulthandler writes about this process is read back with its innermost function."""
    path = tmp_path / "dump"
    with path.open("w") as file:
        faulthandler.dump_traceback(file)

    threads = faults.parse(path.read_text(), {threading.get_ident(): "me"})

    (own,) = (thread for thread in threads if thread.name == "me")
    assert "test_own_dump_round_trip" == own.frames[-1].function


class Armed:
    """Stands in for faulthandler's two functions."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.log: list[str] = []
        monkeypatch.setattr(
            faulthandler,
            "dump_traceback_later",
            lambda timeout, **_: self.log.append(f"{timeout:.0f}"),
        )
        monkeypatch.setattr(
            faulthandler, "cancel_dump_traceback_later", lambda: self.log.append("off")
        )


def test_nearest_deadline_is_armed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two clients share the one slot: the nearer is armed, the other again after it."""
    armed = Armed(monkeypatch)
    alarm = faults.Alarm()

    alarm.set("late", 900)
    alarm.set("soon", 300)
    alarm.cancel("soon")
    alarm.cancel("late")

    assert ["900", "300", "900", "off"] == armed.log


def test_others_become_clients(monkeypatch: pytest.MonkeyPatch) -> None:
    """Code that calls faulthandler itself cancels its own deadline and nobody else's."""
    armed = Armed(monkeypatch)
    alarm = faults.Alarm()
    alarm.set("ours", 500)
    before = faulthandler.dump_traceback_later

    with alarm.adopt("pytest"):
        faulthandler.dump_traceback_later(100)
        assert "pytest" == alarm.armed
        faulthandler.cancel_dump_traceback_later()
        assert "ours" == alarm.armed

    assert before is faulthandler.dump_traceback_later
    assert ["500", "100", "500", "500"] == armed.log


def test_deadline_must_be_finite() -> None:
    """A time that is none is refused, with the client's name."""
    with pytest.raises(ValueError, match=r"me: timeout nan s; give a number"):
        faults.Alarm().set("me", float("nan"))


def test_tool_that_fails_is_a_sentence(tmp_path: Path) -> None:
    """Exit codes, missing programs and time-outs are told in words."""
    with pytest.raises(ToolError, match="sh failed with exit code 3: no luck"):
        run(["/bin/sh", "-c", "echo no luck >&2; exit 3"], 10)
    with pytest.raises(ToolError, match="none could not be started"):
        run([str(tmp_path / "none")], 10)
    with pytest.raises(ToolError, match=r"sleep gave no answer within 0.01 s"):
        run(["/bin/sleep", "60"], 0.01)


def test_collect_goes_on_to_the_next_tool(monkeypatch: pytest.MonkeyPatch) -> None:
    """What failed is kept, and the first tool that answers wins."""

    def fails(*_args: object, **_options: object) -> None:
        raise ToolError("no permission")

    monkeypatch.setattr(py_spy, "dump", fails)
    monkeypatch.setattr(pystack, "dump", lambda *_: pystack.parse(PYSTACK))

    dump = collect(1)

    assert ("pystack --native", ("no permission",), 2) == (
        dump.tool,
        dump.problems,
        len(dump.threads),
    )
    monkeypatch.setattr(pystack, "dump", fails)
    assert ("", ("no permission",), ()) == (
        collect(1).tool,
        collect(1).problems,
        collect(1).threads,
    )
    assert ("no permission",) == collecting.sample(1).problems


@pytest.mark.slow
def test_py_spy_on_a_live_process(waiting: subprocess.Popen[str]) -> None:
    """A process that waits for a lock is seen waiting, in Python and in C."""
    dump = collect(waiting.pid)

    (thread,) = dump.threads
    assert "py-spy --native" == dump.tool
    assert "<module>" == thread.python_frames()[-1].function
    assert any("acquire_lock" in frame.function for frame in thread.native_tail())
    assert "" != collecting.sample(waiting.pid).threads[0].state


def test_consent_is_given_where_yama_asks(tmp_path: Path) -> None:
    """Without Yama, and at scopes that consent does not change, nothing is done."""
    scope = tmp_path / "ptrace_scope"
    assert not permission.allow(scope=scope)
    for text in ("0\n", "2\n", "odd"):
        scope.write_text(text)
        assert not permission.allow(scope=scope)


@pytest.mark.parametrize(("answer", "agreed"), [(0, True), (-1, False)])
def test_consent_is_the_kernels(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: int, agreed: bool
) -> None:
    """Where Yama asks, consent for any process is asked of the kernel; one without Yama refuses, which is no error."""
    asked: list[tuple[int, int | None]] = []

    def prctl(option: int, pid: ctypes.c_ulong, *_: int) -> int:
        asked.append((option, pid.value))
        return answer

    monkeypatch.setattr(ctypes, "CDLL", lambda *_, **__: types.SimpleNamespace(prctl=prctl))
    scope = tmp_path / "ptrace_scope"
    scope.write_text("1\n")

    assert agreed == permission.allow(scope=scope)
    assert [(0x59616D61, 2**64 - 1)] == asked


@pytest.mark.slow
def test_signal_dumps_without_the_interpreter_lock(tmp_path: Path) -> None:
    """One signal makes a process write all stacks, while a C call holds the interpreter lock for ever."""
    code = (
        "import ctypes, sys; from pathlib import Path; from verify.backtraces import faults;"
        "faults.register(Path(sys.argv[1])); print(1, flush=True); ctypes.PyDLL(None).sleep(600)"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    root = Path(__file__).parents[2]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=root) as process:
        assert process.stdout is not None
        process.stdout.readline()
        path = tmp_path / f"faults-{process.pid}.txt"
        process.send_signal(faults.signal_number())
        threads = faults.parse(path.read_text())
        for _ in range(10_000):
            if threads:
                break
            threads = faults.parse(path.read_text())
        process.kill()
    assert "<module>" == threads[0].frames[-1].function
