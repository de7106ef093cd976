"""Trainings on the GPU that is not there (``driver.c``), each in a process of its own: ``lab.py NAME [NUMBER]``.

Prints what was seen as JSON, in the last line. Kernels compute nothing, so the checks of their results are left out.
"""

import ctypes
import json
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import training_loops
from photo_files import small_store
from training_loops import learner_of, random_images

import vicinal.training.cuda_graph
import vicinal.training.fused
from vicinal.data.catalogue import resolve_source
from vicinal.data.prepare import prepare_data
from vicinal.jobs.interruption import Interruption
from vicinal.models import build_model
from vicinal.models.registry import architecture
from vicinal.results import RECORD
from vicinal.training.cohort import TrainingJob, train_models
from vicinal.training.inputs import to_device
from vicinal.training.learner import make_learner
from vicinal.training.loop import Callbacks, Moment, train
from vicinal.training.numerics import Numerics
from vicinal.training.photos import Photos
from vicinal.training.step import CohortStep, Training

CUDA, DRIVER, MIB = torch.device("cuda"), ctypes.CDLL(None), 2**20
CLASSES = training_loops.CLASSES


def read(name: str) -> int:
    """Return a number that the driver keeps."""
    return ctypes.c_long.in_dll(DRIVER, f"fake_{name}").value


def write(name: str, value: int) -> None:
    """Set a number that the driver keeps."""
    ctypes.c_long.in_dll(DRIVER, f"fake_{name}").value = value


def pair(students: int, numerics: Numerics, steps: int, epochs: int) -> tuple[list, Training]:
    """Return a cohort of resnet20 and what it is trained on, with a teacher, resnet56."""
    data = random_images(64 * steps, CUDA)
    teacher = numerics.freeze(to_device(build_model(architecture("resnet56"), CLASSES), CUDA))
    learners = [learner_of("resnet20", data["train"], float(k + 1)) for k in range(students)]
    recipe = {**training_loops.RECIPE, "epochs": epochs}
    return learners, Training(data["train"], data["validation"], recipe, 0, 1.0, teacher, numerics)


def steps(students: int, graph: bool = True) -> list[dict[str, int]]:
    """Return what each step of two epochs of a cohort started."""
    rows, names, before = [], ("launches", "graph_launches", "waits", "violations"), {}

    def on_step(moment: Moment) -> None:
        now = {name: read(name) for name in names}
        rows.append({name: now[name] - before.get(name, 0) for name in names})
        before.update({name: read(name) for name in names})

    learners, training = pair(students, Numerics("bf16", graph=graph), steps=8, epochs=2)
    train(learners, training, callbacks=Callbacks(on_step=on_step))
    return rows


def kernels() -> dict[str, int]:
    """Return the kernels of a step of resnet56→resnet20 in bf16: those of a student, and all others."""
    one, two = (steps(students, graph=False)[-1]["launches"] for students in (1, 2))
    return {"student": two - one, "rest": one - (two - one)}


def memory(mib: int) -> dict[str, Any]:
    """Return how a job of 8 students ends on a GPU of so much memory, and the learners of each step it takes."""
    write("memory", mib * MIB)
    recipe = {**training_loops.RECIPE, "epochs": 2, "batch_size": 32, "crop_padding": 0, "resize": 64, "crop": 56}
    spec = {"stage": "student", "model": architecture("resnet32x4"), "recipe": recipe, "seed": 3}
    sizes, call = [], CohortStep.__call__

    def noted(step: CohortStep, size: int) -> None:
        sizes.append((len(step.learners), torch.cuda.is_current_stream_capturing()))
        call(step, size)

    CohortStep.__call__ = noted
    with tempfile.TemporaryDirectory() as folder, Interruption() as interruption:
        root = Path(folder)
        source = {"name": "digits", **resolve_source("digits", "data"), "validation": 30, "limit_train": 32 * 7}
        store = prepare_data(source, "data", root / "store")
        wanted = {
            root / "students" / f"s{t}": {"id": f"s{t}", "spec": {**spec, "loss": {"ce_weight": t}}, "code": "c"}
            for t in range(1, 9)
        }
        train_models(TrainingJob("c-1", root, store, CUDA, Numerics("bf16"), interruption, 1e9, root), wanted)
        done = len(list(root.glob(f"students/*/{RECORD}")))
    return {"done": done, "sizes": list(dict.fromkeys(sizes)), "violations": read("violations")}


def capture(allocations: int) -> dict[str, Any]:
    """Return what is raised where memory runs out in a capture after so many allocations, and what is left then."""
    learners, training = pair(4, Numerics("bf16"), steps=8, epochs=1)
    stream = torch.cuda.current_stream()
    write("capture_allocations_left", allocations)
    try:
        train(learners, training)
        raised = None
    except Exception as error:
        raised = type(error).__name__
    return {"raised": raised, "same_stream": torch.cuda.current_stream() == stream, "graphs": read("graphs")}


def photos() -> list[int]:
    """Return the pinned allocations until each step of an epoch of photos, on a GPU that never catches up by itself."""
    with tempfile.TemporaryDirectory() as folder:
        data = Photos(small_store(Path(folder), 320), "train", CUDA, size=32, threads=1)
        recipe = {**training_loops.RECIPE, "batch_size": 8, "crop_padding": 0, "crop": 32}
        spec = {
            "stage": "student",
            "model": architecture("resnet18_imagenet"),
            "recipe": recipe,
            "seed": 0,
            "loss": {"ce_weight": 1.0},
        }
        learner, found = make_learner("s", spec, data), []
        write("lag", 1)
        training = Training(data, [], recipe, 0, 1.0, numerics=Numerics("bf16"))
        train([learner], training, callbacks=Callbacks(on_step=lambda moment: found.append(read("host_allocations"))))
    return found


def diverging() -> list[dict[str, int]]:
    """Return what is held after each epoch of ten students of which one a time diverges: each makes a new step."""
    rows = []

    def on_epoch(epoch: int, active: list) -> None:
        rows.append({"learners": len(active), "reserved": torch.cuda.memory_reserved(), "graphs": read("graphs")})

    def on_step(moment: Moment) -> None:
        if moment.step == 6 and moment.losses.shape[1] > 1:
            moment.losses[0, 0].copy_(torch.tensor(float("nan")))

    learners, training = pair(10, Numerics("bf16"), steps=6, epochs=9)
    train(learners, training, callbacks=Callbacks(on_epoch, on_step))
    return rows


def main() -> None:
    """Run one of the functions above."""
    torch.backends.cudnn.benchmark = True
    vicinal.training.cuda_graph._difference = lambda *_: None
    vicinal.training.fused._agree = lambda *_: True
    run: Callable = {f.__name__: f for f in (steps, kernels, memory, capture, photos, diverging)}[sys.argv[1]]
    print(json.dumps(run(*map(int, sys.argv[2:]))))


if __name__ == "__main__":
    main()
