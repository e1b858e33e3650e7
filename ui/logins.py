"""Who guesses passwords has to wait: longer after every wrong one."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from ipaddress import ip_address

FREE = 3  # wrong logins that cost no time
LONGEST = 60.0  # seconds between two tries
FORGOTTEN = 3600.0  # seconds without a try after which a sender starts anew
MOST_WRONG = 100  # wrong logins of all senders together that cost no time, and
EVERY = 2.0  # seconds until one more does not
MOST_SENDERS = 10_000  # that are remembered


class Logins:
    """Counts the wrong logins of each sender.

    A login counts as a wrong one from the moment it comes, so that many at once gain nothing, and
    is forgiven when it turns out right. Whoever has many addresses waits, too: all senders share
    `MOST_WRONG` wrong logins, one more every `EVERY` seconds.

    Args:
        clock: seconds, of any beginning.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock = clock
        self.wrong: OrderedDict[str, tuple[int, float]] = OrderedDict()  # (how many, last try)
        self.all, self.last = 0.0, clock()  # wrong ones of all senders, fewer as time goes by

    def wait(self, address: str) -> float:
        """Seconds until the next try; where it is 0, this is one."""
        sender, now = _sender(address), self.clock()
        count, last = self.wrong.get(sender, (0, now))
        if now - last > FORGOTTEN:
            count = 0
        left = last + pause(count) - now
        if left > 0:
            return left
        everybody = max(0.0, self.all - (now - self.last) / EVERY)
        if everybody + 1 > MOST_WRONG:
            return (everybody + 1 - MOST_WRONG) * EVERY
        self.all, self.last = everybody + 1, now
        self.wrong[sender] = (count + 1, now)
        self.wrong.move_to_end(sender)
        while len(self.wrong) > MOST_SENDERS:
            self.wrong.popitem(last=False)
        return 0.0

    def right(self, address: str) -> None:
        """A login of the sender was right."""
        self.wrong.pop(_sender(address), None)
        self.all = max(0.0, self.all - 1)

    def undone(self, address: str) -> None:
        """What the sender tried was no login: it held no password."""
        sender = _sender(address)
        count, last = self.wrong.get(sender, (0, 0.0))
        if count > 1:
            self.wrong[sender] = (count - 1, last)
        else:
            self.wrong.pop(sender, None)
        self.all = max(0.0, self.all - 1)


def pause(count: int) -> float:
    """Seconds between the wrong login of this number, from 1 on, and the next try."""
    return 0.0 if count < FREE else min(2.0 ** min(count - FREE + 1, 10), LONGEST)


def _sender(address: str) -> str:
    """An address, or the network of one in IPv6, of which everybody has very many."""
    try:
        found = ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if found.version == 6 and found.ipv4_mapped is None:
        return found.exploded[:19]
    return str(getattr(found, "ipv4_mapped", None) or found)
