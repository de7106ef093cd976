"""The config of an experiment: its fields, their limits and defaults, and how a file and overrides become one.

Only this package needs pydantic. Scripts never read a config: they read plan files.
"""

from vicinal.config.load import (
    GRID_KEYS,
    SHORT_KEYS,
    experiment_file,
    json_schema,
    parse_yaml,
    read_config,
    validate,
)
from vicinal.config.schema import (
    METHODS,
    RESERVED_NAMES,
    Collection,
    Data,
    Evaluation,
    Execution,
    Experiment,
    Grid,
    Loss,
    Recipe,
    Teacher,
)

__all__ = [
    "GRID_KEYS",
    "METHODS",
    "RESERVED_NAMES",
    "SHORT_KEYS",
    "Collection",
    "Data",
    "Evaluation",
    "Execution",
    "Experiment",
    "Grid",
    "Loss",
    "Recipe",
    "Teacher",
    "experiment_file",
    "json_schema",
    "parse_yaml",
    "read_config",
    "validate",
]
