"""The same with a lock, but in the wrong place: it still sells that ticket twice."""

import threading


class BoxOffice:
    def __init__(self, tickets: int) -> None:
        self.left = tickets
        self.sold: list[str] = []
        self.lock = threading.Lock()

    def printed(self) -> str:
        return "row 7, seat 12"

    def sell(self) -> None:
        if self.left > 0:
            ticket = self.printed()
            with self.lock:
                self.left -= 1
                self.sold.append(ticket)


def last_ticket() -> None:
    office = BoxOffice(tickets=1)
    counters = [threading.Thread(target=office.sell) for _ in range(2)]
    for counter in counters:
        counter.start()
    for counter in counters:
        counter.join()
    assert len(office.sold) == 1
