"""Config files as YAML 1.2: the one reader of configs, whether ./reproduce or Snakemake was given them, and the writer.

PyYAML reads YAML 1.1, in which 010 is 8, 1:30 is 90, ``no`` is false and 1e-3 is text. Here plain words are what the
core schema of YAML 1.2 makes of them (https://yaml.org/spec/1.2.2/#103-core-schema).
"""

import re
from pathlib import Path
from typing import Any, ClassVar

import yaml

from vicinal.errors import VicinalError

# Tag → the plain words that have it, and their first letters.
CORE_SCHEMA = {
    "null": (r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    "bool": (r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    "int": (r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+", list("-+0123456789")),
    "float": (
        r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)",
        list("-+.0123456789"),
    ),
    "merge": (r"<<", ["<"]),
}


class _Loader(yaml.SafeLoader):
    """Safe YAML; a key that is given twice is an error (PyYAML would silently keep the last one)."""

    yaml_implicit_resolvers: ClassVar[dict[str, list]] = {}  # not those of YAML 1.1

    def compose_mapping_node(self, anchor: str | None) -> yaml.MappingNode:
        node = super().compose_mapping_node(anchor)
        seen: set[str] = set()
        for key_node, _ in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                raise yaml.MarkedYAMLError(problem="a key must be a word", problem_mark=key_node.start_mark)
            if key_node.value in seen:
                raise yaml.MarkedYAMLError(
                    problem=f"key {key_node.value!r} is given twice", problem_mark=key_node.start_mark
                )
            seen.add(key_node.value)
        return node

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        try:
            return super().construct_object(node, deep)
        except (ValueError, KeyError, AttributeError):  # PyYAML: !!int a, !!bool a, !!timestamp a
            kind = node.tag.rpartition(":")[2]
            raise yaml.MarkedYAMLError(
                problem=f"not a valid {kind} (quote it if it is text)", problem_mark=node.start_mark
            ) from None

    def construct_int(self, node: yaml.ScalarNode) -> int:
        text = self.construct_scalar(node)
        return int(text, 0 if text[:2] in ("0o", "0x") else 10)


class _Dumper(yaml.SafeDumper):
    """Quotes text that either version of YAML would take for something else."""


_Loader.add_constructor("tag:yaml.org,2002:int", _Loader.construct_int)
for _tag, (_words, _first) in CORE_SCHEMA.items():
    for _class in (_Loader, _Dumper):
        _class.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(rf"^(?:{_words})$"), _first)


def parse_yaml(text: str, where: str) -> Any:
    """Parse YAML safely. Raises VicinalError: the text, called ``where``, is not YAML, or has a key twice."""
    try:
        return yaml.load(text, _Loader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark else ""
        problem = " ".join(str(getattr(error, "problem", None) or error).split())
        raise VicinalError(f"{where}{line}: not valid YAML: {problem}") from None
    except RecursionError:
        raise VicinalError(f"{where}: not valid YAML: nested too deeply") from None


def write_yaml(value: Any) -> str:
    """Return YAML that ``parse_yaml`` reads as ``value``: mappings, lists, text, numbers, booleans and null."""
    return yaml.dump(value, Dumper=_Dumper, sort_keys=False)


def read_config(path: Path | str) -> dict:
    """Read a config file, not yet validated. Raises VicinalError: it is missing or not a YAML mapping."""
    try:
        text = Path(path).read_text(encoding="utf-8")
    except FileNotFoundError:
        raise VicinalError(f"{path}: no such config file") from None
    except OSError as error:
        raise VicinalError(f"{path}: {str(error.strerror).lower()}; expected a config file") from None
    except UnicodeDecodeError:
        raise VicinalError(f"{path}: not a text file in UTF-8") from None
    config = parse_yaml(text, str(path))
    if not isinstance(config, dict):
        raise VicinalError(f"{path}: expected a mapping of settings, found {type(config).__name__}")
    return config
