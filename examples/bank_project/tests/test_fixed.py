"""The same three tests on the corrected parts: nothing is found in any interleaving that was tried."""

import pytest
from bank.accounts import FixedAccount
from bank.clearing import FixedClearing
from bank.together import together
from bank.transfers import FixedTransfers

pytestmark = pytest.mark.interleavings


def test_deposits() -> None:
    account = FixedAccount()
    together(lambda: account.deposit(10), lambda: account.deposit(20))
    assert account.balance == 30


def test_transfers() -> None:
    bank = FixedTransfers(100, 100)
    together(lambda: bank.move(0, 1, 30), lambda: bank.move(1, 0, 20))
    assert [account.balance for account in bank.accounts] == [90, 110]


def test_clearing() -> None:
    clearing = FixedClearing()
    settled = []
    together(lambda: clearing.hand_in("rent"), lambda: settled.append(clearing.settle()))
    assert settled == ["rent"]
