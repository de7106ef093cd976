#!/usr/bin/env python
"""What a precision does to the trainings on digits: to the first losses, and to the accuracy at the end.

First losses: a cohort of three students (T = 1, 2, 4, mixup) takes 50 steps by the fast path of the device and by eager
fp32, from the same weights, on the same batches, with the same teacher. Training amplifies any rounding, so what 8
significant bits explain is measured as well: eager fp32 again, its weights and the teacher's rounded to bfloat16 once,
before the first step. The fast path must differ by a hundredth at most in the first step, and on average over all
steps by no more than twice what rounding once explains.

Accuracy: for every seed a teacher and its student (mixup, T = 2) are trained to the end, once all in fp32 and once all
by the fast path. The mean accuracies must differ by less than the standard deviation over seeds in fp32.

Data are scikit-learn's digits. Exits with 1 where a limit is missed.
"""

import argparse
import copy
import itertools
import tempfile
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from training_loops import device_name

from vicinal.data.catalogue import resolve_source
from vicinal.data.prepare import prepare_data
from vicinal.errors import run
from vicinal.files import write_json
from vicinal.jobs.device import select_device, whole_number
from vicinal.jobs.progress import Progress
from vicinal.models.registry import architecture
from vicinal.training.inputs import Images
from vicinal.training.learner import Learner, make_learner
from vicinal.training.loop import Callbacks, Moment, logits_on, train
from vicinal.training.numerics import Numerics, select_numerics
from vicinal.training.step import Training

TEACHER, STUDENT, TEMPERATURE, ALPHA = "resnet14", "resnet8_narrow", 2.0, 1.0
RECIPE: dict[str, Any] = {
    "optimizer": "sgd", "epochs": 30, "batch_size": 32, "lr": 0.1, "momentum": 0.9, "nesterov": False,
    "weight_decay": 5e-4, "schedule": "step", "milestones": [0.625, 0.75, 0.875], "gamma": 0.1, "crop_padding": 0,
    "flip": False,
}  # fmt: skip
STEPS = 50
IMAGES = 800  # with fewer, accuracies spread by a hundredth over seeds
COHORT = (1.0, 2.0, 4.0)
SHOWN = (1, 10, STEPS)
# bfloat16 rounds a number by 0.4 % at most.
FIRST_LIMIT, RATIO_LIMIT = 0.01, 2.0
EXACT = Numerics("fp32", graph=False)


class _EnoughError(Exception):
    """The steps that were wanted are done."""


def splits(device: torch.device) -> dict[str, Images]:
    """Return the splits of digits on a device."""
    spec = {"name": "digits", **resolve_source("digits", "data"), "validation": 90, "limit_train": IMAGES}
    with tempfile.TemporaryDirectory() as folder:
        store = prepare_data(spec, "data", Path(folder))
        return {split: Images(store, split, device) for split in store.splits}


def network(name: str, seed: int, data: Images, temperature: float | None = None) -> Learner:
    """Return a teacher, or a student at a temperature."""
    spec = {"stage": "student", "model": architecture(name), "recipe": RECIPE, "seed": seed, "loss": {"ce_weight": 1.0}}
    if temperature is not None:
        spec |= {"temperature": temperature, "loss": {"kd_weight": 1.0}}
    return make_learner(f"{name}_s{seed}_t{temperature}", spec, data)


def rounded(model: torch.nn.Module) -> torch.nn.Module:
    """Round the parameters of a network to bfloat16, in place; they stay float32."""
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(parameter.bfloat16())
    return model


def first_losses(
    data: dict[str, Images],
    teacher: torch.nn.Module,
    numerics: Numerics,
    start: Callable[[torch.nn.Module], torch.nn.Module] = lambda model: model,
) -> np.ndarray:
    """Return the losses of the first steps, (STEPS, students), from weights that ``start`` may change."""
    learners = [network(STUDENT, 0, data["train"], temperature) for temperature in COHORT]
    for learner in learners:
        start(learner.model)
    teacher = numerics.freeze(start(copy.deepcopy(teacher)))
    losses: list[torch.Tensor] = []

    def on_step(moment: Moment) -> None:
        losses.append(moment.losses[moment.step - 1].cpu().clone())
        if len(losses) == STEPS:
            raise _EnoughError

    with suppress(_EnoughError):
        training = Training(data["train"], data["validation"], RECIPE, 0, ALPHA, teacher, numerics)
        train(learners, training, callbacks=Callbacks(on_step=on_step))
    return torch.stack(losses).double().numpy()


def trained(name: str, seed: int, data: dict[str, Images], numerics: Numerics, **options: Any) -> torch.nn.Module:
    """Return a network after the whole training."""
    learner = network(name, seed, data["train"], TEMPERATURE if options else None)
    train([learner], Training(data["train"], data["validation"], RECIPE, seed, numerics=numerics, **options))
    if learner.diverged:
        raise RuntimeError(f"{learner.id}: its loss became NaN or infinite")
    return learner.model


def accuracies(
    seeds: int, data: dict[str, Images], numerics: Numerics, done: Callable[[], None]
) -> tuple[list[torch.nn.Module], dict[str, list[float]]]:
    """Return the teachers, and the test accuracies of teachers and students, one for each seed, as fractions."""
    teachers, found = [], {TEACHER: [], STUDENT: []}
    for seed in range(seeds):
        teachers.append(trained(TEACHER, seed, data, numerics))
        asked = numerics.freeze(copy.deepcopy(teachers[-1]))
        models = {TEACHER: teachers[-1], STUDENT: trained(STUDENT, seed, data, numerics, alpha=ALPHA, teacher=asked)}
        for name, model in models.items():
            answers = logits_on(model, data["test"]).argmax(1)
            found[name].append((answers == data["test"].labels).float().mean().item())
            done()
    return teachers, found


def differences(losses: np.ndarray, exact: np.ndarray) -> dict[str, float]:
    """Return by how much losses differ: the mean over the first steps and all students, as a fraction of the mean."""
    return {f"{steps}": float(np.abs(losses[:steps] - exact[:steps]).mean() / exact[:steps].mean()) for steps in SHOWN}


def spread(exact: list[float], fast: list[float]) -> dict[str, float]:
    """Return means of accuracies over seeds, their difference, and the standard deviation (n − 1) of the exact ones."""
    means = {"exact": float(np.mean(exact)), "fast": float(np.mean(fast))}
    return {**means, "difference": means["fast"] - means["exact"], "sd": float(np.std(exact, ddof=1))}


def main(arguments: list[str] | None = None) -> int:
    """Measure, print, write JSON; return 1 where a limit is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="auto", metavar="auto|cpu|cuda[:N]", help="where to compute")
    parser.add_argument("--precision", choices=("tf32", "bf16"), default="bf16", help="of the fast path")
    parser.add_argument("--seeds", type=whole_number, default=10, help="trainings of each kind (default: %(default)s)")
    parser.add_argument("--output", type=Path, required=True, help="JSON, to be written")
    args = parser.parse_args(arguments)
    if args.seeds < 2:
        parser.error("--seeds: at least 2, for a standard deviation")
    device = select_device(args.device, threads=torch.get_num_threads())
    options = argparse.Namespace(precision=args.precision, deterministic=False, compile="off", no_graph=False)
    fast = select_numerics(options, device)
    data = splits(device)
    progress, networks = Progress("rounding", 4 * args.seeds, "networks"), itertools.count(1)

    def done() -> None:
        progress.update(next(networks))

    teachers, exact = accuracies(args.seeds, data, EXACT, done)
    _, found = accuracies(args.seeds, data, fast, done)
    measure = partial(first_losses, data, teachers[0])
    reference = measure(EXACT)
    losses = {
        args.precision: differences(measure(fast), reference),
        "weights rounded once": differences(measure(EXACT, rounded), reference),
    }
    by_model = {name: spread(exact[name], found[name]) for name in exact}
    own, explained = losses.values()
    holds = {
        "first loss": own["1"] <= FIRST_LIMIT,
        "losses": own[f"{STEPS}"] <= RATIO_LIMIT * explained[f"{STEPS}"],
        "accuracy": all(abs(row["difference"]) <= row["sd"] for row in by_model.values()),
    }
    for name, row in losses.items():
        shown = ", ".join(f"{value:.2%} over {steps}" for steps, value in row.items())
        print(f"{name}: losses differ from those of fp32 by {shown} steps")
    for name, row in by_model.items():
        print(
            f"{name}: accuracy {row['exact']:.4f} (fp32, sd {row['sd']:.4f} over {args.seeds} seeds), "
            f"{row['fast']:.4f} ({args.precision}): {row['difference']:+.4f}"
        )
    for name, value in holds.items():
        print(f"{name}: {'within its limit' if value else 'LIMIT MISSED'}")
    write_json(
        args.output,
        {
            "device": device_name(device), "torch": torch.__version__, "precision": args.precision, "seeds": args.seeds,
            "losses": losses, "accuracy": by_model, "holds": holds,
        },
    )  # fmt: skip
    return 0 if all(holds.values()) else 1


if __name__ == "__main__":
    run(main)
