"""Whether several processes have the memory for a training: found out before they begin, together.

Within a step the others wait for a process that runs out of memory, and nothing can call them back. So each first does
a step by itself, that counts for nothing, and then all hear whether it worked everywhere.
"""

import gc
from collections.abc import Callable

import torch

from vicinal.engine import Moment
from vicinal.parallel import Group, Rehearsal


class _EnoughError(Exception):
    """Ends a rehearsal after its first step."""


def has_room(group: Group, device: torch.device, epochs: int, prepare: Callable[[], Callable[..., None]]) -> bool:
    """Tell whether all processes have the memory for a step of a training; the answer is the same for all.

    Args:
        group: the processes; where there is one it is not tried, as that can go on with less by itself.
        device: where they compute.
        epochs: of the training. The step is one of the last: others may train less of a network.
        prepare: returns ``vicinal.engine.train`` with all it needs but moment, group and what to call; made for this
            step alone, as it changes the networks.
    """
    if group.is_one:
        return True
    group.add(torch.zeros(1, device=device))  # the connection takes memory too, from its first use on
    short = False
    try:
        prepare()(
            moment=Moment(epoch=epochs - 1),
            group=Rehearsal(group.rank, group.size),
            on_step=_end,
            say=lambda text: None,
        )
    except _EnoughError:
        pass
    except torch.OutOfMemoryError:
        short = True
    release_memory()
    return not group.any(short)


def _end(moment: Moment) -> None:
    raise _EnoughError


def release_memory() -> None:
    """Give back the memory of networks that are not used any more."""
    gc.collect()
    torch.cuda.empty_cache()
