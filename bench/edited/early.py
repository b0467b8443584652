"""A thread uses what is not there yet."""

from __future__ import annotations

import threading


class Service:
    """Something to be set up."""

    def __init__(self) -> None:
        self.address = ""
        self.ready = threading.Event()


def serve(service: Service) -> None:
    """Use the address."""
    assert service.address


def main() -> None:
    """Start the server, then say where."""
    service = Service()
    server = threading.Thread(target=serve, args=(service,))
    server.start()
    service.address = "localhost"
    service.ready.set()
    server.join()
