"""Check, then act: two withdrawals see the same balance, and a fee may come between, too."""

from __future__ import annotations

import threading


class Account:
    """A balance."""

    def __init__(self) -> None:
        self.balance = 10
        self.lock = threading.Lock()


def withdraw(account: Account, amount: int) -> None:
    """Take what is there."""
    if account.balance >= amount:
        account.balance = account.balance - amount


def charge(account: Account) -> None:
    """Take a fee, if there is money for it."""
    if account.balance >= 8:
        account.balance = account.balance - 8


def main() -> None:
    """Withdraw twice at once, and charge."""
    account = Account()
    people = [threading.Thread(target=withdraw, args=(account, 10)) for _ in range(2)]
    people.append(threading.Thread(target=charge, args=(account,)))
    for person in people:
        person.start()
    for person in people:
        person.join()
    assert account.balance >= 0
