"""Code fingerprints: a hash of all code that can change a stage's result.

A stage's code is its script, every ``vicinal`` module that the script imports, directly or not, and the modules that
the spec names (model families, loss terms). Comments, docstrings and formatting do not count, nor do modules that only
print messages or handle files.
"""

import ast
import hashlib
import json
import sys
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

from vicinal.files import PACKAGE, WORKFLOW, write_json
from vicinal.results import STAGES

SCRIPTS = WORKFLOW / "scripts"
# What is known of files, beside their compiled code; as that it may be deleted at any time.
KEPT = PACKAGE / "__pycache__" / f"fingerprints.{sys.implementation.cache_tag}.json"
KEPT_FILES = 2000

# These cannot change a number: messages, progress, files, provenance.
NOT_COUNTED = {
    "vicinal",
    "vicinal.analysis.dictionary",  # what columns are called
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


@cache
def stage_fingerprint(stage: str, named: tuple[str, ...] = ()) -> str:
    """Return the fingerprint of a stage's code and of modules that a spec names, as 16 hexadecimal digits."""
    known = len(_known())
    found = fingerprint_code(SCRIPTS / STAGES[stage].script, named, PACKAGE)
    if len(_known()) > known:
        _keep()
    return found


def named_modules(spec: dict[str, Any]) -> tuple[str, ...]:
    """Return the modules that a spec names: families of models, terms of losses, the inputs of photos, and figures."""
    names = {f"vicinal.analysis.figures.{name}" for name in spec.get("figures", ())}
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


def fingerprint_code(script: Path, named: tuple[str, ...], package: Path) -> str:
    """Return the fingerprint of ``script`` and of the modules in the package at ``package`` that it reaches."""
    hashes = {"script": _look(script)[0]}
    todo = {*_imports(script, package), *named}
    while todo:
        name = todo.pop()
        if name in hashes or name in NOT_COUNTED:
            continue
        path = _module_path(name, package)
        hashes[name] = _look(path)[0]
        todo |= _imports(path, package)
        todo.add(name.rpartition(".")[0] or name)
    text = "\n".join(f"{name} {value}" for name, value in sorted(hashes.items()))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _module_path(name: str, package: Path) -> Path:
    base = package.joinpath(*name.split(".")[1:])
    return base / "__init__.py" if base.is_dir() else base.with_suffix(".py")


@cache
def _imports(path: Path, package: Path) -> set[str]:
    """Return the modules of the package that a file imports anywhere in it."""
    return {name for name in _look(path)[1] if _module_path(name, package).is_file()}


@cache
def _look(path: Path) -> tuple[str, list[str]]:
    """Return the hash of a file's code, and the names below ``vicinal`` that it imports: modules and what is in them.

    Parsing takes seconds, and every job needs it: what a process finds out is kept for the next ones by the content of
    the file.
    """
    content = path.read_bytes()
    key = hashlib.sha256(content).hexdigest()
    known = _known()
    if key not in known:
        tree = ast.parse(content, filename=str(path))
        known[key] = (_code_hash(tree), sorted(_imported(tree)))
    return known[key]


@cache
def _known() -> dict[str, tuple[str, list[str]]]:
    """Return what is kept, by the SHA-256 of a file's content; what another version of this module kept is left out."""
    try:
        kept = json.loads(KEPT.read_bytes())
        return {key: (code, names) for key, (code, names) in kept["files"].items()} if kept["by"] == _version() else {}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def _keep() -> None:
    """Keep what is known, where that can be written; files that were edited often are forgotten in the end."""
    with suppress(OSError):
        KEPT.parent.mkdir(exist_ok=True)
        newest = dict(list(_known().items())[-KEPT_FILES:])
        write_json(KEPT, {"by": _version(), "files": newest})


@cache
def _version() -> str:
    return hashlib.sha256(Path(__file__).read_bytes()).hexdigest()


def _imported(tree: ast.Module) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module)
            found.update(f"{node.module}.{alias.name}" for alias in node.names)
    return {name for name in found if name.split(".")[0] == "vicinal"}


def _code_hash(tree: ast.Module) -> str:
    lines: list[str] = []
    _write(tree, lines)
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
