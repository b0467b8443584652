"""An auditor looks at two accounts under the lock, but lets go of it between them."""

from __future__ import annotations

import threading


class Bank:
    """Two balances."""

    def __init__(self) -> None:
        self.left = 10
        self.right = 10
        self.lock = threading.Lock()


def transfer(bank: Bank) -> None:
    """Move some."""
    with bank.lock:
        bank.left = bank.left - 3
        bank.right = bank.right + 3


def audit(bank: Bank) -> None:
    """Add up."""
    with bank.lock:
        total = bank.left
    with bank.lock:
        total = total + bank.right
    assert total == 20


def main() -> None:
    """Move and audit at once."""
    bank = Bank()
    mover = threading.Thread(target=transfer, args=(bank,))
    auditor = threading.Thread(target=audit, args=(bank,))
    mover.start()
    auditor.start()
    mover.join()
    auditor.join()
