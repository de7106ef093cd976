"""Code fingerprints: a hash of all code that can change a stage's result.

A stage's code is its script, every ``vicinal`` module that the script imports, directly or not, and the modules that
the spec names (model families, loss terms). Comments, docstrings and formatting do not count, nor do modules that only
print messages or handle files.
"""

import ast
import hashlib
from functools import cache
from pathlib import Path
from typing import Any

from vicinal.files import PACKAGE, WORKFLOW
from vicinal.results import STAGES

SCRIPTS = WORKFLOW / "scripts"

# These cannot change a number: messages, progress, files, provenance.
NOT_COUNTED = {
    "vicinal",
    "vicinal.analysis.figures",  # their names only
    "vicinal.errors",
    "vicinal.files",
    "vicinal.jobs",
    "vicinal.jobs.download",
    "vicinal.jobs.fingerprint",
    "vicinal.jobs.gpu_slots",
    "vicinal.jobs.gpus",
    "vicinal.jobs.heartbeat",
    "vicinal.jobs.interruption",
    "vicinal.jobs.lease",
    "vicinal.jobs.plan",
    "vicinal.jobs.progress",
    "vicinal.jobs.provenance",
    "vicinal.jobs.records",
    "vicinal.jobs.script",
    "vicinal.models.fetch",
    "vicinal.models.pretrained",  # name and checksum stand in the spec
    "vicinal.models.registry",  # the resolved architecture stands in the spec
    "vicinal.results",
    "vicinal.spec",
}


def stage_fingerprint(stage: str, named: tuple[str, ...] = ()) -> str:
    """Return the code fingerprint of a stage, as 16 hexadecimal digits.

    Args:
        stage: a key of ``STAGES``.
        named: modules that the spec names, e.g. ``vicinal.models.cifar_resnet``.
    """
    return _fingerprint(SCRIPTS / STAGES[stage].script, tuple(sorted(named)))


def named_modules(spec: dict[str, Any]) -> tuple[str, ...]:
    """Return the modules that a spec names: families of models, terms of losses, and the inputs of photos."""
    names: set[str] = set()
    if "model" in spec:
        names.add(f"vicinal.models.{spec['model']['family']}")
    for weight in spec.get("loss", {}):
        names.add(f"vicinal.training.losses.{weight.removesuffix('_weight')}")
    if spec.get("data", {}).get("store") == "photos":
        names.add("vicinal.training.photos")
    if "teacher" in spec:
        names.update(named_modules({"model": spec["teacher"]["model"]}))
    return tuple(sorted(names))


def data_modules(spec: dict[str, Any]) -> tuple[str, ...]:
    """Return the modules that a data spec names: those that pack photos, if it has photos."""
    return ("vicinal.data.photos.prepare",) if spec.get("store") == "photos" else ()


@cache
def _fingerprint(script: Path, named: tuple[str, ...]) -> str:
    return fingerprint_code(script, named, PACKAGE)


def fingerprint_code(script: Path, named: tuple[str, ...], package: Path) -> str:
    """Return the fingerprint of ``script`` and the modules it reaches in the package at ``package``.

    Raises:
        SyntaxError, FileNotFoundError: a module cannot be read.
    """
    hashes = {"script": _code_hash(script)}
    todo = {*_imports(script, package), *named}
    while todo:
        name = todo.pop()
        if name in hashes or name in NOT_COUNTED:
            continue
        path = _module_path(name, package)
        hashes[name] = _code_hash(path)
        todo |= _imports(path, package)
        todo.add(name.rpartition(".")[0] or name)
    text = "\n".join(f"{name} {value}" for name, value in sorted(hashes.items()))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _module_path(name: str, package: Path) -> Path:
    base = package.joinpath(*name.split(".")[1:])
    return base / "__init__.py" if base.is_dir() else base.with_suffix(".py")


@cache
def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_bytes(), filename=str(path))


@cache
def _imports(path: Path, package: Path) -> set[str]:
    """Return the modules of the package that a file imports anywhere in it."""
    found: set[str] = set()
    for node in ast.walk(_tree(path)):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module)
            found.update(f"{node.module}.{alias.name}" for alias in node.names)
    return {name for name in found if name.split(".")[0] == "vicinal" and _module_path(name, package).is_file()}


@cache
def _code_hash(path: Path) -> str:
    lines: list[str] = []
    _write(_tree(path), lines)
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def _write(node: Any, lines: list[str]) -> None:
    """Write a syntax tree as text that is the same under every Python version (``ast.dump`` is not)."""
    if isinstance(node, ast.AST):
        lines.append(type(node).__name__)
        for name, field in ast.iter_fields(node):
            if name == "body" and _has_docstring(node):
                field = field[1:]
            if field not in (None, []) and name not in ("type_comment", "kind"):
                lines.append(name)
                if isinstance(node, ast.JoinedStr):  # Python 3.12 has empty texts in f-strings, others have not
                    field = [part for part in field if not (isinstance(part, ast.Constant) and part.value == "")]
                _write(field, lines)
    elif isinstance(node, list):
        lines.append(str(len(node)))
        for entry in node:
            _write(entry, lines)
    else:
        lines.append(ascii(node))


def _has_docstring(node: ast.AST) -> bool:
    documented = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
    return isinstance(node, documented) and ast.get_docstring(node, clean=False) is not None
