"""Snakemake with a SLURM executor that waits where Slurm takes no job, and never for a job that Slurm has forgotten.

``./reproduce --slurm`` starts this module in place of ``snakemake``. The executor is that of
snakemake-executor-plugin-slurm, which counts a refused submission as a failed attempt, and which without accounting
asks sacct all the same where Slurm forgets finished jobs soon.
"""

import re
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from threading import Event

import snakemake_executor_plugin_slurm as plugin
from snakemake_executor_plugin_slurm.job_status_query import query_job_status, query_job_status_squeue
from snakemake_executor_plugin_slurm.utils import get_job_wildcards
from snakemake_interface_executor_plugins.executors.base import SubmittedJobInfo
from snakemake_interface_executor_plugins.jobs import JobExecutorInterface

# The event by which the logger plugin tells our lines to the user from those of the executor.
EVENT = "slurm"
# What sbatch says where it may take the same job later: a limit on jobs in the queue, or a controller that is busy.
LIMIT = r"\w+SubmitJob\w*Limit|temporarily unable to accept job|Resource temporarily unavailable"
BUSY = r"timed out|time-?out|unable to contact slurm controller|zero bytes were transmitted"
# And where it does not say which: old ones do not name the limit. It is one on jobs if some of ours are in the queue.
SOME_LIMIT, ANY_LIMIT = "violates accounting/QOS policy", r"(?:QOS|Assoc)\w+Limit"
# How a job ends badly. Those that a node's failure or preemption ends are put back into the queue.
FAILED = {"BOOT_FAIL", "CANCELLED", "DEADLINE", "FAILED", "OUT_OF_MEMORY", "TIMEOUT"}


def why_not_now(message: str, has_jobs: Callable[[], bool]) -> str | None:
    """Return why Slurm takes no job now, by the plugin's message; None if it will not take this one later either."""
    reason = message.partition("The error message was '")[2].partition("    sbatch call:")[0]
    if found := re.search(LIMIT, reason) or re.search(BUSY, reason, re.IGNORECASE):
        return found[0]
    return SOME_LIMIT if SOME_LIMIT in reason and not re.search(ANY_LIMIT, reason) and has_jobs() else None


def _queue(*options: str) -> list[str]:
    """Return id and comment of jobs in the queue; none where Slurm does not answer."""
    command = ["squeue", "--noheader", "--format=%i|%k", *options]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.splitlines()


class Executor(plugin.Executor):
    """The plugin's executor, with submissions that are tried again and, without accounting, its own look at squeue."""

    def __post_init__(self, *args, **kwargs) -> None:
        super().__post_init__(*args, **kwargs)
        self._ending = Event()
        self._waits_for: str | None = None
        # Jobs that Slurm may have taken although sbatch failed.
        self._unanswered: set[JobExecutorInterface] = set()

    @property
    def _seconds(self) -> int:
        """Return the time between two questions to Slurm."""
        return self.workflow.executor_settings.init_seconds_before_status_checks

    def run_job(self, job: JobExecutorInterface) -> None:
        """Submit a job, unless the run ends, or an earlier submission came through after all."""
        if self._ending.is_set():
            super()._report_job_error_threadsafe(SubmittedJobInfo(job), "not submitted: the run ends")
        elif job in self._unanswered and (id_ := self._in_queue(job)):
            log = self.slurm_logdir / f"rule_{job.name}" / get_job_wildcards(job) / f"{id_}.log"
            self._report_job_submission_threadsafe(SubmittedJobInfo(job, id_, aux={"slurm_logfile": log}))
        else:
            super().run_job(job)

    def _in_queue(self, job: JobExecutorInterface) -> str | None:
        """Return the id under which a job of this run waits or runs."""
        wanted = f"rule_{job.name}_wildcards_{get_job_wildcards(job)}"
        found = (line.split("|", 1) for line in _queue(f"--name={self.run_uuid}", "--states=PENDING,RUNNING"))
        return next((id_ for id_, made in found if made == wanted), None)

    def _report_job_submission_threadsafe(self, job_info: SubmittedJobInfo) -> None:
        self._unanswered.discard(job_info.job)
        self._waits_for = None
        super()._report_job_submission_threadsafe(job_info)

    def _report_job_error_threadsafe(self, job_info: SubmittedJobInfo, msg: str) -> None:
        """Wait and submit again where Slurm takes no job now; the attempt is not spent. Otherwise the job failed."""
        reason = why_not_now(msg, lambda: bool(_queue("--me")))
        if reason is None or self._ending.is_set():
            super()._report_job_error_threadsafe(job_info, msg)
            return
        if reason != self._waits_for:
            self._waits_for = reason
            hint = (
                "" if re.search(BUSY, reason, re.IGNORECASE) else "; a smaller cluster.max_jobs keeps below the limit"
            )
            text = f"Slurm takes no job now ({reason}): waiting, and asking again every {self._seconds} s{hint}"
            self.logger.warning(text, extra={"event": EVENT})
        self._unanswered.add(job_info.job)
        if self._ending.wait(self._seconds):
            super()._report_job_error_threadsafe(job_info, msg)
        else:
            self._job_submission_executor.submit(self.run_job, job_info.job)

    async def check_active_jobs(self, active_jobs: list[SubmittedJobInfo]) -> AsyncIterator[SubmittedJobInfo]:
        """Report the jobs that have ended, and yield the others."""
        if self.get_status_command() != "squeue":
            async for job in super().check_active_jobs(active_jobs):
                yield job
            return
        self.next_seconds_between_status_checks = self._seconds
        states = None
        if active_jobs:
            async with self.status_rate_limiter:
                states, _ = await query_job_status(query_job_status_squeue(self.run_uuid), self.logger)
        for job in active_jobs:
            state = "UNANSWERED" if states is None else states.get(job.external_jobid, "FORGOTTEN")
            log = job.aux["slurm_logfile"]
            if state == "COMPLETED":
                self.report_job_success(job)
                log.unlink(missing_ok=True)
            elif state in FAILED or state == "FORGOTTEN":
                # Its script finds what was finished, so a job whose end nobody saw is tried again.
                how = "ended while nobody looked" if state == "FORGOTTEN" else f"failed, SLURM status is: '{state}'"
                self.report_job_error(job, msg=f"SLURM-job '{job.external_jobid}' {how}.", aux_logs=[str(log)])
            else:
                yield job

    def cancel(self) -> None:
        """Submit nothing more, then cancel the jobs."""
        self._end_submissions()
        super().cancel()

    def shutdown(self) -> None:
        """Submit nothing more, and end."""
        self._end_submissions()
        super().shutdown()

    def _end_submissions(self) -> None:
        self._ending.set()
        self._job_submission_executor.shutdown(wait=True, cancel_futures=True)


if __name__ == "__main__":
    plugin.Executor = Executor
    from snakemake.cli import main  # it looks for plugins now

    sys.exit(main())
