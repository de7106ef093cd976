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

from vicinal.data.corruptions import record_name
from vicinal.errors import VicinalError, describe
from vicinal.figures import FIGURES
from vicinal.files import read_json
from vicinal.models.pretrained import weights_path
from vicinal.numerics import numerics_options
from vicinal.planfiles import keep_plans
from vicinal.planning import plan_experiments
from vicinal.slurm import Requests, cluster_of, deadline_option

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
CLUSTER = Requests(cluster_of(ARTEFACTS), GPUS, EXECUTION.gpus_per_job)


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


def option(flag, name):
    """Return a params function: the flag and the input of that name, or nothing where there is none."""

    def params(wildcards, input):
        value = input.get(name)
        return f"{flag} {shlex.quote(str(value))}" if value else ""

    return params


def threads_of_process(wildcards, threads):
    """Return the CPU threads of each process of a training job that has several."""
    return max(1, threads // EXECUTION.gpus_per_job)


def store_record(store):
    return f"results/data/{store.id}/data.json"


def teacher_record(teacher):
    return f"results/teachers/{teacher.id}/teacher.json"


def fetched_data(wildcards):
    store = ARTEFACTS.stores[wildcards.data]
    return f"results/data/{store.id}.fetched.json" if store.downloaded else []


def data_root(wildcards):
    return ARTEFACTS.stores[wildcards.data].root


def weights_root(wildcards):
    return ARTEFACTS.weights[wildcards.weights]


def weights_record(unit):
    return f"results/weights/{unit.weights}.json" if unit.weights else []


def teacher_weights(wildcards):
    return weights_record(ARTEFACTS.teachers[wildcards.teacher])


def teacher_weights_option(wildcards, input):
    """Return the file of weights that a teacher is given or starts from, as an option, or nothing.

    A file of the user is no input of the job: results stay of use where it is gone.
    """
    file = ARTEFACTS.teachers[wildcards.teacher].file
    if not file:
        return weights_option(wildcards, input)
    return f"--weights={shlex.quote(file)}"


def cohort_weights(wildcards):
    return weights_record(ARTEFACTS.cohorts[wildcards.cohort])


def weights_option(wildcards, input):
    """Return the file of the published weights that networks start from, as an option, or nothing."""
    if not input.get("weights"):
        return ""
    name = Path(input.weights).stem
    return f"--weights {shlex.quote(str(weights_path(ARTEFACTS.weights[name], name)))}"


def teacher_data(wildcards):
    return store_record(ARTEFACTS.teachers[wildcards.teacher].store)


def cohort_data(wildcards):
    return store_record(ARTEFACTS.cohorts[wildcards.cohort].store)


def cohort_teacher(wildcards):
    teacher = ARTEFACTS.cohorts[wildcards.cohort].teacher
    return teacher_record(teacher) if teacher else []


def evaluation_data(wildcards):
    return store_record(ARTEFACTS.evaluations[wildcards.evaluation].unit.store)


def evaluation_teacher(wildcards):
    """Return the record of the teacher that is measured or that the measured students learned from."""
    unit = ARTEFACTS.evaluations[wildcards.evaluation].unit
    teacher = getattr(unit, "teacher", unit)
    return teacher_record(teacher) if teacher else []


def evaluation_cohort(wildcards):
    unit = ARTEFACTS.evaluations[wildcards.evaluation].unit
    is_cohort = hasattr(unit, "students")
    return f"results/cohorts/{unit.id}/manifest.json" if is_cohort else []


def evaluation_students(wildcards, input):
    return "--students results/students" if input.get("cohort") else ""


def robustness_data(wildcards):
    return store_record(ARTEFACTS.corrupted[wildcards.unit].store)


def robustness_images(wildcards):
    store = ARTEFACTS.corrupted[wildcards.unit].store
    return f"results/data/{record_name(store.id)}"


def robustness_root(wildcards):
    return ARTEFACTS.corrupted[wildcards.unit].store.root


def robustness_teacher(wildcards):
    unit = ARTEFACTS.corrupted[wildcards.unit]
    return [] if hasattr(unit, "students") else teacher_record(unit)


def robustness_cohort(wildcards):
    unit = ARTEFACTS.corrupted[wildcards.unit]
    return (
        f"results/cohorts/{unit.id}/manifest.json" if hasattr(unit, "students") else []
    )


def study_data(wildcards):
    return store_record(ARTEFACTS.studies[wildcards.experiment].store)


def study_evaluations(wildcards):
    evaluations = ARTEFACTS.studies[wildcards.experiment].evaluations
    return [f"results/evaluations/{id_}/manifest.json" for id_ in evaluations]


def study_corruptions(wildcards):
    study = ARTEFACTS.studies[wildcards.experiment]
    return f"results/data/{record_name(study.store.id)}" if study.corrupted else []


def study_robustness(wildcards):
    units = sorted(set(ARTEFACTS.studies[wildcards.experiment].corrupted.values()))
    return [f"results/robustness/{id_}/manifest.json" for id_ in units]


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
