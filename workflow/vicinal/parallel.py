"""Several processes that train the same networks together: a GPU each, or some cores each.

Every process has all networks, computes a slice of each batch, and all make the same update, from gradients summed over
the processes. ``torch.nn.parallel.DistributedDataParallel`` is not used: one step trains many networks, some phases
freeze all but the head, and one flat all-reduce after the backward passes serves them all.

The first process leads: it alone decides (when to stop, how a validation went) and writes files; see
``vicinal.processes`` for how the others come into being.
"""

import atexit
import json
import os
import socket
from collections.abc import Sequence
from contextlib import suppress
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist

# A process may wait for long, e.g. while the first one validates; one that died is noticed otherwise.
TIMEOUT = timedelta(days=7)


class Group:
    """The processes of a training, as one of them sees them.

    Args:
        rank: of this process, from 0.
        size: number of processes.
    """

    def __init__(self, rank: int = 0, size: int = 1) -> None:
        self.rank, self.size = rank, size
        # Of tensors on the device; None: gloo, as for what is told.
        self._peers: dist.ProcessGroup | None = None

    def compute_on(self, device: torch.device) -> None:
        """Let tensors of a device be exchanged: by NCCL, if it is a GPU; all processes must do so."""
        if device.type == "cuda" and not self.is_one:
            self._peers = dist.new_group(backend="nccl", timeout=TIMEOUT)

    @property
    def leads(self) -> bool:
        """Tell whether this is the process that decides and writes."""
        return self.rank == 0

    @property
    def is_one(self) -> bool:
        """Tell whether there is no other process."""
        return self.size == 1

    def rows(self, count: int) -> slice:
        """Return the rows of a batch of ``count`` images that are this process's; there may be none."""
        return slice(self.rank * count // self.size, (self.rank + 1) * count // self.size)

    def gather(self, values: torch.Tensor) -> torch.Tensor:
        """Return the values (M,) of all processes: (processes, M)."""
        # As a sum with zeros, which all versions of torch know by one name.
        found = values.new_zeros(self.size, len(values))
        found[self.rank] = values
        self.add(found)
        return found

    def add(self, values: torch.Tensor) -> None:
        """Replace values by their sums over the processes."""
        dist.all_reduce(values, group=self._peers)

    def add_up(self, tensors: Sequence[torch.Tensor]) -> None:
        """Replace float32 tensors of any shape by their sums over the processes, by one all-reduce."""
        flat = torch.cat([tensor.reshape(-1) for tensor in tensors])
        self.add(flat)
        sums = flat.split([tensor.numel() for tensor in tensors])
        shaped = [total.view(tensor.shape) for tensor, total in zip(tensors, sums, strict=True)]
        torch._foreach_copy_(list(tensors), shaped)  # one kernel, not hundreds

    def agree(self, flag: bool) -> bool:
        """Return the first process's flag, for all; no process waits for a GPU here."""
        if self.is_one:
            return flag
        told = torch.tensor([flag], dtype=torch.uint8)
        dist.broadcast(told, 0)
        return bool(told.item())

    def any(self, flag: bool) -> bool:
        """Tell whether some process's flag is set, for all; no process waits for a GPU here."""
        if self.is_one:
            return flag
        told = torch.tensor([flag], dtype=torch.uint8)
        dist.all_reduce(told, dist.ReduceOp.MAX)
        return bool(told.item())

    def share(self, value: Any) -> Any:
        """Return the first process's value, which JSON must know, for all; what the others give does not matter."""
        if self.is_one:
            return value
        text = json.dumps(value).encode() if self.leads else b""
        length = torch.tensor([len(text)])
        dist.broadcast(length, 0)
        content = torch.empty(int(length.item()), dtype=torch.uint8)
        if self.leads:
            content.copy_(torch.frombuffer(bytearray(text), dtype=torch.uint8))
        dist.broadcast(content, 0)
        return json.loads(content.numpy().tobytes())


class Rehearsal(Group):
    """A group in which each process computes with its own rows and hears nothing of the others."""

    def add(self, values: torch.Tensor) -> None:
        """Leave the values as they are."""


def join(rank: int, size: int, store: dist.Store | None = None) -> Group:
    """Join the group of processes, and wait until all have.

    Args:
        rank: of this process.
        size: number of processes.
        store: where the processes meet; None: at MASTER_ADDR and MASTER_PORT.
    """
    _use_loopback()
    # However it ends: torch's threads abort a process that leaves them running.
    atexit.register(leave)
    dist.init_process_group("gloo", store=store, rank=rank, world_size=size, timeout=TIMEOUT)
    return Group(rank, size)


def leave() -> None:
    """Leave the group of processes, if this process is in one."""
    if dist.is_initialized():
        dist.destroy_process_group()


def meeting_place(size: int) -> dist.TCPStore:
    """Return a store where processes of this machine, and of no other, can meet; its port is ``port``."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(size)
        port = listener.getsockname()[1]
        return dist.TCPStore(
            "127.0.0.1", port, size, is_master=True, wait_for_workers=False, timeout=TIMEOUT,
            master_listen_fd=listener.detach(),
        )  # fmt: skip


def arrive(rank: int, size: int) -> dist.TCPStore:
    """Return the store that ``meeting_place`` made, at MASTER_ADDR and MASTER_PORT, and be seen there."""
    store = dist.TCPStore(os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"]), size, timeout=TIMEOUT)
    store.set(arrived(rank), "")
    return store


def arrived(rank: int) -> str:
    """Return the key in the store that tells that a process has arrived."""
    return f"arrived {rank}"


def _use_loopback() -> None:
    """Let gloo talk within this machine: it would look up the machine's name, which containers may not know."""
    with suppress(OSError):
        names = {name for _, name in socket.if_nameindex()}
        for name in ("lo", "lo0"):
            if name in names:
                os.environ.setdefault("GLOO_SOCKET_IFNAME", name)
