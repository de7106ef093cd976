"""The config of an experiment: its fields with limits and defaults, and its reading from a file and overrides.

Only this package needs pydantic. Scripts read plan files, never a config.
"""

from vicinal.config.blocks import Grid, Loss
from vicinal.config.cluster import Cluster
from vicinal.config.load import (
    GRID_KEYS,
    SHORT_KEYS,
    Override,
    experiment_file,
    json_schema,
    overrides_of_snakemake,
    read_cluster,
    run_name,
    validate,
    validate_cluster,
)
from vicinal.config.reading import parse_yaml, read_config, write_yaml
from vicinal.config.schema import Data, Energy, Execution, Experiment, Recipe
from vicinal.config.teacher import PUBLISHED, TeacherEntry
from vicinal.config.values import METHODS, RESERVED_NAMES
