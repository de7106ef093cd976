"""Checkpoints: everything that a training needs to continue as if it had never stopped, in one safetensors file.

Each process keeps two, ``results/checkpoints/UNIT/OWNER.{0,1}.safetensors``, written in turn, so that a damaged one
costs a minute, not the training. The tensors are, of each learner, its state dict, the buffers of its optimiser and its
state dict at the start of the epoch, and the losses since then. The rest is JSON in the metadata, with a SHA-256 over
everything. No pickles.
"""

import hashlib
import io
import json
import secrets
import socket
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO

import torch
from safetensors import SafetensorError
from safetensors.torch import load

from vicinal.errors import describe, warn
from vicinal.jobs.provenance import cpu_model
from vicinal.training.learner import Learner
from vicinal.training.loop import Moment
from vicinal.training.numerics import Numerics
from vicinal.training.phases import phase_at
from vicinal.training.weights import save_state

# A checkpoint that takes a second is made every 100 seconds at most: 1 % of the time.
COST = 100
# A resumed training is equal bit for bit only where these are equal.
MACHINE = ("torch", "device", "threads", "cpu", "gpu", "precision")
# The largest header of a safetensors file, in bytes, and what reading a damaged one may raise.
MAX_HEADER = 100_000_000
DAMAGED = (OSError, SafetensorError, AttributeError, KeyError, TypeError, ValueError)


@dataclass
class Checkpoint:
    """A checkpoint that was found whole.

    Attributes:
        path: the file.
        info: its metadata: ``unit``; ``models``: id → ``wanted`` (what its record will say), ``history``,
            ``diverged``; ``epoch`` (number of finished ones), ``step``, ``seconds`` and ``wall_seconds`` of the
            training until then; ``made``: date, host and machine; ``resumed``: the checkpoints it came from.
        tensors: see the module.
    """

    path: Path
    info: dict[str, Any]
    tensors: dict[str, torch.Tensor]

    def holds(self, wanted: dict[str, Any]) -> bool:
        """Return whether it holds the model that is wanted, by what its record will say."""
        return _holds(self.info, wanted)

    def restore(self, learners: list[Learner]) -> Moment:
        """Bring fresh learners of models that it holds to the state they were in; return the moment of that."""
        models = self.info["models"]
        going = [id_ for id_, model in models.items() if model["diverged"] is None]
        for learner in learners:
            number = list(models).index(learner.id)
            model = models[learner.id]
            learner.history = model["history"]
            learner.diverged = tuple(model["diverged"]) if model["diverged"] else None
            learner.good_state = self._state(f"{number}.good.")
            if learner.diverged is None:
                learner.model.load_state_dict(self._state(f"{number}.state."))
                learner.enter(phase_at(learner.recipe, self.info["epoch"]))
                learner.optimizer.load(
                    self.tensors[f"{number}.buffer.{i}"] for i in range(len(learner.optimizer.buffers))
                )
        device = learners[0].optimizer.parameters[0].device
        torch.set_rng_state(self.tensors["rng.cpu"])
        if device.type == "cuda" and "rng.cuda" in self.tensors:
            torch.cuda.set_rng_state(self.tensors["rng.cuda"], device)
        columns = [going.index(learner.id) for learner in learners if learner.diverged is None]
        losses = self.tensors["losses"][:, columns].to(device)
        return Moment(self.info["epoch"], self.info["step"], losses, self.info["seconds"])

    def _state(self, prefix: str) -> dict[str, torch.Tensor]:
        return {name.removeprefix(prefix): value for name, value in self.tensors.items() if name.startswith(prefix)}


def describe_machine(device: torch.device, numerics: Numerics) -> dict[str, Any]:
    """Return what the bits of a training depend on beside its spec: see ``MACHINE``."""
    found = {
        "torch": torch.__version__,
        "device": device.type,
        "threads": torch.get_num_threads(),
        "cpu": cpu_model(),
        "precision": numerics.precision,
    }
    return {**found, "gpu": torch.cuda.get_device_name(device)} if device.type == "cuda" else found


def resumption(checkpoint: Checkpoint, machine: dict[str, Any]) -> dict[str, Any]:
    """Return what provenance says of a training that was resumed from a checkpoint.

    When and where the checkpoint was made, its epoch and step, and ``changed``: what is different on the machine that
    resumes, as [before, now]. If anything is, the result may differ in the last bits.
    """
    made = checkpoint.info["made"]
    changed = {key: [made.get(key), machine.get(key)] for key in MACHINE if made.get(key) != machine.get(key)}
    where = {"date": made["date"], "host": made["host"], "epoch": checkpoint.info["epoch"]}
    return {**where, "step": checkpoint.info["step"], "changed": changed}


class Checkpoints:
    """Writes the checkpoints of one training.

    Args:
        folder: of the unit.
        info: what is the same in all: see ``Checkpoint.info``.
        wanted: model id → what its record will say.
        every: seconds from one to the next; longer where writing one takes long.
    """

    def __init__(self, folder: Path, info: dict[str, Any], wanted: dict[str, dict], every: float) -> None:
        self.folder, self.info, self.wanted, self.every = folder, info, wanted, every
        self.seconds = 0.0  # that the last one took
        self._name = secrets.token_hex(4)  # another process may train the same
        self._count = 0
        self._last = time.monotonic()

    def is_due(self) -> bool:
        """Return whether it is time for another one."""
        return time.monotonic() - self._last >= max(self.every, COST * self.seconds)

    def save(self, learners: list[Learner], moment: Moment, wall_seconds: float) -> bool:
        """Write a checkpoint over the older one of two; if that fails, say so, keep both and return False."""
        began = time.monotonic()
        path = self.folder / f"{self._name}.{self._count % 2}.safetensors"
        models = {
            learner.id: {"wanted": self.wanted[learner.id], "history": learner.history, "diverged": learner.diverged}
            for learner in learners
        }
        made = {"date": datetime.now(UTC).isoformat(timespec="seconds"), "host": socket.gethostname()}
        info = {**self.info, "models": models, "wall_seconds": wall_seconds, "made": {**self.info["made"], **made}}
        info |= {"epoch": moment.epoch, "step": moment.step, "seconds": moment.seconds}
        tensors = {name: value.detach().cpu().contiguous() for name, value in _tensors(learners, moment)}
        text = json.dumps(info)
        try:
            save_state(path, tensors, {"checkpoint": text, "sha256": _sha256(tensors, text)})
        except OSError as error:
            warn(f"{describe(error)}: going on without this checkpoint")
            return False
        else:
            self._count += 1
            if self._count == 2:
                self._remove_others()
            return True
        finally:
            self._last = time.monotonic()
            self.seconds = self._last - began

    def _remove_others(self) -> None:
        """Remove the checkpoints of earlier processes, now that there are two of this one."""
        with suppress(FileNotFoundError):  # another process has finished the unit this moment
            for path in self.folder.iterdir():
                if f"{self._name}." not in path.name:
                    path.unlink()


def _tensors(learners: list[Learner], moment: Moment) -> Iterator[tuple[str, torch.Tensor]]:
    for number, learner in enumerate(learners):
        for name, value in (learner.good_state or {}).items():
            yield f"{number}.good.{name}", value
        if learner.diverged is None:
            for name, value in learner.model.state_dict().items():
                yield f"{number}.state.{name}", value
            for i, value in enumerate(learner.optimizer.buffers):
                yield f"{number}.buffer.{i}", value
    yield "losses", moment.losses
    yield "rng.cpu", torch.get_rng_state()
    if moment.losses.is_cuda:
        yield "rng.cuda", torch.cuda.get_rng_state(moment.losses.device)


def _sha256(tensors: dict[str, torch.Tensor], text: str) -> str:
    sums = hashlib.sha256(text.encode())
    for name, value in sorted(tensors.items()):
        sums.update(f"\n{name} {value.dtype} {tuple(value.shape)}\n".encode())
        sums.update(value.reshape(-1).view(torch.uint8).numpy())
    return sums.hexdigest()


def find_checkpoint(folder: Path, wanted: list[dict[str, Any]]) -> Checkpoint | None:
    """Return the checkpoint that got furthest, of those that are whole and hold a wanted model; say which are damaged.

    Args:
        folder: of the unit.
        wanted: what the records of the models will say.
    """
    found, damaged = [], []
    # Only the headers are read first: a checkpoint can be gigabytes.
    for path in sorted(folder.glob("[!.]*.safetensors")):
        try:
            with path.open("rb") as file:
                info = json.loads(_metadata(file)["checkpoint"])
            if any(_holds(info, record) for record in wanted):
                found.append((info["epoch"], info["step"], path))
        except DAMAGED as error:
            damaged.append(path)
            _say_damaged(path, error)
    for *_, path in sorted(found, reverse=True):
        try:
            return _read(path)
        except DAMAGED as error:
            damaged.append(path)
            _say_damaged(path, error)
    if damaged:
        warn(f"{folder}: no checkpoint is whole; starting from the beginning")
    return None


def _holds(info: dict[str, Any], wanted: dict[str, Any]) -> bool:
    model = info["models"].get(wanted["id"])
    return model is not None and model["wanted"] == wanted


def _metadata(file: BinaryIO) -> dict[str, str]:
    """Return the metadata of a safetensors file: 8 bytes with the length of a JSON header, the header, the tensors."""
    length = int.from_bytes(file.read(8), "little")
    if length > MAX_HEADER:
        raise ValueError("it has no header")
    return json.loads(file.read(length))["__metadata__"]


def _read(path: Path) -> Checkpoint:
    # Read once and not mapped: what is returned is what was checked, even if another process removes the file.
    content = path.read_bytes()
    metadata, tensors = _metadata(io.BytesIO(content)), load(content)
    if _sha256(tensors, metadata["checkpoint"]) != metadata["sha256"]:
        raise ValueError("its checksum does not match")
    return Checkpoint(path, json.loads(metadata["checkpoint"]), tensors)


def _say_damaged(path: Path, error: Exception) -> None:
    warn(f"{path}: a damaged checkpoint, left out ({describe(error)})")
