"""The examples of workflow/docs/extending.md, run as the page shows them: code, files and commands are read from it."""

import argparse
import importlib.util
import json
import re
from html import unescape

import numpy as np
import pandas as pd
import pytest
import torch
from extending_page import apply, block_of, plan, reproduce
from PIL import Image
from project import SHORT, Project
from safetensors.numpy import load_file
from scipy.spatial.distance import jensenshannon
from scipy.special import softmax

from vicinal.errors import VicinalError
from vicinal.files import sha256
from vicinal.models import build_model
from vicinal.models.registry import architecture
from vicinal.training.losses import Answers

torch.set_num_threads(1)

WEIGHTS = ["kd_weight", "ce_weight", "jsd_weight"]
LOSS = "workflow/vicinal/training/losses/jsd.py"
MODEL = "workflow/vicinal/models/all_conv.py"
# One pair, one seed, two methods; of the temperatures one is that of the claims' primary cells.
FEW = (*(s for s in SHORT if not s.startswith("temperatures")), "temperatures=[1,2]", "methods=[ce, kd_mixup]")
# Of the block with the new term, as little.
WITH_TERM = ("name=jsd", "grids.divergence.teachers=[resnet8]", "grids.divergence.methods=[kd_mixup]")
WITH_TERM += ("grids.divergence.temperatures=[1,2]", "grids.divergence.students=[all_conv]")
STUDENTS = "students=[all_conv]"


def records(project: Project) -> dict[str, dict]:
    """Return the records of the students of the page's own network by id."""
    paths = project.results.glob("students/all_conv_*/model.json")
    return {path.parent.name: json.loads(path.read_text()) for path in paths}


# Images


def test_a_folder_of_images_becomes_an_experiment(fresh_project):
    random = np.random.default_rng(0)
    pictures = {}
    for split, number in (("train", 20), ("test", 8)):
        for shade, name in enumerate(("tulip", "daisy", "rose")):
            folder = fresh_project.folder / "photos" / split / name
            folder.mkdir(parents=True)
            for i in range(number):
                pixels = random.integers(80 * shade, 80 * shade + 60, (12, 12, 3)).astype(np.uint8)
                Image.fromarray(pixels).save(folder / f"{i}.png")
                pictures[pixels.tobytes()] = split, name
    commands = apply("Your own images", fresh_project.folder)

    script = next(commands)
    assert script[0] == "python"
    assert fresh_project.python(*script[1:]).returncode == 0
    few = (
        "name=flowers",
        "epochs=1", "seeds=[0]", "recipe.batch_size=16", "teachers=[resnet8]", "students=[resnet8_narrow]",
        "temperatures=[2]", "methods=[ce]", "pairs=100",
    )  # fmt: skip
    assert plan(fresh_project, next(commands), *few)["totals"]["students"] == 1
    reproduce(fresh_project, next(commands), *few, until="aggregate")
    assert not list(commands)

    [store] = fresh_project.results.glob("data/flowers-*")
    meta = json.loads((store / "meta.json").read_text())
    assert meta["class_names"] == ["daisy", "rose", "tulip"]
    images, labels = np.load(store / "images.npy"), np.load(store / "labels.npy")
    found = [
        (pictures[image.tobytes()][1], meta["class_names"][label]) for image, label in zip(images, labels, strict=True)
    ]
    assert len(found) == len(pictures) == 3 * 28
    assert all(wanted == stored for wanted, stored in found)
    assert set(pd.read_parquet(fresh_project.results / "flowers/metrics.parquet")["data"]) == {"flowers"}


# A teacher as a file


def of_others(name: str) -> str:
    """Return what RepDistiller's ResNets call a tensor of ours."""
    name = name.replace("stem.0.", "conv1.").replace("stem.1.", "bn1.")
    name = re.sub(r"^stages\.(\d)\.", lambda match: f"layer{int(match[1]) + 1}.", name)
    name = re.sub(r"conv(\d)\.0\.", r"conv\1.", name)
    return re.sub(r"conv(\d)\.1\.", r"bn\1.", name).replace("shortcut.", "downsample.")


def test_a_checkpoint_of_others_is_a_teacher(fresh_project):
    commands = apply("A teacher of your own, as a file", fresh_project.folder)
    torch.manual_seed(1)
    state = build_model(architecture("resnet8"), 10, 1).state_dict()
    theirs = {of_others(name): value for name, value in state.items()}
    assert {"conv1.weight", "bn1.running_var", "layer2.0.downsample.1.bias", "layer3.0.bn2.weight"} <= theirs.keys()
    path = fresh_project.folder / "data" / "weights" / "resnet8.pth"
    path.parent.mkdir(parents=True)
    checkpoint = {"opt": argparse.Namespace(epochs=240), "model": theirs, "best_acc": np.float64(0.7)}
    torch.save({**checkpoint, "model": {**theirs, "fc.bias": torch.full((10,), torch.nan)}}, path)

    few = (
        "epochs=1",
        "seeds=[0]",
        "methods=[kd_mixup]",
        "temperatures=[2]",
        "pairs=100",
        "limit_train=60",
        "limit_test=120",
    )
    shown, run = commands
    refused = fresh_project.reproduce(*run[1:], settings=few)
    assert refused.returncode == 1
    [line] = [line for line in refused.stderr.splitlines() if "resnet8.pth" in line]
    assert "data/weights/resnet8.pth: fc.bias has values that are NaN or infinite" in line
    torch.save(checkpoint, path)
    totals = plan(fresh_project, shown, *few)["totals"]
    assert (totals["teachers"], totals["students"]) == (0, 1)
    reproduce(fresh_project, run, *few, until="aggregate")
    [made] = fresh_project.results.glob("teachers/resnet8_given-*/model/weights.safetensors")
    assert {name: value.tolist() for name, value in load_file(made).items()} == {
        name: value.tolist() for name, value in state.items()
    }
    [student] = fresh_project.results.glob("students/*/model.json")
    assert json.loads(student.read_text())["spec"]["teacher"]["given"] == {"sha256": sha256(path)}


# A student


@pytest.fixture(scope="session")
def student(once, first) -> Project:
    """The finished project with the page's network, trained and measured; what was planned is in plan.json; read only.

    It keeps the teacher of the finished project.
    """

    def run(folder):
        project = first.project.copy(folder)
        commands = apply("Your own student", folder)
        planned = plan(project, next(commands), *FEW)
        (folder / "plan.json").write_text(json.dumps(planned))
        reproduce(project, next(commands), *FEW, until="aggregate")
        assert not list(commands)

    return Project(once("student", run))


def test_a_new_student_is_planned_trained_and_measured(student):
    planned = json.loads((student.folder / "plan.json").read_text())
    assert planned["totals"]["students"] == len(records(student)) > 0
    for record in records(student).values():
        assert record["spec"]["model"] == {"family": "all_conv", "widths": [16, 32, 32]}
    assert "all_conv" in set(pd.read_parquet(student.results / "digits" / "metrics.parquet")["model"])


def test_its_cost_is_counted(student):
    code = """
import json
from pathlib import Path
from vicinal.models.cost import Costs
from vicinal.models.registry import architecture

print(json.dumps(Costs(Path("results/plan/costs.json")).of(architecture("all_conv"), 10, 1, 8, 8)))
"""
    parameters, macs, calls, weights_bytes, _ = json.loads(student.python("-c", code).stdout)
    # Three convolutions, the second and third at stride 2, and the last layer.
    assert (macs, calls) == (9 * (16 * 64 + 16 * 32 * 16 + 32 * 32 * 4) + 32 * 10, 4)
    weights = load_file(next(student.results.glob("students/all_conv_*/weights.safetensors")))
    assert weights_bytes == sum(value.nbytes for value in weights.values())
    trained = {name: value for name, value in weights.items() if not name.endswith(("mean", "var", "tracked"))}
    assert parameters == sum(value.size for value in trained.values())


def test_its_module_is_the_code_of_its_own_kind_alone(student, tmp_path):
    project = student.copy(tmp_path / "project")
    with (project.folder / MODEL).open("a") as file:
        file.write("\nADDED = 1\n")
    totals = plan(project, ["./reproduce", "plan"], *FEW, STUDENTS)["totals"]
    assert totals["teachers"] == 0
    assert totals["students"] == len(records(project))


# A loss


@pytest.fixture(scope="module")
def jsd(tmp_path_factory):
    path = tmp_path_factory.mktemp("losses") / "jsd.py"
    path.write_text(block_of(LOSS).text, encoding="utf-8")
    spec = importlib.util.spec_from_file_location("jsd", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.loss


def answers(temperature: float | str) -> Answers:
    random = np.random.default_rng(0)
    logits, teacher = (torch.from_numpy(random.normal(scale=3, size=(7, 5))) for _ in range(2))
    labels = torch.zeros(7, dtype=torch.int64)
    return Answers(logits, labels, labels, torch.ones(7), teacher, temperature)


@pytest.mark.parametrize("temperature", [0.5, 1, 4.0])
def test_the_new_term_is_scipys_divergence(jsd, temperature):
    given = answers(temperature)
    sides = [softmax(logits.numpy() / temperature, axis=1) for logits in (given.logits, given.teacher_logits)]
    wanted = temperature**2 * (jensenshannon(*sides, axis=1) ** 2).mean()
    assert jsd(given).item() == pytest.approx(wanted, rel=1e-9)
    assert jsd(given._replace(logits=given.teacher_logits)).item() == pytest.approx(0, abs=1e-12)


def test_the_new_term_refuses_a_temperature_that_it_does_not_know(jsd):
    with pytest.raises(VicinalError, match="temperatures: jsd_weight needs numbers"):
        jsd(answers("std"))


@pytest.fixture(scope="session")
def with_jsd(once, student) -> Project:
    """The same after a run with the new term as well; what was planned is in plan.json; read only."""

    def run(folder):
        project = student.copy(folder)
        commands = apply("Your own loss", folder)
        planned = plan(project, next(commands), *FEW, STUDENTS, *WITH_TERM)
        (folder / "plan.json").write_text(json.dumps(planned))
        reproduce(project, next(commands), *FEW, STUDENTS, *WITH_TERM, until="judge_claims")
        assert not list(commands)

    return Project(once("with_jsd", run))


def test_what_was_trained_without_the_term_stays_valid(with_jsd):
    planned = json.loads((with_jsd.folder / "plan.json").read_text())
    losses = [record["spec"]["loss"] for record in records(with_jsd).values()]
    assert {json.dumps(loss) for loss in losses} == {'{"kd_weight": 1}', '{"ce_weight": 1}', '{"jsd_weight": 1}'}
    # kd_mixup at two temperatures; the same without the term is there, and ce.
    assert planned["totals"]["students"] == losses.count({"jsd_weight": 1}) == 2
    assert planned["totals"]["students_kept"] == 2 + 1
    assert planned["totals"]["teachers"] == 0
    reasons = [reason for job in planned["jobs"] if job["stage"] == "cohorts" for reason in job["reasons"]]
    assert any("loss.jsd_weight: none → 1" in reason for reason in reasons)
    assert len([id_ for id_ in records(with_jsd) if "_jsd1_kd0_s0-" in id_]) == 2


def test_the_tables_and_the_report_tell_the_terms_apart(with_jsd):
    folder = with_jsd.results / "jsd"
    for name in ("metrics", "vicinal", "confusion", "spread", "reliability", "history", "corruptions"):
        assert "jsd_weight" in pd.read_parquet(folder / f"{name}.parquet"), name
    models = pd.read_parquet(folder / "metrics.parquet").drop_duplicates("model_id")
    found = models.loc[models["teacher"].notna(), WEIGHTS].value_counts().to_dict()
    assert found == {(1.0, 0.0, 0.0): 2, (0.0, 0.0, 1.0): 2}
    assert (pd.read_parquet(folder / "summary.parquet")["n"] == 1).all()
    page = unescape(with_jsd.page("jsd"))
    assert "JSD weight" in page
    assert "resnet8 → all_conv" in page


def test_figures_and_primary_cells_leave_the_term_out(with_jsd):
    code = """
from pathlib import Path
from vicinal.analysis.figures import temperature
from vicinal.analysis.schema import read_tidy

drawn = temperature.data({"metrics": read_tidy(Path("results/jsd/metrics.parquet"))})
print(len(drawn) > 0, set(drawn["n"]))
"""
    assert with_jsd.python("-c", code).stdout == "True {1}\n"
    claims = pd.read_parquet(with_jsd.results / "jsd" / "claims.parquet")
    with_term = claims["cell"].str.contains("jsd_weight 1")
    assert set(claims.loc[with_term, "kind"]) == {"secondary"}
    assert "primary" in set(claims.loc[~with_term, "kind"])


def test_results_with_the_term_can_be_verified(with_jsd):
    options = [word for setting in (*FEW, STUDENTS, *WITH_TERM) for word in ("--set", setting)]
    assert with_jsd.problems("jsd", *options) == []
