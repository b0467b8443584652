"""Each of these passes nearly always when it is run once. Under stage3 each fails in a fraction of a second."""

import pytest
from bank.accounts import Account
from bank.clearing import Clearing
from bank.together import together
from bank.transfers import Transfers

pytestmark = pytest.mark.interleavings


def test_deposits() -> None:
    account = Account()
    together(lambda: account.deposit(10), lambda: account.deposit(20))
    assert account.balance == 30


def test_transfers() -> None:
    bank = Transfers(100, 100)
    together(lambda: bank.move(0, 1, 30), lambda: bank.move(1, 0, 20))
    assert [account.balance for account in bank.accounts] == [90, 110]


def test_clearing() -> None:
    clearing = Clearing()
    settled = []
    together(lambda: clearing.hand_in("rent"), lambda: settled.append(clearing.settle()))
    assert settled == ["rent"]
