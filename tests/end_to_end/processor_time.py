"""The processor time of processes: the wall time of a test depends on what else runs."""

import os
import subprocess
import sys
from contextlib import contextmanager


@contextmanager
def processor_time():
    """Yield what gives the processor time, in seconds, of the processes that were started and ended in the block."""

    def seconds():
        times = os.times()
        return times.children_user + times.children_system

    before, spent = seconds(), []
    yield lambda: spent[0]
    spent.append(seconds() - before)


def snakemake_alone():
    """Return the processor time that only loading Snakemake takes: a unit that fits the machine and what else runs."""
    with processor_time() as spent:
        subprocess.run([sys.executable, "-c", "import snakemake.cli"], check=True)
    return spent()
