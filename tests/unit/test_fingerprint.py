import itertools
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

import vicinal
from vicinal.jobs import fingerprint as module
from vicinal.jobs.fingerprint import fingerprint_code, stage_fingerprint

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
