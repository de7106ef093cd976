"""The layout of a results folder: the table of the stages, and the names of folders and records.

The workflow imports this module whenever it is parsed, so nothing heavy is imported here.
"""

import re
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Stage:
    """One kind of artefact: what makes it, where it is, and what it is called."""

    rule: str  # of Snakemake
    script: str  # in workflow/scripts
    output: str  # the declared output, below the results folder, with ``{id}``
    words: str  # what a list of its artefacts is called
    # File name of the log if it and the benchmark are beside the output; otherwise they are in folders of the rule.
    log: str = ""
    holds: str = ""  # what its records describe, if a user can accept them under changed code

    def output_of(self, id_: str) -> str:
        """Return the declared output of an artefact, below the results folder."""
        return self.output.format(id=id_, experiment=id_)

    def log_of(self, id_: str) -> str:
        """Return the log of a job, below the results folder."""
        return self._beside(id_, self.log) if self.log else f"logs/{self.rule}/{id_}.log"

    def benchmark_of(self, id_: str) -> str:
        """Return the benchmark of a job, below the results folder; not every rule has one."""
        return self._beside(id_, BENCHMARK) if self.log else f"benchmarks/{self.rule}/{id_}.tsv"

    def _beside(self, id_: str, name: str) -> str:
        return f"{self.output_of(id_).rpartition('/')[0]}/{name}"


BENCHMARK = "benchmark.tsv"
# In the order of the flow.
STAGES = {
    "downloads": Stage("fetch_data", "fetch_data.py", "data/{id}.fetched.json", "downloads"),
    "weights": Stage("fetch_weights", "fetch_weights.py", "weights/{id}.json", "published weights"),
    "data": Stage("prepare_data", "prepare_data.py", "data/{id}/data.json", "data", holds="data stores"),
    "corruptions": Stage(
        "fetch_corruptions", "fetch_corruptions.py", "data/{id}.corruptions.json", "corrupted images",
        holds="corrupted images",
    ),
    "teachers": Stage(
        "train_teacher", "train_teacher.py", "teachers/{id}/teacher.json", "teachers", "train.log", "teachers"
    ),
    "cohorts": Stage(
        "distill", "distill.py", "cohorts/{id}/manifest.json", "cohorts of students", "distill.log", "students"
    ),
    "evaluations": Stage(
        "evaluate", "evaluate.py", "evaluations/{id}/manifest.json", "evaluations", "evaluate.log", "measured models"
    ),
    "robustness": Stage(
        "evaluate_corruptions", "evaluate_corruptions.py", "robustness/{id}/manifest.json",
        "evaluations on corrupted images", "evaluate.log", "models measured on corrupted images",
    ),
    "experiments": Stage("aggregate", "aggregate.py", "{experiment}/metrics.parquet", "tables"),
    "claims": Stage("judge_claims", "claims.py", "{experiment}/claims.parquet", "claims"),
    "figures": Stage("plot_figures", "plot.py", "{experiment}/figures/temperature.pdf", "figures"),  # the first one
    "reports": Stage("make_report", "report.py", "{experiment}/report.html", "reports"),
    "collections": Stage("combine_reports", "combine.py", "{experiment}/report.html", "combined reports"),
}  # fmt: skip
# Rule → stage.
STAGE_OF = {stage.rule: name for name, stage in STAGES.items()}
# Stages whose jobs train models, and those whose jobs measure them. Only these jobs run on the device.
TRAINED, MEASURED = ("teachers", "cohorts"), ("evaluations", "robustness")
ON_DEVICE = TRAINED + MEASURED

# The folders of artefacts, named by id. ``students`` is not a stage: cohorts make them.
FOLDERS = ("data", "teachers", "students", "cohorts", *MEASURED)
PLAN, LOCKS, HEARTBEATS, CHECKPOINTS, PUBLISHED = "plan", "locks", "heartbeats", "checkpoints", "published"
TRACKED = "tensorboard"
# All folders but those of experiments and collections.
SHARED_FOLDERS = {*FOLDERS, PLAN, "weights", LOCKS, HEARTBEATS, CHECKPOINTS, "logs", "benchmarks", PUBLISHED, TRACKED}

# Files in the folder of a trained model; the records of a measured one and of a data store.
WEIGHTS, HISTORY, RECORD = "weights.safetensors", "history.parquet", "model.json"
EVALUATION, META = "evaluation.json", "meta.json"

ID = r"\w[\w.-]*-[0-9a-f]{8}"


def is_id(name: str) -> bool:
    """Return whether a name has the form of an artefact's id."""
    return re.fullmatch(ID, name) is not None


def is_plain(name: object) -> bool:
    """Return whether a recorded name is a plain file name, so that no path leads elsewhere."""
    return isinstance(name, str) and re.fullmatch(r"\w[\w.-]*", name) is not None


def model_path(role: str, id_: str) -> str:
    """Return the folder of a trained model below the results folder; ``role`` is teacher or student."""
    return f"students/{id_}" if role == "student" else f"teachers/{id_}/model"


def model_folder(results: Path, role: str, id_: str) -> Path:
    """Return the folder of a trained model; ``role`` is teacher or student."""
    return results / model_path(role, id_)


def checkpoint_folder(results: Path, unit: str) -> Path:
    """Return the folder of the checkpoints of a teacher or cohort in training."""
    return results / CHECKPOINTS / unit
