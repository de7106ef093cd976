"""Whatever text stands in a config or names a data file: it is refused with a clear line, or it does no harm.

No harm means: every id is a plain name, and every path of the run stays below the results folder.
"""

import copy
import os
import re
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from vicinal.analysis.report.inputs import read_records
from vicinal.config import Experiment
from vicinal.data.sources import verify_files
from vicinal.errors import VicinalError, describe
from vicinal.files import write_json
from vicinal.jobs.plan import read_plan
from vicinal.planning.files import write_plans
from vicinal.planning.plans import build_plans, plan_experiments

WORKFLOW = Path(__file__).resolve().parents[2] / "workflow"

# All that a shell, Snakemake's formatting, a path, a terminal or an HTML page could take for something else.
FRAGMENTS = [
    "../", "..", "/", "/etc/passwd", "~", "-", "--help", "$(touch HACKED)", "`touch HACKED`", "; touch HACKED", "| sh",
    "&& ", "> x", "'", '"', "\\", "\n", "\r", "\t", "\0", "\x1b[2J", "{", "}", "{wildcards}", "{input.plan:q}", "{{",
    "%s", "${HOME}", "*", "?", "[a]", "!", "#", " ", "\u00a0", "\u202e", "\u2028", "é", "😀", "\ud800", "<script>",
    "&lt;", "x", "digits", "CON", ".", "a" * 300, "resnet8", "std", "=", ":", ",", "!!python/name:os.system",
]  # fmt: skip
HOSTILE = st.one_of(
    st.lists(st.sampled_from(FRAGMENTS), min_size=1, max_size=4).map("".join),
    st.text(max_size=20),
    st.sampled_from(FRAGMENTS),
)
BASE = {
    "name": "tiny",
    "data": {"name": "digits", "root": "data", "source": "auto"},
    "recipe": {"epochs": 4, "optimizer": "sgd", "schedule": "step", "lr_by_model": {"resnet8": 0.1}},
    "teacher_recipe": {"schedule": "cosine", "lr_by_model": {"resnet14": 0.1}},
    "seeds": [0],
    "grids": {
        "main": {
            "teachers": [{"model": "resnet14", "mixup_alpha": 0.5}, "resnet8"],
            "students": ["resnet8_narrow"],
            "methods": ["ce", "kd_mixup"],
            "temperatures": [2, "std"],
            "loss": {"kd_weight": 0.5},
        }
    },
    "execution": {"device": "cpu"},
}


def text_fields(model: type[BaseModel] = Experiment, path: str = "") -> Iterator[str]:
    """Yield the path of every field of the schema that may hold text, keys of mappings as ``PATH.KEY``."""
    for name, field in model.model_fields.items():
        yield from _texts_in(field.annotation, f"{path}{name}")


def _texts_in(annotation: Any, path: str) -> Iterator[str]:
    arguments = get_args(annotation)
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield from text_fields(annotation, f"{path}.")
    elif annotation is str or (get_origin(annotation) is Literal and isinstance(arguments[0], str)):
        yield path
    elif get_origin(annotation) is dict:
        yield f"{path}.KEY"
        if path == "grids":
            yield from _texts_in(arguments[1], f"{path}.main")
    else:
        for argument in arguments[:1] if get_origin(annotation) is Annotated else arguments:
            yield from _texts_in(argument, path)


FIELDS = sorted(set(text_fields()))


def with_text(path: str, text: str) -> dict:
    """Return the base config with the text at a path of the schema; in lists it becomes the first entry."""
    config = copy.deepcopy(BASE)
    *parents, last = path.split(".")
    place = config
    for part in parents:
        place = place[0] if isinstance(place, list) else place
        place = place.setdefault(part, {})
    place = place[0] if isinstance(place, list) else place
    if last == "KEY":
        place[text] = place.get("main", 0.1)
    elif isinstance(place.get(last), list):
        place[last][0] = text
    else:
        place[last] = text
    return config


# Control characters, surrogates, separators of lines: they would reach the terminal.
CONTROL = ("Cc", "Cs", "Zl", "Zp")


def plain(text: str) -> bool:
    return re.fullmatch(r"[A-Za-z0-9][\w.-]*", text) is not None and len(text) <= 255 and text.isascii()


def check_run(config: dict, results: Path) -> bool:
    """Plan a config; return whether it is accepted, and check that it is harmless, or the refusal clear."""
    try:
        artefacts, execution = plan_experiments(config, "file.yaml", Path("experiments"), results)
    except VicinalError as error:
        lines = describe(error).splitlines()
        assert lines
        assert all(unicodedata.category(letter) not in CONTROL for line in lines for letter in line), lines
        return False
    plans = list(build_plans(artefacts))
    write_plans(plans, results)
    for plan in plans:
        assert all(plain(part) for part in plan.id.split("/")), plan.id
        paths = [plan.path, plan.output, *plan.directories]
        assert all((results / path).resolve().is_relative_to(results) for path in paths)
        assert read_plan(results / plan.path, plan.stage)["id"] == plan.id
    assert re.fullmatch(r"auto|cpu|cuda(:\d+)?", execution.device)
    assert {path.name for path in results.iterdir()} <= {"plan"}
    return True


def test_the_walk_over_the_schema_finds_the_text_fields():
    assert set(FIELDS) >= {
        "data.image_column",
        "data.label_column",
        "data.name",
        "data.root",
        "data.source",
        "execution.device",
        "grids.main.methods",
        "grids.main.students",
        "grids.main.teachers.model",
        "grids.main.temperatures",
        "name",
        "recipe.lr_by_model.KEY",
        "recipe.optimizer",
        "recipe.schedule",
        "teacher_recipe.lr_by_model.KEY",
        "teacher_recipe.optimizer",
        "teacher_recipe.schedule",
    }


@pytest.mark.parametrize("path", FIELDS)
@settings(max_examples=40)
@given(text=HOSTILE)
def test_any_text_in_any_field_is_refused_or_harmless(tmp_path_factory, path, text):
    check_run(with_text(path, text), tmp_path_factory.getbasetemp() / "results")


@pytest.mark.parametrize(
    "root",
    [
        "my data",
        "-rf",
        "--help",
        "$(touch HACKED)",
        "`x`; y",
        "{wildcards}",
        "{",
        'it\'s "so"',
        "\\",
        "*?[a]!#~",
        "é 😀",
    ],
)
def test_a_data_root_may_be_any_printable_text(tmp_path, root):
    assert check_run(with_text("data.root", root), tmp_path / "results")


FORMS = st.sampled_from(["{}.parquet", "train-{}.parquet", "train{}", "test-{}.parquet", "validation.{}.parquet"])
BYTES = st.one_of(HOSTILE.map(lambda text: text.encode("utf-8", "replace")), st.binary(max_size=8))


@settings(max_examples=100)
@given(names=st.lists(st.tuples(FORMS, BYTES), min_size=1, max_size=3))
@example(names=[("train-{}.parquet", b"\n"), ("test-{}.parquet", b"0")])
@example(names=[("train-{}.parquet", b"\xff"), ("test-{}.parquet", b"0")])
@example(names=[("train-{}.parquet", b"$(touch HACKED) {wildcards}"), ("test-{}.parquet", b"'")])
def test_any_name_of_a_data_file_is_refused_or_harmless(tmp_path_factory, names):
    root = tmp_path_factory.mktemp("root")
    (root / "own").mkdir()
    for form, inner in names:
        name = form.format(os.fsdecode(inner)).replace("/", "").replace("\0", "")
        if len(os.fsencode(name)) < 255:
            (root / "own" / name).write_bytes(b"x")
    config = {**BASE, "data": {"name": "own", "root": str(root), "source": "parquet"}}
    check_run(config, root / "results")


HOSTILE_IDS = HOSTILE.filter(lambda text: re.fullmatch(r"[A-Za-z0-9][\w.-]*", text, re.ASCII) is None)


@settings(max_examples=60)
@given(id_=HOSTILE_IDS)
@example(id_="..")
@example(id_="../../x")
@example(id_="/etc/passwd")
@example(id_="x\n")
@example(id_="")
def test_a_plan_with_an_id_that_leads_elsewhere_is_refused(tmp_path_factory, id_):
    path = tmp_path_factory.getbasetemp() / "plan.json"
    for part in (
        {"id": id_},
        {"id": "x", "students": {id_: {}}},
        {"id": "x", "units": {id_: {"models": []}}},
        {"id": "x", "units": {"x": {"models": [id_]}}},
        {"id": "x", "spec": {"stores": [id_]}},
        {"id": "x", "spec": {"models": {id_: {"evaluation": "x"}}}},
        {"id": "x", "spec": {"models": {"x": {"evaluation": id_}}}},
        {"id": "x", "spec": {"models": {"x": {"evaluation": "x"}}, "corrupted": {"x": id_}}},
    ):
        write_json(path, {"stage": "cohorts", "key": "k", **part})
        with pytest.raises(VicinalError, match="is no id") as error:
            read_plan(path, "cohorts")
        assert len(describe(error.value).splitlines()) == 1


@pytest.mark.parametrize("models", [{"../../x": {"evaluation": "e"}}, {"m": {"evaluation": "/etc"}}])
def test_a_record_of_tables_with_an_id_that_leads_elsewhere_is_refused(tmp_path, models):
    with pytest.raises(VicinalError, match=r"provenance\.json of x: '.*' is no id"):
        read_records(tmp_path, {"name": "x", "models": models})


@pytest.mark.parametrize("name", ["../secret", "/etc", "..", "a/b", ""])
def test_a_plan_of_data_elsewhere_is_refused(tmp_path, name):
    with pytest.raises(VicinalError, match="is not valid"):
        verify_files({"name": name, "source": "parquet", "files": {}}, tmp_path)


def test_the_unsafe_ways_are_not_in_the_code():
    unsafe = (
        r"eval\(|exec\(|os\.system|shell=True|torch\.load\((?!.*weights_only=True)|read_pickle|joblib"
        r"|allow_pickle=True|extractall|\| *safe\b|http://|torch\.jit|torch\.export"
    )
    found = [
        f"{path.name}: {line.strip()}"
        for path in sorted(WORKFLOW.rglob("*"))
        if path.suffix in (".py", ".smk", ".j2")
        for line in path.read_text(encoding="utf-8").splitlines()
        if re.search(rf"(?<![\w.])({unsafe})", line)
    ]
    assert found == []
    pickles = {
        path.name
        for path in WORKFLOW.rglob("*.py")
        if re.search(r"^import pickle|^from pickle", path.read_text(), re.M)
    }
    # The first reads pickles as data, see test_data_torchvision.py; the other names torch's error alone.
    assert pickles == {"archive_readers.py", "checkpoint_file.py"}


def test_tests_read_weights_as_safely_as_the_code_does():
    found = [
        f"{path.name}: {line.strip()}"
        for path in sorted(Path(__file__).parents[1].rglob("*.py"))
        for line in path.read_text(encoding="utf-8").splitlines()
        if re.search(r"torch\.load\((?!.*weights_only=True)", line)
    ]
    assert found == []
