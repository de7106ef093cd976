"""A teacher that is given as a file, with the normalisation that it was trained with."""

import json
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from configs import load, problems
from safetensors.torch import save_file
from test_given_teachers import finish

from vicinal.config import validate
from vicinal.data.store import DataStore
from vicinal.errors import VicinalError
from vicinal.models import build_model
from vicinal.models.cost import Costs
from vicinal.models.registry import ARCHITECTURES, architecture, input_of
from vicinal.planning.changes import find_changes
from vicinal.planning.plans import build_plans, resolve
from vicinal.running.estimate.memory import training_bytes
from vicinal.running.estimate.shape import shape_of
from vicinal.running.given_teachers import unfit_teachers
from vicinal.training.given_weights import take_weights
from vicinal.training.inputs import Images, adapt, mix, normalisation_of

CPU = torch.device("cpu")
FILE = "teacher.safetensors"
GREY = {"mean": [0.3], "std": [0.4]}
CIFAR = {"mean": [0.5071, 0.4867, 0.4408], "std": [0.2675, 0.2565, 0.2761]}
GIVEN = {"model": "resnet14", "weights": FILE}


def config(*teachers) -> dict:
    block = {"students": ["resnet8_narrow"], "methods": ["ce", "kd", "kd_mixup"], "temperatures": [1, 2]}
    block["teachers"] = list(teachers)
    return {"name": "own", "data": {"name": "digits"}, "recipe": {"epochs": 2}, "seeds": [0, 1], "grids": [block]}


def normalised(normalisation=GREY, **fields) -> dict:
    return {**GIVEN, "normalisation": normalisation, **fields}


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """Work in a folder in which there is a file of weights."""
    monkeypatch.chdir(tmp_path)
    torch.set_num_threads(1)
    torch.manual_seed(4)
    save_file(build_model(architecture("resnet14"), 10, 1).state_dict(), FILE)
    return tmp_path


def artefacts_of(*teachers):
    return resolve(validate(config(*teachers), "test"), "test", Path("results"))[0]


# The config


@pytest.mark.parametrize("field", ["mean", "std"])
@pytest.mark.parametrize(
    ("values", "position", "line"),
    [
        ("a", "", "'a': give a list of 3 numbers, one a colour channel, or of 1 for grey images"),
        (0.5, "", "0.5: give a list of 3"), (None, "", "none: give a list of 3"),
        ({"r": 0.5}, "", "{'r': 0.5}: give a list"),
        ([], "", "[]: give a list of 3"), ([0.5, 0.5], "", "[0.5, 0.5]: give a list of 3"),
        ([0.5] * 4, "", "[0.5, 0.5, 0.5, 0.5]: give a list of 3"),
        (["grey"], ".0", "'grey' is not a plain number"),
        ([[0.5]], ".0", "must be a number, found [0.5]"),
        ([None], ".0", "must be a number, found None"), ([True], ".0", "true is not a number"),
        ([float("nan")], ".0", "must be at least"),
        ([float("inf")], ".0", "must be at most 1, found inf"),
        ([-0.5], ".0", "must be at least"),
        ([0.5, 0.5, 129.3], ".2", "must be at most 1, found 129.3"),
    ],
)  # fmt: skip
def test_a_wrong_mean_or_deviation_is_one_line(field, values, position, line):
    other = {"mean": [0.5], "std": [0.5]} if not isinstance(values, list) or len(values) != 3 else CIFAR
    [found] = problems(config(normalised({**other, field: values})))
    assert found.startswith(f"grids.0.teachers.0.normalisation.{field}{position}: {line}")


@pytest.mark.parametrize("deviation", [0, 1e-9])
def test_no_deviation_at_all(deviation):
    [found] = problems(config(normalised({"mean": [0.5], "std": [deviation]})))
    assert found.startswith("grids.0.teachers.0.normalisation.std.0: must be at least 0.001")


@pytest.mark.parametrize(
    ("entry", "line"),
    [
        (normalised({"mean": [0.5], "std": CIFAR["std"]}),
         ".normalisation: mean has 1 numbers, std 3: give the same number of both"),
        (normalised({"mean": [0.5]}), ".normalisation.std: required, but not given"),
        (normalised({**GREY, "sd": [0.5]}), ".normalisation.sd: unknown key (did you mean std?)"),
        (normalised("imagenet"), ".normalisation: must be a mapping"),
        (normalised([[0.5], [0.5]]), ".normalisation: must be a mapping"),
        (normalised(True), ".normalisation: must be a mapping"),
        ({"model": "resnet14", "normalisation": GREY},
         ": normalisation: that of a teacher that is trained here is known; leave it out, or name a file of weights"),
        ({"model": "resnet34_imagenet", "weights": "published", "normalisation": CIFAR},
         ": normalisation: that of published weights is known; leave it out, or name a file of weights"),
    ],
)  # fmt: skip
def test_a_wrong_normalisation_is_one_line(entry, line):
    [found] = problems(config(entry))
    assert found.startswith(f"grids.0.teachers.0{line}")


def test_one_file_in_two_normalisations_cannot_be_told_apart_in_tables():
    for first, second in pairwise((GIVEN, normalised(), normalised({"mean": [0.5], "std": [0.4]}))):
        [found] = problems(config(first, second))
        assert "the teacher resnet14 has different normalisations in two places, and tables name teachers by" in found


def test_it_can_be_set_on_the_command_line():
    [experiment] = load(config("resnet8"), f"teachers=[{json.dumps(normalised(CIFAR))}]")
    assert experiment.grids["0"].teachers[0].normalisation.model_dump(mode="json") == CIFAR


# What is planned


def test_another_normalisation_is_another_teacher_with_other_students():
    plain, own = artefacts_of(GIVEN, "resnet8"), artefacts_of(normalised(), "resnet8")
    [teacher] = own.teachers.keys() - plain.teachers.keys()
    assert own.teachers[teacher].spec["normalisation"] == GREY
    assert not any("normalisation" in teacher.spec for teacher in plain.teachers.values())
    others = {id_ for id_, student in own.students.items() if student.columns["teacher"] != "resnet14"}
    assert own.students.keys() & plain.students.keys() == others
    assert {student.columns["teacher"] for id_, student in own.students.items() if id_ in others} == {None, "resnet8"}


def test_numbers_are_known_by_their_value():
    whole = [artefacts_of(normalised({"mean": [zero], "std": [one]})) for zero, one in ((0, 1), (0.0, 1.0))]
    assert whole[0].teachers.keys() == whole[1].teachers.keys()
    assert artefacts_of(normalised()).teachers.keys().isdisjoint(whole[0].teachers)


def test_tables_say_it_beside_the_file():
    artefacts = artefacts_of(normalised(CIFAR))
    text = "(normalised by mean 0.5071 0.4867 0.4408, std 0.2675 0.2565 0.2761)"
    [teacher] = artefacts.teachers.values()
    assert teacher.columns["weights"].endswith(text)
    taught = [student.columns for student in artefacts.students.values() if student.columns["teacher"]]
    assert {columns["teacher_weights"] for columns in taught} == {teacher.columns["weights"]}


def test_the_field_is_the_reason():
    finish(config(GIVEN))
    artefacts = artefacts_of(normalised())
    changes = find_changes(build_plans(artefacts), Path("results"))
    lines = ["grids.teachers.normalisation.mean: none → [0.3]", "grids.teachers.normalisation.std: none → [0.4]"]
    [teacher] = artefacts.teachers
    assert changes["teachers", teacher].reasons == lines
    distilled = {id_ for id_, cohort in artefacts.cohorts.items() if cohort.teacher}
    assert {id_ for stage, id_ in changes if stage == "cohorts"} == distilled
    assert all(changes["cohorts", id_].reasons == [*lines, f"after teachers/{teacher}"] for id_ in distilled)


def test_it_costs_nothing():
    plain, own = (
        next(cohort.spec for cohort in artefacts_of(entry).cohorts.values() if cohort.teacher)
        for entry in (GIVEN, normalised())
    )
    shape = shape_of(artefacts_of(GIVEN).stores.popitem()[1], Path("results"))
    assert training_bytes(plain, 2, shape, Costs()) == training_bytes(own, 2, shape, Costs())


@pytest.mark.parametrize(("entry", "wrong"), [(normalised(), False), (normalised(CIFAR), True), (GIVEN, False)])
def test_before_the_first_job_other_channels_are_named(entry, wrong):
    artefacts = artefacts_of(entry)
    changes = find_changes(build_plans(artefacts), Path("results"))
    found = unfit_teachers(artefacts, changes, lambda store: shape_of(store, Path("results")))
    line = "own: grids.teachers.normalisation: that of resnet14 has mean and std of 3 channels, the images of digits "
    assert [problem.words for problem in found] == [f"{line}have 1: give 1 of both"] * wrong


def test_its_making_refuses_other_channels_too(folder):
    [teacher] = artefacts_of(normalised(CIFAR)).teachers.values()
    wanted = {"id": teacher.id, "spec": teacher.spec, "code": "c", "data_sha256": "d"}
    grey: DataStore = SimpleNamespace(num_classes=10, mean=[0.5])
    with pytest.raises(VicinalError, match="its normalisation is of 3 channels, the images have 1: give as many") as e:
        take_weights(folder / "model", wanted, grey, Path(FILE))
    assert "\n" not in str(e.value)
    assert not (folder / "model").exists()


# What the network sees


@pytest.fixture(params=[1, 3], ids=["grey", "colour"])
def data(request) -> Images:
    """Images whose own mean and deviation are not those of the tests."""
    random, channels = np.random.default_rng(request.param), request.param
    store = SimpleNamespace(
        images=random.integers(0, 256, size=(40, 8, 8, channels), dtype=np.uint8), labels=np.arange(40) % 10,
        splits={"test": np.arange(8, 40)}, num_classes=10,
        mean=np.array([0.5, 0.4, 0.3])[:channels], std=np.array([0.25, 0.2, 0.3])[:channels],
    )  # fmt: skip
    return Images(store, "test", CPU)


def by_hand(data: Images, own: dict) -> torch.Tensor:
    """Return the images of a split as (x/255 − mean)/std (N, C, H, W), in float64."""
    mean, std = (np.array(own[name]) for name in ("mean", "std"))
    return torch.from_numpy(((data.images.numpy() / 255 - mean) / std).transpose(0, 3, 1, 2))


@pytest.mark.parametrize("values_to_255", [False, True])
@pytest.mark.parametrize("name", ["resnet8", "resnet18_imagenet"])
def test_logits_are_those_of_the_plain_network_on_images_normalised_by_hand(data, name, values_to_255):
    if name == "resnet18_imagenet" and data.channels == 1:
        name = "wrn_16_1"  # there are no networks for grey photographs
    own = CIFAR if data.channels == 3 else GREY
    if values_to_255:
        own = {"mean": [0.0] * data.channels, "std": [1 / 255] * data.channels}
    torch.manual_seed(2)
    plain = build_model(architecture(name), 10, data.channels).eval()
    images = by_hand(data, own)
    first, second, lam = images[:16], images[16:], torch.linspace(0, 1, 16)
    with torch.no_grad():
        expected = plain(images.float())
        expected_mixed = plain(mix(first, second, lam.double()).float())
        adapted = adapt(plain, {"model": architecture(name), "normalisation": own}, data)
        found = adapted(data.clean(slice(None)))
        found_mixed = adapted(mix(data.clean(slice(0, 16)), data.clean(slice(16, 32)), lam))
    tolerance = {"rtol": 1e-4, "atol": 1e-5 * expected.abs().max().item()}
    torch.testing.assert_close(found, expected, **tolerance)
    torch.testing.assert_close(found_mixed, expected_mixed, **tolerance)


def test_without_one_a_network_sees_what_its_family_does():
    for name in ARCHITECTURES:
        family, own = input_of(architecture(name)), normalisation_of({"model": architecture(name)})
        assert (own is None) == (family is None)
        assert own is None or own == (family.mean, family.std)
