"""Transfers: two accounts, both locked."""

from bank.accounts import FixedAccount


class Transfers:
    """Faulty: locks in the order of the arguments, so two opposite transfers can wait for each other."""

    def __init__(self, *balances: int) -> None:
        self.accounts = [FixedAccount(balance) for balance in balances]

    def move(self, source: int, target: int, amount: int) -> None:
        one, other = self.accounts[source], self.accounts[target]
        with one.lock, other.lock:
            one.balance -= amount
            other.balance += amount


class FixedTransfers(Transfers):
    """Corrected: whatever the direction, the account with the lower number is locked first."""

    def move(self, source: int, target: int, amount: int) -> None:
        first, second = sorted((source, target))
        with self.accounts[first].lock, self.accounts[second].lock:
            self.accounts[source].balance -= amount
            self.accounts[target].balance += amount
