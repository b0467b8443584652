"""A divided search on a Dask cluster: a real one, of processes in this machine."""

from __future__ import annotations

import os
import shutil
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from stress.cli import main
from tests.verify.outcomes import told
from verify import program as programs
from verify.abc import UsageError
from verify.parallel import Search, explore, on_dask
from verify.parallel.merging import Batches
from verify.supervise import Journal, Shard

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Return the address of a cluster with two workers, started beside the program under test."""
    distributed = pytest.importorskip("distributed")
    shutil.copy(ROOT / "tests" / "verify" / "divided.py", tmp_path / "divided_on_dask.py")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("PYTHONPATH", f"{ROOT}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None
    ) as local:
        yield local.scheduler_address


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_cluster_gives_the_same(cluster: str, tmp_path: Path) -> None:
    """Two workers of a cluster give what two processes here do, a crash included; a journal here knows all of it."""
    program = programs.load("divided_on_dask:rare?deed=segfault").by_default()
    search = replace(Search.of(program), strategy="random", executions=200, batch=50)
    here = told(explore(program, search, workers=2))
    path = tmp_path / "journal"

    with Journal.create(path, search.header()) as journal:
        there = told(explore(program, search, cluster=cluster, journal=journal))
    with Journal.resume(path, search.header()) as journal:
        remembered = told(explore(program, search, cluster=cluster, journal=journal))
    first = replace(search, first_only=True)

    assert (here, here) == (there, remembered)
    assert told(explore(program, first, workers=1)) == told(
        explore(program, first, cluster=cluster)
    )


def test_extra_is_missing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without the package one line says what to install."""
    monkeypatch.chdir(ROOT)
    monkeypatch.setitem(sys.modules, "distributed", None)

    assert 2 == main(["explore", "examples.bank:transfer", "--dask", "tcp://127.0.0.1:1"])
    assert "pip install 'stage3[dask]'" in capsys.readouterr().err


@pytest.mark.slow
def test_no_scheduler(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Where no scheduler answers, one line says so and how to start one."""
    pytest.importorskip("distributed")
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr("verify.parallel.on_dask.CONNECT_S", 1)

    assert 2 == main(["explore", "examples.bank:transfer", "--dask", "tcp://127.0.0.1:1"])
    assert "no Dask scheduler answers at 'tcp://127.0.0.1:1'" in capsys.readouterr().err


class Failed:
    """A future of the cluster that ended with an error."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    def exception(self) -> Exception:
        """Return it."""
        return self.error


def result_of(error: Exception) -> Batches:
    """Take in a shard whose task ended with an error."""
    batches = Batches(Search("m:f", "0" * 16, executions=100))
    list(on_dask._result(batches, Shard(2, 4), Failed(error)))  # type: ignore[arg-type] # as far as it is asked
    return batches


def test_task_that_the_cluster_gives_up() -> None:
    """Its shard is lost, and named; what a task refuses ends the search, and so does a cluster without stage3."""
    lost = result_of(OSError("killed worker")).lost

    assert ["shard 2/4: its task on the cluster failed: killed worker"] == lost
    with pytest.raises(UsageError, match="other text"):
        result_of(UsageError("other text"))
    with pytest.raises(UsageError, match="pip install"):
        result_of(ImportError("no module named verify"))


def test_shards_of_a_shard() -> None:
    """What a machine has of a search is divided further among the cluster's threads, each batch once."""
    search = Search("m:f", "0" * 16, executions=100, batch=2, shard=Shard(2, 3))
    batches = Batches(search)

    shards = on_dask._shards(batches, 2)

    numbers = sorted(n for shard in shards for n in replace(search, shard=shard).numbers())
    assert (8, list(search.numbers())) == (len(shards), numbers)
