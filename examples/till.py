"""Three tellers at one till, under one lock: no interleaving of it is wrong."""

import threading


def deposits() -> None:
    lock = threading.Lock()
    till = [0]

    def deposit(amount: int) -> None:
        with lock:
            till[0] += amount

    tellers = [threading.Thread(target=deposit, args=(amount,)) for amount in (1, 2, 4)]
    for teller in tellers:
        teller.start()
    for teller in tellers:
        teller.join()

    assert till == [7]
