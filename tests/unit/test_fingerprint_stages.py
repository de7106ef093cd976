"""The fingerprints of the stages: the code of the workflow that each can run, and no other."""

import ast
import itertools
import json
import shutil
import subprocess
from collections.abc import Callable
from modulefinder import ModuleFinder
from pathlib import Path

import pytest
from test_fingerprint import add_statement

import vicinal
from vicinal.jobs.fingerprint import NOT_COUNTED, fingerprint_code, named_modules, stage_fingerprint
from vicinal.results import STAGES

PACKAGE = Path(vicinal.__file__).parent
WORKFLOW = PACKAGE.parent


@pytest.fixture
def edited(tmp_path) -> Callable[..., str]:
    """Return a function: a stage's fingerprint by a copy of the real code in which files are replaced or added."""
    folders = (tmp_path / f"copy{i}" for i in itertools.count())

    def edit(stage: str, named: tuple[str, ...], changes: dict[str, Callable[[str], str]]) -> str:
        folder = next(folders)
        shutil.copytree(WORKFLOW / "scripts", folder / "scripts", ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copytree(PACKAGE, folder / "vicinal", ignore=shutil.ignore_patterns("__pycache__"))
        for name, change in changes.items():
            path = folder / name
            path.write_text(change(path.read_text(encoding="utf-8") if path.exists() else ""), encoding="utf-8")
        return fingerprint_code(folder / "scripts" / STAGES[stage].script, named, folder / "vicinal")

    return edit


TEACHER = {"model": {"family": "cifar_resnet"}, "loss": {"ce_weight": 1}}
STUDENT = {
    "model": {"family": "mobilenet_v2"},
    "loss": {"kd_weight": 0.9, "ce_weight": 0.1},
    "teacher": {**TEACHER, "model": {"family": "wide_resnet"}},
}


def test_modules_that_a_spec_names():
    assert named_modules(TEACHER) == ("vicinal.models.cifar_resnet", "vicinal.training.losses.ce")
    assert named_modules(STUDENT) == (
        "vicinal.models.mobilenet_v2",
        "vicinal.models.wide_resnet",
        "vicinal.training.losses.ce",
        "vicinal.training.losses.kd",
    )
    assert named_modules({**STUDENT, "loss": {"kd_weight": 1}})[-1] == "vicinal.training.losses.kd"
    assert named_modules({}) == ()


def test_stage_fingerprints():
    fingerprints = {stage: stage_fingerprint(stage) for stage in STAGES}
    assert len(set(fingerprints.values())) == len(STAGES)
    assert all(len(value) == 16 and int(value, 16) >= 0 for value in fingerprints.values())
    named = named_modules(STUDENT)
    assert stage_fingerprint("cohorts", named) == stage_fingerprint("cohorts", named[::-1])
    assert stage_fingerprint("cohorts", named) != stage_fingerprint("cohorts")


@pytest.mark.parametrize("stage", STAGES)
def test_copy_elsewhere_has_the_same_fingerprint(edited, stage):
    assert edited(stage, (), {}) == stage_fingerprint(stage)


def test_all_code_may_be_reformatted(edited):
    named = named_modules(STUDENT)
    files = [path.relative_to(WORKFLOW).as_posix() for path in [*PACKAGE.rglob("*.py"), *WORKFLOW.glob("scripts/*.py")]]
    reformatted = edited("cohorts", named, dict.fromkeys(files, lambda text: ast.unparse(ast.parse(text))))
    assert reformatted == stage_fingerprint("cohorts", named)


# modulefinder reads the compiled code, imports inside functions included.
@pytest.mark.parametrize("stage", ["data", "cohorts", "evaluations"])
def test_every_module_that_a_stage_can_import_counts(edited, stage):
    finder = ModuleFinder(path=[str(WORKFLOW)])
    finder.run_script(str(WORKFLOW / "scripts" / STAGES[stage].script))
    modules = sorted(name for name in finder.modules if name.startswith("vicinal.") and name not in NOT_COUNTED)
    assert len(modules) > 5
    for name in modules:
        path = Path(finder.modules[name].__file__).relative_to(WORKFLOW)
        assert edited(stage, (), {str(path): add_statement}) != stage_fingerprint(stage), name


# The fingerprint follows neither relative imports nor names made at run time.
def test_imports_are_absolute():
    for path in [*PACKAGE.rglob("*.py"), *WORKFLOW.glob("scripts/*.py")]:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            assert not (isinstance(node, ast.ImportFrom) and node.level), f"{path}, line {node.lineno}"


@pytest.mark.parametrize("stage", ["teachers", "cohorts", "evaluations"])
@pytest.mark.parametrize(
    "changes",
    [
        {
            "vicinal/models/registry.py": lambda text: (
                text + '\nARCHITECTURES["new"] = {"family": "vgg", "stages": []}\n'
            )
        },
        {"vicinal/models/new_family.py": lambda text: "def build():\n    return None\n"},
        {"vicinal/training/losses/new_term.py": lambda text: "def loss(answers):\n    return 0\n"},
        {"vicinal/models/vgg.py": add_statement},
        {"vicinal/config/schema.py": add_statement},
        {"vicinal/planning/plans.py": add_statement},
        {"vicinal/analysis/figures/new_figure.py": add_statement},
        {"scripts/plot.py": add_statement},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_what_a_stage_does_not_name_does_not_count(edited, stage, changes):
    named = named_modules(STUDENT)
    assert edited(stage, named, changes) == stage_fingerprint(stage, named)


@pytest.mark.parametrize("module", named_modules(STUDENT))
def test_what_a_stage_names_counts(edited, module):
    named = named_modules(STUDENT)
    path = module.replace(".", "/") + ".py"
    assert edited("cohorts", named, {path: add_statement}) != stage_fingerprint("cohorts", named)
    if path.endswith(("kd.py", "wide_resnet.py", "mobilenet_v2.py")):
        assert edited("teachers", named_modules(TEACHER), {path: add_statement}) == stage_fingerprint(
            "teachers", named_modules(TEACHER)
        )


# Other Python versions

# Syntax whose tree, or the text of whose constants, is not the same in all versions.
TRICKY = """
x = f"{a!r:>{width}}" f"{b:{c}.{d}}" "text" f"{e:}" f"{{}}" f"{f=}"
y = f"{g:{h!r}}" f"" ""
z = "\U0001fae8 \U0001fadf é \\n"
def generic(a, /, b: int = 1, *c, d=None, **e): ...
class A(B, metaclass=C): ...
match x:
    case {"k": 1, **rest} if rest: pass
    case [1, *_] | A(b=2): pass
try:
    w = 1e400, -0.0, 1j, ..., None, b"\\xff", 0xff
except* E: pass
"""

PRINT_FINGERPRINTS = """
import json, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from vicinal.jobs.fingerprint import fingerprint_code, stage_fingerprint
from vicinal.results import STAGES
tricky = Path(sys.argv[2])
stages = {stage: stage_fingerprint(stage, tuple(sys.argv[3:])) for stage in STAGES}
print(json.dumps({**stages, "tricky": fingerprint_code(tricky, (), tricky.parent)}))
"""


@pytest.mark.parametrize("version", ["3.11", "3.12", "3.13"])
def test_same_fingerprint_under_another_python(tmp_path, version):
    python = shutil.which(f"python{version}")
    if python is None or subprocess.run([python, "-c", ""], capture_output=True).returncode:
        pytest.skip(f"Python {version} is not installed")
    tricky = tmp_path / "script.py"
    tricky.write_text(TRICKY, encoding="utf-8")
    named = named_modules(STUDENT)
    # -I: without this environment's packages
    command = [python, "-I", "-W", "ignore", "-c", PRINT_FINGERPRINTS, str(WORKFLOW), str(tricky), *named]
    answer = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    assert answer.pop("tricky") == fingerprint_code(tricky, (), tmp_path)
    assert answer == {stage: stage_fingerprint(stage, named) for stage in STAGES}
