"""Work in threads with results in order, so that they do not depend on the number of threads."""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

Result = TypeVar("Result")


def available_cores() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0))


def in_order(
    function: Callable[..., Result], tasks: Iterable[tuple[Any, ...]], threads: int, ahead: int
) -> Iterator[Result]:
    """Yield ``function(*task)`` of every task, in order.

    Args:
        function: runs in the threads; its errors are raised here, in order.
        tasks: arguments of the function, read in this thread, no more than needed.
        threads: number of threads.
        ahead: tasks that are started before their result is needed.
    """
    pool = ThreadPoolExecutor(threads, thread_name_prefix="photos")
    running: deque[Future[Result]] = deque()
    try:
        for task in tasks:
            running.append(pool.submit(function, *task))
            if len(running) > ahead:
                yield running.popleft().result()
        while running:
            yield running.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
