# What all rules share: the artefacts that the config asks for, and input functions over them.
import re
import shlex
import sys
from pathlib import Path

from snakemake.exceptions import WorkflowError

LIBRARY = str(Path(workflow.basedir) / "workflow")
sys.path.insert(0, LIBRARY)
if "{" in LIBRARY or "}" in LIBRARY:
    raise WorkflowError(
        f"{workflow.basedir}: Snakemake takes braces in a path for variables; move the project to a folder without"
    )
# Jobs find the library too, installed or not.
shell.prefix(f"export PYTHONPATH={shlex.quote(LIBRARY)}:$PYTHONPATH; ")

from vicinal.errors import VicinalError, describe
from vicinal.analysis.figures import FIGURES
from vicinal.files import read_json
from vicinal.training.numerics import numerics_options
from vicinal.planning.files import keep_plans
from vicinal.planning.plans import plan_experiments
from vicinal.running.slurm import Requests, cluster_of, deadline_options

try:
    ARTEFACTS, EXECUTION = plan_experiments(
        config,
        where=", ".join(map(str, workflow.configfiles)) or "config",
        folder=Path(workflow.basedir) / "experiments",
    )
    # Jobs parse the workflow too, and must leave the plans alone.
    if workflow.is_main_process:
        keep_plans(ARTEFACTS)
except VicinalError as error:
    raise WorkflowError(describe(error))

STUDIES = list(ARTEFACTS.studies)
COLLECTIONS = [ARTEFACTS.collection] if ARTEFACTS.collection else []
# A GPU for every training job; machines without one do not count them.
GPUS = 0 if EXECUTION.device == "cpu" else 1
# Memory, time and the like, where jobs are sent to a cluster.
CLUSTER = Requests(cluster_of(ARTEFACTS), GPUS)


# With --sdm apptainer jobs run in this image (envs/apptainer.def); else it need not exist.
container: "vicinal.sif"


wildcard_constraints:
    data=r"[\w.-]+",
    teacher=r"[\w.-]+",
    cohort=r"[\w.-]+",
    evaluation=r"[\w.-]+",
    unit=r"[\w.-]+",
    weights=r"\w+",
    experiment="|".join(map(re.escape, STUDIES)),
    figure=r"\w+",
    collection="|".join(map(re.escape, COLLECTIONS)) or "(?!)",


def inputs_of(artefacts):
    """Return an input function, to be unpacked: what the job of an artefact reads beside its plan."""
    return lambda wildcards: artefacts[wildcards[0]].inputs


def inputs_on_corruptions(wildcards):
    return ARTEFACTS.corrupted[wildcards.unit].robustness_inputs


def data_root(wildcards):
    return ARTEFACTS.stores[wildcards.data].root


def weights_root(wildcards):
    return ARTEFACTS.weights[wildcards.weights]


def robustness_root(wildcards):
    return ARTEFACTS.corrupted[wildcards.unit].store.root


def input_option(name):
    """Return a params function: the option and the input of that name, or nothing where there is none."""
    return lambda wildcards, input: (
        [f"--{name}", input[name]] if input.get(name) else []
    )


def weights_option(units):
    """Return a params function: the file of weights that a unit starts from, or is given, as an option, or nothing.

    A file of the user is no input of the job: results stay of use where it is gone.
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


def figure_caption(wildcards, output):
    """Return the caption of a figure that is drawn, for ``snakemake --report``, as reStructuredText."""
    try:
        caption = read_json(output.record).get("caption", "")
    except (
        VicinalError,
        AttributeError,
    ):  # not drawn yet, or damaged: the job will tell
        caption = ""
    return re.sub(r"([*_`|\\])", r"\\\1", caption)
