"""Write a commented experiment to start from, experiments/NAME.yaml: every field, what it means and its default."""

import argparse
from collections.abc import Iterator, Mapping
from textwrap import wrap
from typing import Any

import yaml
from pydantic import BaseModel

from vicinal.config import Experiment, Grid, read_config, validate
from vicinal.config.blocks import named_blocks
from vicinal.errors import VicinalError
from vicinal.files import write_text
from vicinal.planning.experiments import EXPERIMENTS, config_file

HEAD = """\
# yaml-language-server: $schema=../workflow/config.schema.json
# An experiment, begun as a copy of {source}.
# A field behind a # without a space has its default: remove the # to set it.
# ./reproduce plan {name} shows what it would do, ./reproduce {name} runs it.
"""
WIDTH = 118


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument("name", metavar="NAME", help="of the experiment, and of its folder in results/")
    parser.add_argument(
        "--from", dest="source", metavar="EXPERIMENT", help="the experiment to copy (default: that of config.yaml)"
    )


def main(args: argparse.Namespace) -> int:
    """Write the file; return the exit status."""
    source = config_file(args.source)
    config = {**read_config(source), "name": args.name}
    if "experiments" in config:
        raise VicinalError(f"{source}: a collection of experiments: name one of {', '.join(config['experiments'])}")
    file = EXPERIMENTS / f"{args.name}.yaml"
    validate(config, str(file))
    if file.exists() or args.name == read_config("config.yaml").get("name"):
        raise VicinalError(f"{args.name}: there is an experiment of this name; choose another one")
    head = HEAD.format(source=source, name=args.name)
    write_text(file, head + "\n".join(_fields(Experiment, config)) + "\n")
    print(f"{file}: a copy of {source} with every field; edit it, then: ./reproduce plan {args.name}")
    return 0


def _fields(model: type[BaseModel], values: Mapping[str, Any] | None, indent: str = "") -> Iterator[str]:
    """Yield the lines of a part of the config: its fields with their meaning; None: it is not set, and behind a #."""
    for name, field in model.model_fields.items():
        value = None if values is None else values.get(name)
        default = field.get_default()
        is_set = values is not None and name in values
        yield from wrap(field.description or "", WIDTH, initial_indent=f"{indent}# ", subsequent_indent=f"{indent}#   ")
        start = f"{indent}{'' if is_set else '#'}{name}:"
        if name == "grids":
            yield start
            for block, content in named_blocks(value).items():
                yield f"{indent}  {block}:"
                yield from _fields(Grid, content, f"{indent}    ")
        elif isinstance(default, BaseModel) and default.model_dump(exclude_none=True):
            yield start
            yield from _fields(type(default), value, f"{indent}  ")
        else:
            shown = default.model_dump(exclude_none=True) if isinstance(default, BaseModel) else default
            yield f"{start} {_flow(value if is_set else shown)}"


def _flow(value: Any) -> str:
    """Return a value as YAML on one line."""
    return yaml.safe_dump(value, default_flow_style=True, sort_keys=False, width=10**6).removesuffix("...\n").strip()
