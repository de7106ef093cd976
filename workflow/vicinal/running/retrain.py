"""Training models anew on request. Nothing is deleted: a mark makes their records stale, and the run replaces them."""

import sys
from collections.abc import Iterable
from fnmatch import fnmatchcase
from pathlib import Path

from vicinal.errors import VicinalError
from vicinal.files import read_object, write_json
from vicinal.jobs.plan import RETRAIN, ask_again
from vicinal.planning.plans import CodeRecord, Plan
from vicinal.results import TRAINED
from vicinal.spec import is_given
from vicinal.words import count

SHOWN = 20
YES = ("y", "yes")
KEPT = (
    "each keeps its files until the new ones are whole (to keep them after all: stop the run, then --accept-code); "
    "students whose teacher gets other weights are trained anew too, and what has other weights is measured again"
)


def retrain(plans: Iterable[Plan], patterns: list[str], results: Path) -> None:
    """Say which finished models are to be trained anew, ask on a terminal whether to do it, and mark them.

    Patterns are of ids, as a shell's; a cohort stands for all its students. Raises VicinalError: there is no such
    model, or the user declined; nothing is marked.
    """
    chosen = find_models(plans, patterns, results)
    models = [record for _, records in chosen for record in records]
    if not models:
        raise VicinalError(
            f"--retrain {' '.join(patterns)}: no finished model of this run has such a name; patterns are of ids, e.g. "
            "'resnet8_*_s0-*': see results/teachers, results/students and results/cohorts"
        )
    teachers = sum(len(records) for plan, records in chosen if plan.stage == "teachers")
    print(f"to be trained anew: {count(teachers, 'teacher')}, {count(len(models) - teachers, 'student')}")
    for record in models[:SHOWN]:
        print(f"  {record.id}")
    if len(models) > SHOWN:
        print(f"  and {len(models) - SHOWN} more")
    print(KEPT, flush=True)
    if sys.stdin.isatty() and sys.stdout.isatty() and input("Train them anew? [y/N] ").strip().lower() not in YES:
        raise VicinalError("--retrain: nothing is changed")
    for plan, records in chosen:
        for record in records:
            write_json(record.path, {**read_object(record.path), "code": RETRAIN})
        ask_again(results / plan.output)


def find_models(plans: Iterable[Plan], patterns: list[str], results: Path) -> list[tuple[Plan, list[CodeRecord]]]:
    """Return the jobs that train finished models of these names, each with the records of these models."""
    found = []
    for plan in plans:
        if plan.stage in TRAINED and not is_given(plan.content["spec"]):
            records = [
                record
                for record in plan.code_records(results)
                if record.path.exists() and any(fnmatchcase(id_, p) for id_ in (plan.id, record.id) for p in patterns)
            ]
            found += [(plan, records)] if records else []
    return found
