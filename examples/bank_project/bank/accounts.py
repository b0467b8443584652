"""Deposits: one account, several tellers."""

import threading


class Account:
    """Faulty: reading the balance and writing it back are two lock sections."""

    def __init__(self, balance: int = 0) -> None:
        self.lock = threading.Lock()
        self.balance = balance

    def deposit(self, amount: int) -> None:
        with self.lock:
            balance = self.balance
        # Another teller may deposit here; what it wrote is then overwritten.
        with self.lock:
            self.balance = balance + amount


class FixedAccount(Account):
    """Corrected: one lock section from the read to the write."""

    def deposit(self, amount: int) -> None:
        with self.lock:
            self.balance += amount
