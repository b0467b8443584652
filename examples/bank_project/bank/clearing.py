"""Clearing: orders are handed in by branches and settled by a clerk."""

import threading


class Clearing:
    """Faulty: the clerk waits without asking whether the order has come already."""

    def __init__(self) -> None:
        self.changed = threading.Condition()
        self.orders: list[str] = []

    def hand_in(self, order: str) -> None:
        with self.changed:
            self.orders.append(order)
            self.changed.notify()

    def settle(self) -> str:
        with self.changed:
            # A notification that came before this line is lost, and no other will come.
            self.changed.wait()
            return self.orders.pop(0)


class FixedClearing(Clearing):
    """Corrected: the clerk waits for the order, not for the notification."""

    def settle(self) -> str:
        with self.changed:
            self.changed.wait_for(lambda: self.orders)
            return self.orders.pop(0)
