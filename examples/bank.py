"""Ten lines of plain threading with a deadlock in one interleaving of a few."""

import threading


def transfer() -> None:
    savings = threading.Lock()
    current = threading.Lock()

    def move(first: threading.Lock, second: threading.Lock) -> None:
        with first, second:
            pass

    one = threading.Thread(target=move, args=(savings, current))
    two = threading.Thread(target=move, args=(current, savings))
    one.start()
    two.start()
    one.join()
    two.join()
