"""The SLURM executor: when it submits again, and what it makes of what squeue says. With Slurm: tests/slurm."""

import asyncio
import logging
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from types import SimpleNamespace

import pytest
from snakemake_interface_executor_plugins.executors.base import SubmittedJobInfo

from vicinal.running import slurm_executor
from vicinal.running.slurm_executor import Executor, plugin, why_not_now

POLICY = "sbatch: error: Batch job submission failed: Job violates accounting/QOS policy (job submit limit, user's size"
POLICY += " and/or time limits)"


def refused(said):
    """Return the plugin's message on a submission that failed."""
    return f"SLURM sbatch failed. The error message was '{said}'.\n    sbatch call:\n        sbatch 'timed out'\n"


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (f"sbatch: error: QOSMaxSubmitJobPerUserLimit\n{POLICY}", "QOSMaxSubmitJobPerUserLimit"),
        (f"sbatch: error: AssocMaxSubmitJobLimit\n{POLICY}", "AssocMaxSubmitJobLimit"),
        (f"sbatch: error: AssocGrpSubmitJobsLimit\n{POLICY}", "AssocGrpSubmitJobsLimit"),
        (
            "sbatch: error: Slurm temporarily unable to accept job, sleeping and retrying",
            "temporarily unable to accept job",
        ),
        (
            "sbatch: error: Batch job submission failed: Resource temporarily unavailable",
            "Resource temporarily unavailable",
        ),
        ("sbatch: error: Batch job submission failed: Socket timed out on send/recv operation", "timed out"),
        ("sbatch: error: Batch job submission failed: Connection timed out", "timed out"),
        ("Unable to contact slurm controller (connect failure)", "Unable to contact slurm controller"),
        (f"sbatch: error: QOSMaxWallDurationPerJobLimit\n{POLICY}", None),
        (f"sbatch: error: QOSMaxGRESPerJob\n{POLICY}", None),
        ("sbatch: error: invalid partition specified: none", None),
        ("sbatch: error: Batch job submission failed: Requested time limit is invalid", None),
        ("sbatch: error: Batch job submission failed: Memory specification can not be satisfied", None),
    ],
)
def test_what_is_a_refusal_for_now(said, reason):
    assert why_not_now(refused(said), has_jobs=lambda: False) == reason


def test_a_limit_without_a_name_is_one_on_jobs_if_there_are_some():
    assert why_not_now(refused(POLICY), has_jobs=lambda: True) == "violates accounting/QOS policy"
    assert why_not_now(refused(POLICY), has_jobs=lambda: False) is None


def test_other_failures_are_failures():
    assert why_not_now("Job submission failed with exception: timed out", has_jobs=lambda: True) is None


@pytest.fixture
def executor(monkeypatch):
    """An executor without Snakemake and Slurm, which notes what it reports."""
    made = object.__new__(Executor)
    settings = SimpleNamespace(status_command="squeue", init_seconds_before_status_checks=0.01)
    made.workflow = SimpleNamespace(executor_settings=settings)
    made.logger, made.run_uuid = logging.getLogger("executor"), "run"
    made._ending, made._waits_for, made._unanswered = threading.Event(), None, set()
    made._job_submission_executor = ThreadPoolExecutor(1)
    made.reports = []
    monkeypatch.setattr(
        Executor, "report_job_success", lambda self, job: self.reports.append((job.external_jobid, None))
    )
    monkeypatch.setattr(
        Executor, "report_job_error", lambda self, job, msg, aux_logs=(): self.reports.append((job.external_jobid, msg))
    )
    monkeypatch.setattr(
        plugin.Executor, "_report_job_error_threadsafe", lambda self, job, msg: self.reports.append((job.job, msg))
    )
    yield made
    made._job_submission_executor.shutdown()


def look(executor, monkeypatch, tmp_path, states):
    """Return the ids of the jobs that are still awaited, after squeue said this."""

    @asynccontextmanager
    async def limiter():
        yield

    async def answer(command, logger):
        assert command.startswith("squeue ")
        return states, None if states is None else 0.1

    executor.status_rate_limiter = limiter()
    monkeypatch.setattr(slurm_executor, "query_job_status", answer)
    jobs = [SubmittedJobInfo(id_, id_, aux={"slurm_logfile": tmp_path / f"{id_}.log"}) for id_ in "123456"]

    async def collect():
        return [job.external_jobid async for job in executor.check_active_jobs(jobs)]

    return asyncio.run(collect())


def test_jobs_that_ended_are_reported_and_one_that_slurm_forgot_fails(executor, monkeypatch, tmp_path):
    (tmp_path / "1.log").write_text("")
    states = {"1": "COMPLETED", "2": "TIMEOUT", "3": "RUNNING", "4": "PREEMPTED", "6": "NODE_FAIL", "99": "FAILED"}
    assert look(executor, monkeypatch, tmp_path, states) == ["3", "4", "6"]
    assert executor.reports == [
        ("1", None),
        ("2", "SLURM-job '2' failed, SLURM status is: 'TIMEOUT'."),
        ("5", "SLURM-job '5' ended while nobody looked."),
    ]
    assert not (tmp_path / "1.log").exists()
    assert executor.next_seconds_between_status_checks == 0.01


def test_where_slurm_does_not_answer_all_jobs_are_awaited(executor, monkeypatch, tmp_path):
    assert look(executor, monkeypatch, tmp_path, None) == list("123456")
    assert executor.reports == []


def submissions(executor, monkeypatch, answers):
    """Submit a job; return how often that was tried, given what sbatch says each time (None: it takes the job)."""
    tried, done = [], threading.Event()

    def run_job(self, job):
        tried.append(job)
        if (said := answers[len(tried) - 1]) is not None:
            self._report_job_error_threadsafe(SubmittedJobInfo(job), refused(said))
        if said is None or self.reports:
            done.set()

    monkeypatch.setattr(plugin.Executor, "run_job", run_job)
    monkeypatch.setattr(Executor, "_in_queue", lambda self, job: None)
    executor._job_submission_executor.submit(executor.run_job, "job")
    assert done.wait(10)
    return len(tried)


def test_a_refused_job_is_submitted_until_it_is_taken(executor, monkeypatch, caplog):
    limit = "sbatch: error: QOSMaxSubmitJobPerUserLimit"
    assert submissions(executor, monkeypatch, [limit, limit, "timed out", None]) == 4
    assert executor.reports == []
    assert [record.message for record in caplog.records if record.event == "slurm"] == [
        "Slurm takes no job now (QOSMaxSubmitJobPerUserLimit): waiting, and asking again every 0.01 s; a smaller "
        "cluster.max_jobs keeps below the limit",
        "Slurm takes no job now (timed out): waiting, and asking again every 0.01 s",
    ]


def test_a_job_that_is_refused_for_good_fails_at_once(executor, monkeypatch):
    assert submissions(executor, monkeypatch, ["invalid partition"]) == 1
    assert executor.reports == [("job", refused("invalid partition"))]


def test_when_the_run_ends_nothing_is_submitted_any_more(executor, monkeypatch):
    executor.workflow.executor_settings.init_seconds_before_status_checks = 60
    tried = []

    def run_job(self, job):
        tried.append(job)
        self._report_job_error_threadsafe(SubmittedJobInfo(job), refused("timed out"))

    monkeypatch.setattr(plugin.Executor, "run_job", run_job)
    for job in ("first", "second"):
        executor._job_submission_executor.submit(executor.run_job, job)
    while not executor._unanswered:
        pass
    executor._end_submissions()
    executor.run_job("third")
    assert tried == ["first"]
    assert executor.reports == [("first", refused("timed out")), ("third", "not submitted: the run ends")]
