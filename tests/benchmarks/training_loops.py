"""Loops that the benchmarks of speed compare, on random images like those of CIFAR-100: ours, a bare, the usual one."""

import copy
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch.utils.data import DataLoader, Dataset, RandomSampler
from torchvision import transforms

from vicinal.jobs.provenance import cpu_model
from vicinal.models import build_model
from vicinal.models.registry import architecture
from vicinal.training.batch_plan import batch_plan
from vicinal.training.inputs import EpochTables, Images, MixedBatch, make_batch
from vicinal.training.learner import Learner, make_learner
from vicinal.training.loop import Callbacks, train
from vicinal.training.numerics import Numerics
from vicinal.training.step import Training

BATCH, CLASSES = 64, 100
RECIPE = {
    "optimizer": "sgd", "epochs": 1, "batch_size": BATCH, "lr": 0.05, "momentum": 0.9, "weight_decay": 5e-4,
    "schedule": "constant", "crop_padding": 4, "flip": True,
}  # fmt: skip
MEAN, STD = (0.507, 0.487, 0.441), (0.267, 0.256, 0.276)
TEMPERATURE = 4.0  # of the loops of one student
# Steps of the usual loop before it is timed: its workers work ahead, 16 batches at 8 workers.
WARM_UP = 40


class Times(NamedTuple):
    """Wall times in seconds.

    Attributes:
        first_step: from nothing to the end of the first step; None where the loop starts ready.
        stretches: of each stretch of steps after another.
        startup: what the beginning takes beyond the steps; None where that is not known.
    """

    first_step: float | None
    stretches: list[float]
    startup: float | None = None


def random_images(count: int, device: str | torch.device = "cpu") -> dict[str, Images]:
    """Return ``count`` random training images of CIFAR-100's shape, and an empty validation split."""
    generator = np.random.default_rng(0)
    store = SimpleNamespace(
        images=generator.integers(0, 256, (count, 32, 32, 3), dtype=np.uint8),
        labels=generator.integers(0, CLASSES, count),
        splits={"train": np.arange(count), "validation": np.arange(0)},
        num_classes=CLASSES,
        mean=np.array(MEAN),
        std=np.array(STD),
    )
    return {split: Images(store, split, torch.device(device)) for split in store.splits}


def random_teacher(name: str, data: Images) -> torch.nn.Module:
    """Return an untrained network in evaluation mode.

    Its batch normalisation has seen some images: answers of a deep network grow beyond all measure else.
    """
    torch.manual_seed(1)
    model = build_model(architecture(name), CLASSES).to(data.device)
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = None  # take what is seen, not a part of it
    with torch.no_grad():
        model(data.clean(slice(BATCH)).contiguous())
    return model.eval()


def learner_of(name: str, data: Images, temperature: float | None = None) -> Learner:
    """Return a student: of a teacher at a temperature, or of the labels without one."""
    spec = {"stage": "student", "model": architecture(name), "recipe": RECIPE, "seed": 0, "loss": {"ce_weight": 1}}
    if temperature is not None:
        spec |= {"temperature": temperature, "loss": {"kd_weight": 1}}
    return make_learner(f"{name}_t{temperature}", spec, data)


def engine_epochs(
    learners: list[Learner],
    data: dict[str, Images],
    *,
    epochs: int = 1,
    numerics: Numerics | None = None,
    teacher: torch.nn.Module | None = None,
    say: Callable[[str], None] = print,
    clock: Callable[[], float] = time.perf_counter,
) -> Times:
    """Train with the engine on mixed inputs; return the times of its epochs, the first with all that comes before.

    They are those of ``clock``, in seconds.

    Raises:
        RuntimeError: a loss became NaN or infinite: what was timed was another training.
    """
    device, marks, first = data["train"].device, [clock()], []

    def on_step(moment: object) -> None:
        if not first:
            synchronize(device)
            first.append(clock() - marks[0])

    recipe = {**RECIPE, "epochs": epochs}
    training = Training(data["train"], data["validation"], recipe, 0, 1.0, teacher, numerics or Numerics())
    callbacks = Callbacks(lambda epoch, active: marks.append(clock()), on_step, say)
    train(learners, training, callbacks=callbacks)
    if diverged := [learner.id for learner in learners if learner.diverged]:
        raise RuntimeError(f"a loss became NaN or infinite: {', '.join(diverged)}")
    return Times(first[0], np.diff(marks).tolist())


def ready_batches(data: Images, steps: int) -> list[MixedBatch]:
    """Return the batches of the engine's first epoch, made beforehand."""
    plan = batch_plan(BATCH * steps, BATCH, seed=0, epoch=0, alpha=1.0, crop_padding=4, flip=True)
    tables = EpochTables(plan, data.device)
    return [make_batch(data, tables, slice(*bounds), RECIPE, mixed=True) for bounds in plan.bounds]


def bare_epoch(
    batches: list[MixedBatch],
    student: str,
    memory_format: torch.memory_format,
    teacher: torch.nn.Module | None = None,
    numerics: Numerics | None = None,
    clock: Callable[[], float] = time.perf_counter,
) -> float:
    """Return the seconds that a plain loop takes over batches that are ready: at least what training takes.

    It computes in fp32, or as ``numerics`` say.
    """
    numerics = numerics or Numerics()
    torch.manual_seed(0)
    device = batches[0].inputs.device
    model = build_model(architecture(student), CLASSES).to(device, memory_format=memory_format)
    teacher = teacher and copy.deepcopy(teacher).to(memory_format=memory_format)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9, weight_decay=5e-4)
    batches = [(batch, batch.inputs.contiguous(memory_format=memory_format)) for batch in batches]
    model.train()
    synchronize(device)
    began = clock()
    for batch, inputs in batches:
        with numerics.autocast(device):
            logits = model(inputs).float()
            answers = None if teacher is None else _asked(teacher, inputs).float()
        loss = _mixed_ce(logits, batch) if answers is None else _kd(logits, answers)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    synchronize(device)
    return clock() - began


class PilImages(Dataset):
    """Images that become Pillow's and are transformed one by one, as CIFAR in torchvision."""

    def __init__(self, images: np.ndarray, labels: np.ndarray) -> None:
        self.images, self.labels = images, labels
        self.transform = transforms.Compose(
            [
                transforms.RandomCrop(32, padding=4),
                transforms.RandomHorizontalFlip(),
                transforms.ToTensor(),
                transforms.Normalize(MEAN, STD),
            ]
        )

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        return self.transform(Image.fromarray(self.images[index])), int(self.labels[index])


def standard_epochs(
    student: str, teacher: torch.nn.Module, data: Images, *, steps: int, repeats: int, workers: int, warm_up: int
) -> Times:
    """Return the times of the usual loop, each of ``steps`` steps after ``warm_up`` others.

    Eager, in fp32 with torch's own switches, Pillow images from a DataLoader with processes, the loss read every step.
    """
    device, began = data.device, time.perf_counter()
    dataset = PilImages(data.images.cpu().numpy(), data.labels.cpu().numpy())
    wanted = warm_up + steps * repeats
    sampler = RandomSampler(dataset, num_samples=wanted * BATCH)
    model = build_model(architecture(student), CLASSES).to(device)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9, weight_decay=5e-4)
    model.train()
    generator, losses, marks, first = np.random.default_rng(0), [], [], 0.0
    for number, (inputs, _) in enumerate(DataLoader(dataset, BATCH, sampler=sampler, num_workers=workers), 1):
        inputs = inputs.to(device)
        lam = generator.beta(1.0, 1.0)
        mixed = lam * inputs + (1 - lam) * inputs[torch.randperm(len(inputs), device=device)]
        loss = _kd(model(mixed), _asked(teacher, mixed))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
        if number == 1:
            first = time.perf_counter() - began
        if number >= warm_up and (number - warm_up) % steps == 0:
            synchronize(device)
            marks.append(time.perf_counter())
    stretches = np.diff(marks).tolist()
    return Times(first, stretches, first - min(stretches) / steps)


def synchronize(device: torch.device) -> None:
    """Wait until the device has done what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def device_name(device: torch.device) -> str:
    """Return what the device is."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else cpu_model()


@torch.no_grad()
def _asked(teacher: torch.nn.Module, inputs: torch.Tensor) -> torch.Tensor:
    return teacher(inputs)


def _mixed_ce(logits: torch.Tensor, batch: MixedBatch) -> torch.Tensor:
    first = F.cross_entropy(logits, batch.labels, reduction="none")
    second = F.cross_entropy(logits, batch.partner_labels, reduction="none")
    return (batch.lam * first + (1 - batch.lam) * second).mean()


def _kd(logits: torch.Tensor, answers: torch.Tensor) -> torch.Tensor:
    log_student = F.log_softmax(logits / TEMPERATURE, dim=1)
    return F.kl_div(log_student, F.softmax(answers / TEMPERATURE, dim=1), reduction="batchmean") * TEMPERATURE**2
