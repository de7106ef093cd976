"""What is wrong with a value of a config, in a line: pydantic's findings in the words of this project."""

from collections.abc import Iterable, Mapping
from typing import Any, get_args

from pydantic import BaseModel

from vicinal.errors import nearest

# Types of findings, by what they begin with, and what would be right.
WORDS = {
    "int_": "must be a whole number",
    "float_": "must be a number",
    "finite_number": "must be a finite number",
    "string_type": "must be text",
    "bool_": "must be true or false",
    "list_type": "must be a list, e.g. [1, 2]",
    "tuple_type": "must be a list, e.g. [1, 2]",
    "dict_type": "must be a mapping, e.g. {{key: value}}",
    "model_": "must be a mapping, e.g. {{key: value}}",
    "greater_than_equal": "must be at least {ge}",
    "greater_than": "must be more than {gt}",
    "less_than_equal": "must be at most {le}",
    "less_than": "must be less than {lt}",
    "literal_error": "must be {expected}",
    "too_short": "is empty: give at least {min_length}",
    "string_": "must be {form}",
}
NAME = "a name of letters, digits, '_' and '-', at most 64"


def explain(model: type[BaseModel], problem: Any, config: Mapping, more: Iterable[str] = ()) -> str:
    """Return one line for one of pydantic's findings (``ValidationError.errors()``): field, fault, what would be right.

    ``more`` are keys that are valid at the top besides the fields.
    """
    path = _key_path(problem, config)
    field = ".".join(part if part.isprintable() else repr(part) for part in path) or "the config"
    kind, parent = problem["type"], _parent(model, path)
    if kind == "extra_forbidden":
        valid = [*parent.model_fields, *(more if len(path) == 1 else ())]
        return f"{field}: unknown key{nearest(path[-1], valid)}"
    if kind == "missing":
        return f"{field}: required, but not given"
    if kind == "value_error":
        message = problem["msg"].removeprefix("Value error, ")
        return f"{field}: {message[0].lower()}{message[1:]}"
    words = next((words for begin, words in WORDS.items() if kind.startswith(begin)), None)
    if words is None:
        return f"{field}: {problem['msg']}, found {problem['input']!r}"
    known = parent.model_fields.get(path[-1]) if path else None
    form = NAME if problem["loc"][-1:] == ("[key]",) else known and known.description
    return f"{field}: {words.format(form=form, **problem.get('ctx', {}))}, found {problem['input']!r}"


def _key_path(problem: Any, config: Any) -> list[str]:
    """Return the keys of the config that lead to an error: pydantic's location also names members of unions."""
    path = []
    for part in problem["loc"]:
        if (isinstance(config, dict) and part in config) or (isinstance(config, list) and isinstance(part, int)):
            path.append(str(part))
            config = config[part]
    return [*path, str(problem["loc"][-1])] if problem["type"] == "missing" else path


def _parent(model: type[BaseModel], path: list[str]) -> type[BaseModel]:
    """Return the model that holds the last key of a path."""
    for part in path[:-1]:
        field = None if part.isdigit() else model.model_fields.get(part)
        model = next(iter(_models_in(field.annotation)), model) if field else model
    return model


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for argument in get_args(annotation) for model in _models_in(argument)]
