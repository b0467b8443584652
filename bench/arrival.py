"""The destination of the benchmarks of convergence: a process that receives one migration after the other.

`python -m bench.arrival PATH LOAD` listens on the Unix socket PATH, makes for every source that comes a machine of
LOAD (`stress.migration.workloads.Load.as_text`), and prints a line for each migration: its end, and the SHA-256 of the
memory that came. The guest is not started: its source is measured, not it.
"""

from __future__ import annotations

import hashlib
import sys

from mig import transport
from mig.incoming import Incoming
from mig.machine import Machine
from stress.migration.workloads import Load

BLOCK = "ram"


def receive(sock: transport.Stream, load: Load) -> str:
    """Receive one migration to its end; the line to print."""
    machine = Machine("destination", [(BLOCK, load.ram)], load.programs())
    try:
        incoming = Incoming(machine, sock, paused=True)
        incoming.run()
        digest = hashlib.sha256(machine.ram.find(BLOCK).view).hexdigest()
        return f"{incoming.state.value} {digest}"
    finally:
        machine.close()


def main() -> None:
    """Serve until killed."""
    path, text = sys.argv[1:]
    load = Load.from_text(text)
    with transport.listen(f"unix:{path}") as listener:
        while True:
            print(receive(listener.accept(), load), flush=True)


if __name__ == "__main__":
    main()
