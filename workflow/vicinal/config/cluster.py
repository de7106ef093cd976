"""The fields of a config that say where ./reproduce --slurm sends its jobs."""

import re
from typing import Annotated

from pydantic import AfterValidator, Field, model_validator

from vicinal.config.section import Int, Section

# Flags of sbatch that are set by a field of the cluster, and those that the workflow sets.
OWN_FIELDS = {
    "partition": "partition", "account": "account", "qos": "qos", "constraint": "constraint", "mem": "mem_mb",
    "time": "max_minutes", "gres": "gres", "gpus": "gres", "mem-per-cpu": "mem_per_cpu",
}  # fmt: skip
SBATCH_SET = OWN_FIELDS.keys() | {
    "job-name", "output", "error", "parsable", "export", "comment", "chdir", "workdir", "nodes", "clusters",
    "requeue", "no-requeue", "dependency", "array", "wrap", "wait", "test-only", "help", "usage", "version",
}  # fmt: skip


def _slurm_name(name: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.,:@+-]{0,127}", name):
        raise ValueError(f"{name!r}: use letters, digits and _ . , : @ + -, as Slurm's own names do")
    return name


def _sbatch_flag(flag: str) -> str:
    """Check that a flag is left to the user by the workflow; it is quoted before a shell sees it."""
    found = re.fullmatch(r"--([a-z][a-z-]*)(=[^=\s]\S*)?", flag)
    if not found or not flag.isprintable():
        raise ValueError(f"{flag!r}: give each flag by its long name, e.g. --exclude=node07, without spaces")
    if found[1] in SBATCH_SET or found[1].startswith(("mem-", "ntasks", "cpus-", "gpus-")):
        instead = f"set cluster.{OWN_FIELDS[found[1]]} instead" if found[1] in OWN_FIELDS else "the workflow sets it"
        raise ValueError(f"--{found[1]} cannot be set here: {instead}")
    return flag


SlurmName = Annotated[str, AfterValidator(_slurm_name)]


class Cluster(Section):
    """Where ./reproduce --slurm sends its jobs; nothing here changes what is computed."""

    partition: SlurmName | None = Field(None, description="partition of the jobs; null: the cluster's default one")
    account: SlurmName | None = Field(None, description="account that is charged; null: your default one")
    qos: SlurmName | None = Field(None, description="quality of service, if the site asks for one")
    gpu_type: SlurmName | None = Field(None, description="GPU model as sinfo -o %G shows it, e.g. h100; null: any")
    constraint: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.|&*()\[\]-]{1,200}$")] | None = Field(
        None, description="features that a node must have, e.g. a100|h100"
    )
    gres: Annotated[str, Field(pattern=r"^[A-Za-z0-9_]+(:[A-Za-z0-9_.]+)?(:[0-9]+)?$")] | None = Field(
        None, description="the GPU of a job as --gres asks for it, e.g. gpu:1 or gpu:a100:1; null: as --gpus=1 does"
    )
    mem_mb: Int | None = Field(
        8_000, ge=100, description="memory of a job, MB; doubled on every new attempt; null: none is asked for"
    )
    mem_per_cpu: bool = Field(False, description="ask for the memory by --mem-per-cpu, a share for each CPU core")
    max_mem_mb: Int = Field(64_000, ge=100, description="no attempt asks for more memory than this, MB")
    max_minutes: Int = Field(
        1_440, ge=1, description="no job asks for more time than this; a longer training resumes in its next attempt"
    )
    max_jobs: Int = Field(100, ge=1, description="jobs in the queue at a time")
    retries: Int = Field(3, ge=0, description="new attempts at a job that failed, hit its limits or lost its node")
    accounting: bool | None = Field(
        None, description="whether to ask sacct how a job ended (else squeue); null: as Slurm is configured"
    )
    extra: list[Annotated[str, AfterValidator(_sbatch_flag)]] = Field(
        [], description="more flags of sbatch, e.g. --exclude=node07"
    )

    @model_validator(mode="after")
    def _memory_below_its_limit(self) -> "Cluster":
        if self.mem_mb is not None and self.mem_mb > self.max_mem_mb:
            raise ValueError(f"mem_mb {self.mem_mb} is more than max_mem_mb {self.max_mem_mb}")
        return self

    @model_validator(mode="after")
    def _one_gpu_type(self) -> "Cluster":
        if self.gres and self.gpu_type:
            raise ValueError(f"gres and gpu_type: give one of them, e.g. gres: gpu:{self.gpu_type}:1")
        return self
