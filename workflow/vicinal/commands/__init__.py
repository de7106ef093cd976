"""The commands of ./reproduce, a module each: ``add_arguments(parser)`` and ``main(args)``, which returns a status."""

# Without a command an experiment is run.
DEFAULT = "run"
# command, which is the name of its module here → what it does
COMMANDS = {
    "run": "run an experiment (this word can be left out)",
    "plan": "say what would run and why, how long it would take and the disk it needs",
    "status": "show what runs, what is finished and what failed, from any shell",
    "report": "make claims, figures and report again from the tables alone",
    "verify": "trace every table and figure to results whose records and checksums agree",
    "gc": "list results that no experiment refers to; remove them on request",
}
