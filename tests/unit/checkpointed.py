"""Small students on digits that are trained, stopped, and go on from checkpoints."""

import torch
from small_cohort import RECIPE as FEWER
from small_cohort import frozen_teacher
from small_cohort import splits as splits_of

from vicinal.models.registry import architecture
from vicinal.training.checkpoint import Checkpoints
from vicinal.training.learner import make_learner
from vicinal.training.loop import Callbacks, train
from vicinal.training.step import Training

torch.set_num_threads(1)
RECIPE = {**FEWER, "batch_size": 32}
STEPS = 3  # an epoch
MACHINE = {"torch": "2", "device": "cpu", "threads": 1, "cpu": "c", "precision": "fp32"}


def record(temperature, **changes):
    spec = {"stage": "student", "model": architecture("resnet8_narrow"), "recipe": RECIPE, "seed": 3}
    spec |= {"temperature": temperature, "loss": {"kd_weight": 0.9, "ce_weight": 0.1}, **changes}
    return {"id": f"student_t{temperature}", "spec": spec, "code": "c", "data_sha256": "d", "teacher_sha256": "t"}


RECORDS = [record(temperature) for temperature in (1.0, "std", 4.0)]


def splits():
    return splits_of(images=STEPS * 32)


def make(records=None, breaks=None):
    """Return fresh learners; the loss of the second becomes NaN in the step numbered ``breaks``."""
    learners = [make_learner(record["id"], record["spec"], splits()["train"]) for record in records or RECORDS]
    if breaks is not None:
        [(weight, term), *others] = learners[1].terms
        calls = learners[1].calls = []

        def broken(answers):
            calls.append(1)
            return term(answers) * (float("nan") if len(calls) == breaks else 1.0)

        learners[1].terms = [(weight, broken), *others]
    return learners


def run(learners, moment=None, **calls):
    training = Training(splits()["train"], splits()["validation"], RECIPE, 3, 1.0, frozen_teacher())
    train(learners, training, moment, Callbacks(**calls))
    return learners


def checkpoints_in(folder, records=RECORDS, resumed=()):
    info = {"unit": "u", "made": MACHINE, "resumed": list(resumed)}
    return Checkpoints(folder, info, {record["id"]: record for record in records}, 60)


class StopError(Exception):
    """The end of a process."""


def stop_after(number, learners, checkpoints):
    """Return a listener that saves after the step of that number and ends the training."""
    told = []

    def on_step(moment):
        told.append(1)
        if len(told) == number:
            assert checkpoints.save(learners, moment, 1.5)
            raise StopError

    return on_step
