"""Small trainings that several processes can share: a script that ``test_parallel.py`` runs with one, two and three.

    python parallel_case.py PROCESSES OUTPUT [DEVICE]

OUTPUT: what became of everything, as tensors (``torch.save``). DEVICE: cpu, or cuda for the first GPUs that there are.
"""

import sys

import torch
from small_cohort import RECIPE, splits
from torch import nn

from vicinal.engine import train
from vicinal.gpus import visible_devices
from vicinal.learner import Learner, make_learner
from vicinal.losses import loss_terms
from vicinal.models.heads import MlpHead
from vicinal.models.registry import architecture
from vicinal.parallel import Group
from vicinal.processes import Helpers, become_helper, is_helper, wait_for_task

# 104 images: four batches of 21 (10 and 11 rows for two processes) and one of 20 (6, 7 and 7 for three)
COHORT = {**RECIPE, "batch_size": 21, "epochs": 2}
# four batches of 26
HEAD = {**RECIPE, "batch_size": 26, "epochs": 1, "head_epochs": 1, "head_lr": 0.01, "flip": False}
# two batches of 51 and one of 2: of three processes the first has nothing to do
PLATEAU = {
    **RECIPE, "optimizer": "adam", "lr": 0.001, "batch_size": 51, "epochs": 3, "schedule": "plateau", "patience": 0,
    "lr_min": 1e-5,
}  # fmt: skip
DEVICE = sys.argv[3] if len(sys.argv) > 3 else "cpu"
LOSS = {"kd_weight": 0.9, "ce_weight": 0.1}


class WithHead(nn.Module):
    """A convolution and batch normalisation, then the authors' head with its dropout; smooth: rounding stays small."""

    head_name = "fc"

    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(1, 8, 3, bias=False), nn.BatchNorm2d(8, momentum=None), nn.Tanh())
        self.fc = MlpHead(8, 10, dropout=0.3)
        self.fc.relu = nn.Tanh()

    def forward(self, x):
        return self.fc(self.features(x).mean((2, 3)))


def student(temperature, recipe, model="resnet8_narrow"):
    spec = {"model": architecture(model), "recipe": recipe, "seed": 3, "loss": LOSS, "temperature": temperature}
    return make_learner(f"t{temperature}", spec, splits(DEVICE)["train"])


def with_head(temperature):
    torch.manual_seed(5)
    return Learner(f"head{temperature}", WithHead().to(DEVICE), HEAD, loss_terms(LOSS), temperature)


def run(learners, recipe, group, alpha=1.0):
    """Train learners; return their states, what the optimisers remember, losses and learning rates."""
    teacher = student(1.0, RECIPE, "resnet8").model.eval().requires_grad_(False)
    data = splits(DEVICE)
    train(learners, data["train"], data["validation"], recipe=recipe, seed=3, alpha=alpha, teacher=teacher, group=group)
    return {
        learner.id: {
            "state": {name: value.clone() for name, value in learner.model.state_dict().items()},
            "buffers": learner.optimizer.buffers,
            "losses": torch.tensor([row["loss"] for row in learner.history], dtype=torch.float64),
            "rates": [row["lr"] for row in learner.history],
            "validation": [row.get("validation_loss") for row in learner.history],
            "diverged": learner.diverged,
        }
        for learner in learners
    }


def diverging(group):
    """Return a student whose loss is no number in the seventh step, in the last process."""
    learner, calls = student(4.0, COHORT), []
    [(weight, term), *others] = learner.own_terms

    def nan_once(answers):
        calls.append(1)
        return term(answers) * (float("nan") if len(calls) == 7 and group.rank == group.size - 1 else 1.0)

    learner.own_terms[:] = [(weight, nan_once), *others]
    return learner


def cases(group):
    return {
        "cohort": run([student(1.0, COHORT), diverging(group), student("std", COHORT)], COHORT, group),
        "head": run([with_head(2.0), with_head(4.0)], HEAD, group),
        "plateau": run([student(2.0, PLATEAU)], PLATEAU, group, alpha=None),
    }


def main():
    torch.set_num_threads(1)
    number, output = int(sys.argv[1]), sys.argv[2]
    if is_helper(number):
        become_helper()
        group, _ = wait_for_task()
        group.compute_on(torch.device(DEVICE))
        torch.save(cases(group), f"{output}.{group.rank}")
        return
    if number == 1:
        torch.save(cases(Group()), output)
        return
    with Helpers(number, "case") as helpers:
        gpus = visible_devices()[:number] if DEVICE == "cuda" else []
        group = helpers.start(torch.device(DEVICE), gpus, {})
        torch.save(cases(group), output)


if __name__ == "__main__":
    main()
