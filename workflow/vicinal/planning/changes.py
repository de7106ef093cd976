"""What a run would do, and why: plans compared with the results folder, which is only read."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vicinal.files import modified, read_object
from vicinal.jobs.plan import RETRAIN, recorded_key, recorded_parts
from vicinal.planning.plans import Plan, Ref
from vicinal.planning.reasons import Relatives, student_reason
from vicinal.results import STAGES, TRAINED
from vicinal.spec import is_given
from vicinal.words import count

# Of a result that an earlier run planned exactly like this, and did not come to, or did not finish.
UNFINISHED = "not finished yet"


@dataclass
class Change:
    """A job that would run."""

    plan: Plan  # of the artefact that it makes
    reasons: list[str]  # why, the plainest first; never empty
    # Ids of the models that it would train; the other models of the job are finished and kept.
    train: list[str] = field(default_factory=list)

    @property
    def rule(self) -> str:
        """Return the rule that makes it."""
        return STAGES[self.plan.stage].rule


def find_changes(plans: Iterable[Plan], results: Path) -> dict[Ref, Change]:
    """Return the jobs that would run, of the plans of all wanted artefacts (``build_plans``), upstream ones first."""
    plans = list(plans)
    relatives = Relatives(results)
    by_ref = {plan.ref: plan for plan in plans}
    changes: dict[Ref, Change] = {}
    for plan in plans:
        reasons = stale_reasons(plan, results, relatives) + _upstream_reasons(plan, by_ref, changes, results)
        if reasons:
            changes[plan.ref] = Change(plan, list(dict.fromkeys(reasons)), _to_train(plan, changes, results))
    return changes


def stale_reasons(plan: Plan, results: Path, relatives: Relatives) -> list[str]:
    """Return why an artefact is stale by itself, whatever is upstream; empty where it is fresh."""
    output = results / plan.output
    parts = recorded_parts(output)
    if not output.exists():
        if parts:
            return [f"missing: {output}"]
        is_planned = read_object(results / plan.path).get("key") == plan.key
        return [UNFINISHED] if is_planned else relatives.reasons(plan)
    if recorded_key(output) == RETRAIN:
        return ["--retrain"]
    if recorded_key(output) != plan.key:
        return _changed_parts(plan, parts) or ["settings"]
    gone = [directory for directory in plan.directories if not (results / directory).is_dir()]
    return [f"missing: {results / directory}" for directory in gone]


def _changed_parts(plan: Plan, parts: dict[str, Any]) -> list[str]:
    """Return how the plan of an output differs from the plan that the output was made from."""
    if not parts:
        return ["made by another version of this workflow"]
    reasons = []
    if parts.get("code") != plan.content.get("code"):
        reasons.append(f"code of {plan.stage}")
    if "students" in plan.content:
        reasons += _changed_students(plan.content["students"], parts.get("students", {}))
    if "units" in plan.content:
        reasons += _changed_units(plan.content["units"], parts.get("units", {}))
    if parts.get("files") != plan.content.get("files"):
        reasons.append("template of the report")
    if plan.stage == "corruptions" and not reasons and parts.get("upstream") == plan.content["upstream"]:
        reasons.append("another archive of corrupted images")
    before, now = parts.get("upstream", {}), plan.content["upstream"]
    new, gone = now.keys() - before.keys(), before.keys() - now.keys()
    if plan.stage == "experiments" and (new or gone):
        how = "other" if new and gone else "more" if new else "fewer"
        reasons.append(count(len(new or gone), f"{how} result"))
    reasons += [f"after {ref}" for ref in now if ref in before and before[ref] != now[ref]]
    return reasons


def _changed_students(now: dict[str, Any], before: dict[str, Any]) -> list[str]:
    kept = [student["own"] for student in before.values()]
    reasons = [student_reason(student["own"], kept) for id_, student in now.items() if id_ not in before]
    if any(now[id_]["code"] != before[id_]["code"] for id_ in now.keys() & before.keys()):
        reasons.append("code of cohorts")
    if before.keys() - now.keys():
        reasons.append("fewer students")
    return reasons


def _changed_units(now: dict[str, Any], before: dict[str, Any]) -> list[str]:
    """Return how what a job measures differs from what it measured."""
    reasons = []
    if any(id_ in before and before[id_][0] != unit["code"] for id_, unit in now.items()):
        reasons.append("code of its measurements")
    wanted = {model for unit in now.values() for model in unit["models"]}
    measured = {model for _, models in before.values() for model in models}
    for models, how in ((wanted - measured, "more"), (measured - wanted, "fewer")):
        reasons += [count(len(models), f"{how} model")] if models else []
    return reasons


def _upstream_reasons(plan: Plan, by_ref: dict[Ref, Plan], changes: dict[Ref, Change], results: Path) -> list[str]:
    """Return which upstream artefacts will be made anew, or were made after this one."""
    reasons = [f"after {'/'.join(ref)}" for ref in plan.upstream if ref in changes]
    made = modified(results / plan.output)
    if made is None:
        return reasons
    for ref in plan.upstream:
        upstream = modified(results / by_ref[ref].output)
        if ref not in changes and upstream is not None and upstream > made:
            reasons.append(f"older than {'/'.join(ref)}")
    return reasons


def _to_train(plan: Plan, changes: dict[Ref, Change], results: Path) -> list[str]:
    """Return the models of a training job that are not finished as they are wanted; none where they are given."""
    if plan.stage not in TRAINED or is_given(plan.content["spec"]):
        return []
    records = plan.code_records(results)
    if any(changes[ref].train for ref in plan.upstream if ref in changes):
        return [id_ for id_, *_ in records]
    found = {id_: read_object(path) for id_, path, *_ in records}  # the job compares the checksums too
    return [id_ for id_, _, spec, code in records if found[id_].get("spec") != spec or found[id_].get("code") != code]
