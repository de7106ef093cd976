"""A group of processes that are threads of one: what they exchange, without the cost of starting them."""

from threading import Barrier, Thread

import torch

from vicinal.parallel import Group


class Meeting:
    """Where threads add up their values, in the order of their ranks."""

    def __init__(self, size):
        self.barrier, self.values = Barrier(size, timeout=30), [None] * size


class ThreadedGroup(Group):
    """See the module."""

    def __init__(self, rank, size, meeting):
        super().__init__(rank, size)
        self.meeting = meeting

    def add(self, values):
        self.meeting.values[self.rank] = values.clone()
        self.meeting.barrier.wait()
        total = torch.stack(self.meeting.values).sum(0)
        self.meeting.barrier.wait()
        values.copy_(total)


def in_threads(size, function):
    """Return ``function(group)`` of each process."""
    meeting, results = Meeting(size), [None] * size

    def work(rank):
        try:
            results[rank] = function(ThreadedGroup(rank, size, meeting))
        except BaseException as error:  # shown by the test that waits for it
            results[rank] = error
            meeting.barrier.abort()

    threads = [Thread(target=work, args=(rank,)) for rank in range(size)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for result in results:
        if isinstance(result, BaseException):
            raise result
    return results
