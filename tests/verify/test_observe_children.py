"""Children of every kind record themselves, and a program that cannot be recorded runs as ever."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from verify import _real
from verify.observe.flight import read_all
from verify.observe.launch import environment, without
from verify.observe.noise import Noise

if TYPE_CHECKING:
    from verify.observe.snapshot import Snapshot

pytestmark = [pytest.mark.slow, pytest.mark.timeout(200)]
LIMIT_S = 60.0


def run(
    directory: Path,
    code: str,
    *arguments: str,
    extra: dict[str, str] | None = None,
    noise: Noise | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run a program under recording."""
    child = environment(directory, noise=noise) | (extra or {})
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        env=child,
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
    )


KIND = "import threading; print(type(threading.Lock()).__module__, flush=True); "
TRACED = "verify.observe.locks\n"
COUNT = "import os, sys; print(sum(each.endswith('.s3f') for each in os.listdir(sys.argv[1])))"
GRANDCHILD = f"""
import subprocess, sys
{KIND}
subprocess.run([sys.executable, "-c", {KIND + COUNT!r}, sys.argv[1]])
"""


def test_grandchild(tmp_path: Path) -> None:
    """A child and its child are recorded; a process that came to its end leaves no file."""
    done = run(tmp_path, GRANDCHILD, str(tmp_path))
    assert (0, f"{TRACED}{TRACED}2\n", "") == (done.returncode, done.stdout, done.stderr)
    assert [] == list(tmp_path.glob("*.s3f"))


POOLS = """
import multiprocessing, os, sys, threading

def look(queue):
    with threading.Lock():
        kind = type(threading.Lock()).__module__
        queue.put((kind, any(f"-{os.getpid()}-" in name for name in os.listdir(sys.argv[1]))))

if __name__ == "__main__":
    for way in ("fork", "spawn", "forkserver"):
        context = multiprocessing.get_context(way)
        queue = context.Queue()
        process = context.Process(target=look, args=(queue,))
        process.start()
        print(way, *queue.get(timeout=60), flush=True)
        process.join()
"""


def test_multiprocessing(tmp_path: Path) -> None:
    """Processes of multiprocessing are recorded however they are started, and their queues work."""
    (tmp_path / "flights").mkdir()
    program = tmp_path / "program.py"
    program.write_text(POOLS)
    done = subprocess.run(
        [sys.executable, program, tmp_path / "flights"], env=environment(tmp_path / "flights"), capture_output=True,
        text=True, timeout=150, check=False,
    )  # fmt: skip
    expected = "".join(
        f"{way} verify.observe.locks True\n" for way in ("fork", "spawn", "forkserver")
    )
    assert (0, expected, "") == (done.returncode, done.stdout, done.stderr)


HANG = """
import os, threading, time
class Bank:
    def __init__(self):
        self.lock = threading.Lock()
bank = Bank()
threading.Thread(target=lambda: bank.lock.acquire() and time.sleep(1000), name="keeper", daemon=True).start()
while not bank.lock.locked():
    pass
if os.fork() == 0:
    bank.lock.acquire()
os.wait()
"""


def test_fork_with_a_lock_held(tmp_path: Path) -> None:
    """In a forked child, a lock that another thread held is held by a thread that has ended."""
    with subprocess.Popen(
        [sys.executable, "-c", HANG], env=environment(tmp_path), start_new_session=True
    ) as program:
        limit = _real.monotonic() + LIMIT_S
        stuck: list[Snapshot] = []
        while not stuck and _real.monotonic() < limit:
            _real.sleep(0.02)
            taken = read_all(tmp_path)
            stuck = [
                each
                for each in taken
                if each.ppid == program.pid and each.threads and each.threads[0].waiting
            ]
        os.killpg(program.pid, signal.SIGKILL)
    (child,) = stuck
    main = child.threads[0]
    assert main.waiting is not None
    lock = child.object(main.waiting.object)
    assert lock is not None
    owner = child.thread(lock.owner)
    assert owner is not None
    assert ("Bank.lock", "keeper", False, "MainThread", True) == (
        lock.label, owner.name, owner.alive, main.name, main.alive,
    )  # fmt: skip


FORKED = """
import os, sys
child = os.fork()
if child:
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    print([each.split("-")[1] == str(os.getpid()) for each in os.listdir(sys.argv[1]) if each.endswith(".s3f")])
"""


def test_forked_child_ends_well(tmp_path: Path) -> None:
    """A forked child that comes to its end takes its own flight away, and not its parent's."""
    done = run(tmp_path, FORKED, str(tmp_path))

    assert ("[True]\n", 0) == (done.stdout, done.returncode), done.stderr
    assert [] == list(tmp_path.glob("*.s3f"))


def test_exec(tmp_path: Path) -> None:
    """A process that becomes another program goes on in a new flight of the same name."""
    code = f"import os, sys; {KIND} os.execv(sys.executable, [sys.executable, '-c', {KIND!r}])"
    done = run(tmp_path, code)
    assert (TRACED * 2, "", []) == (done.stdout, done.stderr, list(tmp_path.glob("*.s3f")))


def test_next_sitecustomize(tmp_path: Path) -> None:
    """Another sitecustomize runs as well, finds itself under that name, and sees no path of the toolkit."""
    home = tmp_path / "site"
    home.mkdir()
    (home / "sitecustomize.py").write_text(
        "import sys\nprint('mine', [p for p in sys.path if 'startup' in p])\n"
    )
    child = environment(tmp_path, base=os.environ | {"PYTHONPATH": str(home)})
    code = "import sitecustomize; print(sitecustomize.__file__)"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=child,
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
    )
    assert (f"mine []\n{home / 'sitecustomize.py'}\n", "") == (done.stdout, done.stderr)


@pytest.mark.parametrize(
    ("extra", "said"),
    [
        ({"STAGE3_FLIGHT": "/no/such/directory"}, "No such file or directory"),
        (
            {"STAGE3_NOISE": "loud"},
            "noise: 'loud', give SEED,PROBABILITY,MAX_DELAY_S,SWITCH_INTERVAL_S",
        ),
    ],
)
def test_cannot_record(tmp_path: Path, extra: dict[str, str], said: str) -> None:
    """What keeps a process from being recorded is one line, and the program runs."""
    done = run(tmp_path, KIND, extra=extra)
    (line,) = done.stderr.splitlines()
    assert (0, "_thread\n", True) == (
        done.returncode,
        done.stdout,
        line.startswith("stage3: process "),
    )
    assert said in line


def test_noise_reaches_children(tmp_path: Path) -> None:
    """Noise is on in a child, with the switch interval asked for."""
    code = "import sys; from verify.observe.recorder import me; print(me().noise is not None, sys.getswitchinterval())"
    done = run(
        tmp_path,
        code,
        noise=Noise(5, switch_interval_s=0.001),
        extra={"PYTHONPATH": _path(tmp_path)},
    )
    assert ("True 0.001\n", "") == (done.stdout, done.stderr)


def _path(directory: Path) -> str:
    root = str(Path(__file__).parents[2])
    return environment(directory, base=os.environ | {"PYTHONPATH": root})["PYTHONPATH"]


def test_without(tmp_path: Path) -> None:
    """The toolkit's own processes are started without."""
    child = without(environment(tmp_path, noise=Noise(1)))
    assert {
        name: os.environ.get(name) for name in ("PYTHONPATH", "STAGE3_FLIGHT", "STAGE3_NOISE")
    } == {name: child.get(name) for name in ("PYTHONPATH", "STAGE3_FLIGHT", "STAGE3_NOISE")}


SECOND = """
import os, sys
try:
    import _interpreters as many
except ImportError:
    import _xxsubinterpreters as many
flights = [(each, os.stat(os.path.join(sys.argv[1], each)).st_ino) for each in sorted(os.listdir(sys.argv[1]))]
number = many.create()
many.run_string(number, "import threading; print(type(threading.Lock()).__module__)")
many.destroy(number)
print(flights == [(each, os.stat(os.path.join(sys.argv[1], each)).st_ino) for each in sorted(os.listdir(sys.argv[1]))])
"""


def test_second_interpreter(tmp_path: Path) -> None:
    """A second interpreter in a process is not recorded and leaves the first one's flight alone."""
    done = run(tmp_path, SECOND, str(tmp_path))
    assert ("_thread\nTrue\n", "") == (done.stdout, done.stderr)


LAST_BREATH = """
import atexit, queue, threading, time
lock, jobs = threading.RLock(), queue.Queue()
class Late:
    def __del__(self):
        with lock:
            threading.Event().set()
            jobs.put(1)
keep = [Late()]
late = Late()
late.me = late
threading.Thread(target=lambda: [lock.acquire() and lock.release() for _ in iter(int, 1)], daemon=True).start()
threading.Thread(target=time.sleep, args=(0.05,)).start()
local = threading.local()
local.late = Late()
atexit.register(lambda: lock.acquire() and lock.release())
"""


def test_shutdown(tmp_path: Path) -> None:
    """The end of the interpreter, with daemons at work and finalizers that take locks, is as quiet as ever."""
    done = run(tmp_path, LAST_BREATH)
    assert (0, "") == (done.returncode, done.stderr)


def test_main_thread_waits_for_the_others(tmp_path: Path) -> None:
    """A main thread that has come to its end and waits for the other threads says so."""
    code = "import threading; threading.Thread(target=threading.Event().wait, name='last').start()"
    with subprocess.Popen([sys.executable, "-c", code], env=environment(tmp_path)) as program:
        limit = _real.monotonic() + LIMIT_S
        waits: list[str] = []
        while waits != ["threading._shutdown", "Event.wait"] and _real.monotonic() < limit:
            _real.sleep(0.02)
            waits = [
                thread.waiting.operation
                for taken in read_all(tmp_path)
                for thread in taken.threads
                if thread.waiting
            ]
        program.kill()
    assert ["threading._shutdown", "Event.wait"] == waits


def test_python_lock_tests(tmp_path: Path) -> None:
    """CPython's own tests of queues and thread-local values pass under the recording."""
    queues = [f"test.test_queue.{name}Test" for name in ("CQueue", "CFailingQueue", "CSimpleQueue")]
    done = subprocess.run(
        [sys.executable, "-m", "unittest", "-q", "test.test_threading_local", *queues],
        env=environment(tmp_path), capture_output=True, text=True, timeout=150, check=False,
    )  # fmt: skip
    assert (0, "OK") == (done.returncode, done.stderr.strip().splitlines()[-1])


LOCKS = """
import sys, threading, unittest
from test import lock_tests

CASES = []
for name, base, attribute in (
    ("Lock", lock_tests.LockTests, "locktype"), ("RLock", lock_tests.RLockTests, "locktype"),
    ("Event", lock_tests.EventTests, "eventtype"), ("Condition", lock_tests.ConditionTests, "condtype"),
    ("Semaphore", lock_tests.SemaphoreTests, "semtype"), ("Barrier", lock_tests.BarrierTests, "barriertype"),
    ("BoundedSemaphore", lock_tests.BoundedSemaphoreTests, "semtype"),
):
    CASES.append(type(name, (base,), {attribute: staticmethod(getattr(threading, name))}))
suite = unittest.TestSuite(unittest.defaultTestLoader.loadTestsFromTestCase(case) for case in CASES)
result = unittest.TextTestRunner(verbosity=0).run(suite)
print(type(threading.Lock()).__module__, result.testsRun > 80, result.wasSuccessful())
"""


def test_lock_tests(tmp_path: Path) -> None:
    """CPython's tests of locks, conditions, events, semaphores and barriers pass on the traced ones."""
    done = run(tmp_path, LOCKS)
    assert ("verify.observe.locks True True\n", 0) == (done.stdout, done.returncode), done.stderr
