"""The commands of ./reproduce, a module each with ``add_arguments(parser)`` and ``main(args)``."""

# Without a command an experiment is run.
DEFAULT = "run"
# command (the name of its module here) → what it does
COMMANDS = {
    "run": "run an experiment (this word can be left out)",
    "plan": "show what would run and why, how long it would take and the disk it needs",
    "status": "show what runs, what is finished and what failed, from any shell",
    "report": "make claims, figures and report again, from the tables only",
    "verify": "trace every table and figure to results whose records and checksums agree",
    "gc": "list results that no experiment refers to; remove them on request",
}
