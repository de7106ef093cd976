# What all rules share: the artefacts of the config, and functions for inputs and params.
import gc
import re
import shlex
import sys
from pathlib import Path

from snakemake.exceptions import WorkflowError
from snakemake.utils import update_config

# Of this file, wherever Snakemake was started and whichever workflow includes it.
PROJECT = Path(workflow.current_basedir.get_path_or_uri(secret_free=False)).parents[1]
LIBRARY = str(PROJECT / "workflow")
sys.path.insert(0, LIBRARY)
if "{" in LIBRARY or "}" in LIBRARY:
    raise WorkflowError(
        f"{PROJECT}: Snakemake reads braces in a path as variables; move the project to a folder without"
    )
# results/, data/ and the scripts are found from there, by jobs and by ./reproduce alike.
if not PROJECT.samefile("."):
    raise WorkflowError(
        f"this workflow runs in its own folder only, and not as a module: cd {shlex.quote(str(PROJECT))}, "
        "and start snakemake there, without --directory"
    )
if not workflow.overwrite_configfiles:

    configfile: "config.yaml"


# Jobs find the library even if it is not installed.
# An empty part of PYTHONPATH would be the working folder.
shell.prefix(
    f"export PYTHONPATH={shlex.quote(LIBRARY)}${{{{PYTHONPATH:+:$PYTHONPATH}}}}; "
)

from vicinal.analysis.figures import FIGURES
from vicinal.config import overrides_of_snakemake, read_config
from vicinal.errors import VicinalError, describe
from vicinal.files import read_object
from vicinal.planning.files import keep_plans
from vicinal.planning.plans import plan_experiments
from vicinal.running.slurm import Requests, cluster_of, deadline_options
from vicinal.training.numerics import numerics_options

try:
    # Snakemake has read them too, as YAML 1.1 and with the last of two equal keys.
    settings = {}
    for file in workflow.configfiles:
        update_config(settings, read_config(file))
    ARTEFACTS, EXECUTION = plan_experiments(
        settings,
        where=", ".join(map(str, workflow.configfiles)),
        folder=PROJECT / "experiments",
        overrides=list(overrides_of_snakemake(workflow.config_settings.config)),
    )
    # Jobs parse the workflow too, but must not change the plans.
    if workflow.is_main_process:
        keep_plans(ARTEFACTS)
except VicinalError as error:
    raise WorkflowError(describe(error))

# The artefacts stay: no collection of garbage need look through them again.
gc.freeze()

STUDIES = list(ARTEFACTS.studies)
COLLECTIONS = [ARTEFACTS.collection] if ARTEFACTS.collection else []
# Whole seeds are finished first: jobs that a lower seed needs have the higher priority.
FIRST_SEEDS = ARTEFACTS.first_seeds()
# Memory, time and so on of jobs on a cluster.
CLUSTER = Requests(cluster_of(ARTEFACTS), on_gpu=EXECUTION.device != "cpu")
# A GPU for every job on the device; on machines without GPUs Snakemake does not count them.
GPUS = CLUSTER.gpus


onstart:
    forced = workflow.dag_settings
    if forced.forceall or forced.forcetargets or forced.forcerun:
        logger.warning(
            "-F, -R and -f start jobs again, but jobs keep all models and measurements that are finished and whole; "
            "to train models anew: ./reproduce --retrain PATTERN"
        )


# Only used with --sdm apptainer; see envs/apptainer.def.
container: "vicinal.sif"


wildcard_constraints:
    data=r"[\w.-]+",
    teacher=r"[\w.-]+",
    cohort=r"[\w.-]+",
    evaluation=r"[\w.-]+",
    robustness=r"[\w.-]+",
    weights=r"\w+",
    experiment="|".join(map(re.escape, STUDIES)),
    collection="|".join(map(re.escape, COLLECTIONS)) or "(?!)",


def inputs_of(artefacts):
    """Return an input function for unpack(): what the job of an artefact reads beside its plan."""
    return lambda wildcards: artefacts[wildcards[0]].inputs


def whole_seeds_first(stage):
    """Return a priority function: of the jobs that can start, those of the lowest seed come first."""
    return lambda wildcards: -FIRST_SEEDS.get((stage, wildcards[0]), 0)


def data_root(wildcards):
    return ARTEFACTS.stores[wildcards.data].root


def weights_root(wildcards):
    return ARTEFACTS.weights[wildcards.weights]


def robustness_root(wildcards):
    return ARTEFACTS.robustness[wildcards.robustness].store.root


def input_option(name):
    """Return a params function: the input of this name, a path or several, as an option, if there is one."""

    def params(wildcards, input):
        paths = input.get(name) or []
        paths = [paths] if isinstance(paths, str) else paths
        return [f"--{name}", *paths] if paths else []

    return params


def weights_option(units):
    """Return a params function: the file of weights that a unit starts from, or is given, as an option, if there is one.

    A user's file is not an input of the job, since results stay valid when it is gone.
    """

    def params(wildcards):
        file = ARTEFACTS.weights_file(units[wildcards[0]])
        return [f"--weights={file}"] if file else []

    return params


def device_options(wildcards, threads):
    """Return the options of all jobs on a device."""
    options = ["--device", EXECUTION.device, "--gpu-slots", EXECUTION.gpu_slots]
    return [*map(str, options), "--threads", str(threads)]


def training_options(wildcards, threads, resources):
    """Return the options of all trainings."""
    return [
        *device_options(wildcards, threads),
        *numerics_options(EXECUTION),
        *["--checkpoint-seconds", str(EXECUTION.checkpoint_seconds)],
        *deadline_options(resources),
    ]


def cohort_size_option():
    size = EXECUTION.cohort_size
    return ["--cohort-size", str(size)] if size else []


def figure_captions(wildcards, output):
    """Return the captions of figures for ``snakemake --report``, as reStructuredText; empty before they are drawn."""
    captions = [read_object(record).get("caption", "") for record in output.record]
    escaped = [re.sub(r"([*_`|\\])", r"\\\1", caption) for caption in captions]
    return dict(zip(FIGURES, escaped, strict=True))
