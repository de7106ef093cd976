import ast
import itertools
import json
import shutil
import subprocess
from collections.abc import Callable
from modulefinder import ModuleFinder
from pathlib import Path

import pytest

import vicinal
from vicinal.jobs import fingerprint as module
from vicinal.jobs.fingerprint import NOT_COUNTED, fingerprint_code, named_modules, stage_fingerprint
from vicinal.results import STAGES

PACKAGE = Path(vicinal.__file__).parent
WORKFLOW = PACKAGE.parent

CODE = {
    "script.py": "import vicinal.first\n",
    "vicinal/__init__.py": "",
    "vicinal/first.py": "from vicinal.second import double\n\nx = double(1)\n",
    "vicinal/second.py": "def double(a, b=2):\n    return a * b\n",
    "vicinal/other.py": "y = 1\n",
}


@pytest.fixture
def fingerprint(tmp_path) -> Callable[..., str]:
    """Return a function: the fingerprint of a script and package of these files, each time in a new folder."""
    folders = (tmp_path / str(i) for i in itertools.count())

    def write(files: dict[str, str], named: tuple[str, ...] = ()) -> str:
        folder = next(folders)
        for name, text in files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        return fingerprint_code(folder / "script.py", named, folder / "vicinal")

    return write


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


def add_statement(text: str) -> str:
    return text + "\n_CHANGED = 1\n"


# What counts and what does not


@pytest.mark.parametrize(
    "text",
    [
        "# a comment\ndef double(a, b=2):  # another\n    return a * b\n",
        'def double(a, b=2):\n    """Return the double."""\n    return a * b\n',
        '"""Of doubles."""\n\n\ndef double(a, b=2):\n    "Return it."\n    return a * b\n',
        "def double(\n    a,\n    b=2,\n):\n\n    return (a\n        * b)\n",
        "def double(a, b = 2): return a*b",
        "def double(a, b=0b10):\n\treturn a * b",
        "\n\n\ndef double(a, b=2):\n    return a * b\n\n\n",
    ],
)
def test_comments_docstrings_and_formatting_do_not_count(fingerprint, text):
    assert fingerprint({**CODE, "vicinal/second.py": text}) == fingerprint(CODE)


@pytest.mark.parametrize(
    "text",
    [
        "def double(a, b=3):\n    return a * b\n",
        "def double(a, b=2.0):\n    return a * b\n",
        "def double(a, b=True):\n    return a * b\n",
        "def double(a, b=None):\n    return a * b\n",
        "def double(a, b='2'):\n    return a * b\n",
        "def double(a, b=b'2'):\n    return a * b\n",
        "def double(a, c=2):\n    return a * c\n",
        "def double(b, a=2):\n    return a * b\n",
        "def double(a, *, b=2):\n    return a * b\n",
        "def double(a, b=2, *c):\n    return a * b\n",
        "def double(a: int, b=2):\n    return a * b\n",
        "def double(a, b=2):\n    return b * a\n",
        "def double(a, b=2):\n    return a + b\n",
        "def double(a, b=2):\n    return a * -b\n",
        "def double(a, b=2):\n    return (a * b,)\n",
        "def double(a, b=2):\n    a * b\n",
        "def double(a, b=2):\n    yield a * b\n",
        "async def double(a, b=2):\n    return a * b\n",
        "@staticmethod\ndef double(a, b=2):\n    return a * b\n",
        "def double(a, b=2):\n    b\n    'no docstring'\n    return a * b\n",
        "def double(a, b=2):\n    f'no docstring'\n    return a * b\n",
        "def double(a, b=2):\n    return a * b\n    return None\n",
        "def double(a, b=2):\n    return a * b\n\n\nz = 1\n",
        "import os\n\n\ndef double(a, b=2):\n    return a * b\n",
        "",
    ],
)
def test_every_other_change_counts(fingerprint, text):
    assert fingerprint({**CODE, "vicinal/second.py": text}) != fingerprint(CODE)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("x = [1, 2]", "x = [[1], 2]"),
        ("x = (1, 2)", "x = [1, 2]"),
        ("x = f'{a}'", "x = f'{a!r}'"),
        ("x = f'{a:.2f}'", "x = f'{a:.3f}'"),
        ("x = {'a': 1, **b}", "x = {**b, 'a': 1}"),
        ("if a:\n    b\nelse:\n    c", "if a:\n    b\n    c"),
        ("if a:\n    b\n    c", "if a:\n    b\nc"),
        ("a = b = 1", "a = 1\nb = 1"),
        ("class A(B):\n    pass", "class A(metaclass=B):\n    pass"),
        ("class A:\n    x: int", "class A:\n    x = int"),
        ("a.b", "a.c"),
        ("x = 1j", "x = 1"),
        ("x = -0.0", "x = 0.0"),
        ("x = 'a\\nb'", "x = 'a b'"),
        ("global_ = None", "global_ = ..."),
        ("import vicinal.other as a", "import vicinal.other as b"),
        ("lambda x: x", "lambda x=None: x"),
    ],
)
def test_two_codes_that_differ(fingerprint, one, other):
    assert fingerprint({**CODE, "vicinal/second.py": one}) != fingerprint({**CODE, "vicinal/second.py": other})


@pytest.mark.parametrize("file", ["script.py", "vicinal/first.py", "vicinal/second.py"])
def test_script_and_all_that_it_imports_count(fingerprint, file):
    assert fingerprint({**CODE, file: add_statement(CODE[file])}) != fingerprint(CODE)


@pytest.mark.parametrize("file", ["vicinal/other.py", "vicinal/new.py", "other_script.py"])
def test_what_is_not_imported_does_not_count(fingerprint, file):
    assert fingerprint({**CODE, file: add_statement(CODE.get(file, ""))}) == fingerprint(CODE)


def test_same_code_under_other_names_differs(fingerprint):
    swapped = {**CODE, "vicinal/first.py": CODE["vicinal/second.py"], "vicinal/second.py": CODE["vicinal/first.py"]}
    assert fingerprint(swapped) != fingerprint(CODE)


@pytest.mark.parametrize(
    "line",
    [
        "import vicinal.other",
        "import vicinal.other as alias",
        "import os, vicinal.other",
        "from vicinal import other",
        "from vicinal import second, other as alias",
        "from vicinal.other import y",
        "from vicinal.other import *",
        "def late():\n    from vicinal.other import y",
        "class A:\n    def late(self):\n        import vicinal.other",
        "try:\n    import json\nexcept ImportError:\n    import vicinal.other",
        "if False:\n    import vicinal.other",
        "async def late():\n    with open(a) as b:\n        import vicinal.other",
    ],
)
def test_import_in_any_form_and_place(fingerprint, line):
    code = {**CODE, "vicinal/first.py": line}
    changed = {**code, "vicinal/other.py": add_statement(CODE["vicinal/other.py"])}
    assert fingerprint(changed) != fingerprint(code)


@pytest.mark.parametrize(
    "line", ["import os.path", "import numpy as np", "from other import y", "import vicinality.other"]
)
def test_import_from_elsewhere_is_not_followed(fingerprint, line):
    code = {**CODE, "vicinal/first.py": line}
    assert fingerprint({**code, "vicinal/other.py": "changed = 1"}) == fingerprint(code)


def test_import_cycle(fingerprint):
    code = {
        **CODE,
        "vicinal/first.py": "import vicinal.second\n",
        "vicinal/second.py": "import vicinal.other\nimport vicinal.first\n",
        "vicinal/other.py": "import vicinal.first\n",
    }
    fingerprints = {fingerprint(code)} | {
        fingerprint({**code, file: add_statement(code[file])})
        for file in ("vicinal/first.py", "vicinal/second.py", "vicinal/other.py")
    }
    assert len(fingerprints) == 4


@pytest.mark.parametrize(
    "line", ["from vicinal.part.inner import x", "import vicinal.part.inner", "from vicinal.part import x"]
)
@pytest.mark.parametrize("file", ["vicinal/part/__init__.py", "vicinal/part/inner.py", "vicinal/second.py"])
def test_packages_run_their_init(fingerprint, line, file):
    code = {
        **CODE,
        "vicinal/first.py": line,
        "vicinal/part/__init__.py": "from vicinal.part.inner import x\n",
        "vicinal/part/inner.py": "import vicinal.second\nx = 1\n",
    }
    assert fingerprint({**code, file: add_statement(code[file])}) != fingerprint(code)


def test_named_module_counts_with_all_that_it_imports(fingerprint):
    code = {**CODE, "vicinal/other.py": "import vicinal.deep\n", "vicinal/deep.py": "z = 1\n"}
    named = ("vicinal.other",)
    assert fingerprint(code, named) != fingerprint(code)
    assert fingerprint({**code, "vicinal/deep.py": "z = 2\n"}, named) != fingerprint(code, named)
    assert fingerprint({**code, "vicinal/deep.py": "z = 2\n"}) == fingerprint(code)


def test_neutral_modules_do_not_count(fingerprint):
    code = {**CODE, "vicinal/first.py": "import vicinal.errors\n", "vicinal/errors.py": "import vicinal.other\n"}
    changed = {**code, "vicinal/errors.py": "import vicinal.other\nx = 1", "vicinal/other.py": "y = 2"}
    assert fingerprint(changed) == fingerprint(code)


def test_module_with_a_syntax_error_is_not_passed_over(fingerprint):
    with pytest.raises(SyntaxError):
        fingerprint({**CODE, "vicinal/second.py": "def double(:\n"})


def test_named_module_that_is_not_there(fingerprint):
    with pytest.raises(FileNotFoundError):
        fingerprint(CODE, ("vicinal.training.losses.none",))


# The stages of the workflow

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


# What is kept for the next process


@pytest.fixture
def kept(tmp_path, monkeypatch) -> Path:
    """The file of what is known, in a folder of its own."""
    monkeypatch.setattr(module, "KEPT", tmp_path / "kept" / "fingerprints.json")
    forget()
    yield module.KEPT
    forget()


def forget() -> None:
    """Forget as the end of a process does."""
    for function in (module.stage_fingerprint, module._imports, module._look, module._known):
        function.cache_clear()


def test_no_file_is_parsed_twice(kept, fingerprint, monkeypatch):
    wanted = stage_fingerprint("claims")
    forget()
    monkeypatch.setattr(module.ast, "parse", None)
    assert stage_fingerprint("claims") == wanted
    with pytest.raises(TypeError):  # another content is parsed
        fingerprint(CODE)


@pytest.mark.parametrize("damage", ["cut", "not a table", "of other code"])
def test_what_is_kept_wrongly_is_not_taken(kept, damage):
    wanted = stage_fingerprint("claims")
    content = json.loads(kept.read_text())
    content["files"] = {key: ["0" * 64, names] for key, (_, names) in content["files"].items()}
    text = {"cut": kept.read_text()[:-10], "not a table": "[1]", "of other code": json.dumps({**content, "by": "x"})}
    kept.write_text(text[damage])
    forget()
    assert stage_fingerprint("claims") == wanted
    kept.write_text(json.dumps(content))
    forget()
    assert stage_fingerprint("claims") != wanted  # it is read at all


def test_where_nothing_can_be_kept_fingerprints_are_found(kept):
    wanted = stage_fingerprint("claims")
    shutil.rmtree(kept.parent)
    kept.parent.write_text("no folder")
    forget()
    assert stage_fingerprint("claims") == wanted
