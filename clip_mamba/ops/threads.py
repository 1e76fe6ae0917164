"""A thread pool for kernels that release the interpreter lock; safe after fork.

numba's own parallel layers are not used: one resets torch's thread count and dies in forked
DataLoader workers, the other aborts when two Python threads enter it at once.
"""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import torch

_pool: ThreadPoolExecutor | None = None
_pool_key = (0, 0)  # process id and number of workers


def split_work(work: Callable[[int, int], None], units: int) -> None:
    """Call ``work(first, last)`` on equal ranges that cover ``units``, one per torch thread.

    Args:
        work: Handles units first .. last-1; called from several threads at once.
        units: How many there are.
    """
    tasks = min(torch.get_num_threads(), units)
    if tasks <= 1:
        work(0, units)
        return
    bounds = [units * i // tasks for i in range(tasks + 1)]
    pool = _workers(tasks - 1)
    futures = [pool.submit(work, bounds[i], bounds[i + 1]) for i in range(1, tasks)]
    try:
        work(bounds[0], bounds[1])
    finally:
        errors = [future.exception() for future in futures]  # waits for every one
    for error in errors:
        if error is not None:
            raise error


def _workers(count: int) -> ThreadPoolExecutor:
    """Return a pool of this process: after a fork the parent's threads are not there."""
    global _pool, _pool_key
    key = (os.getpid(), count)
    if _pool is None or _pool_key != key:
        # An earlier pool is left to finish what other threads gave it, and then goes.
        _pool, _pool_key = ThreadPoolExecutor(count, thread_name_prefix="selective-scan"), key
    return _pool
