"""A logger plugin of Snakemake that passes its events to ``./reproduce``, a line of JSON each.

Snakemake finds it by its name, and uses it with ``--logger vicinal --logger-vicinal-pipe NUMBER``.
"""

import json
import os
from contextlib import suppress
from dataclasses import dataclass, field
from logging import LogRecord

from snakemake_interface_logger_plugins.base import LogHandlerBase
from snakemake_interface_logger_plugins.common import LogEvent
from snakemake_interface_logger_plugins.settings import LogHandlerSettingsBase

# Event → the fields that are passed on with its name.
FIELDS = {
    LogEvent.RUN_INFO: ("stats",),
    LogEvent.JOB_INFO: ("jobid", "rule_name", "wildcards", "log"),
    LogEvent.JOB_FINISHED: ("job_id",),
    LogEvent.JOB_ERROR: ("jobid", "rule_msg", "log"),
    LogEvent.ERROR: ("msg",),
    # of our executor (vicinal.running.slurm_executor)
    "slurm": ("msg",),
}


@dataclass
class LogHandlerSettings(LogHandlerSettingsBase):
    """The options of the plugin."""

    pipe: int | None = field(
        default=None, metadata={"help": "file descriptor to write events to", "type": int, "required": True}
    )


class LogHandler(LogHandlerBase):
    """Writes events to a pipe; Snakemake's own output stays as it is."""

    writes_to_stream = False
    writes_to_file = False
    has_filter = True
    has_formatter = True
    needs_rulegraph = False

    def __post_init__(self) -> None:
        """Open the pipe, which lives as long as Snakemake does."""
        self._pipe = os.fdopen(self.settings.pipe, "w", encoding="utf-8", buffering=1)  # type: ignore[union-attr]

    def emit(self, record: LogRecord) -> None:
        """Write one event."""
        event = getattr(record, "event", None)
        if event in FIELDS:
            values = {name: getattr(record, name) for name in FIELDS[event]}
            with suppress(BrokenPipeError):  # if nobody reads any more the run goes on
                self._pipe.write(json.dumps({"event": event, **values}, default=str) + "\n")
