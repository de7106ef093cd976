"""What a run would do, and why: wanted plans against what lies in the results folder. Changes nothing."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vicinal.files import read_object
from vicinal.jobs.plan import recorded_key, recorded_parts
from vicinal.planning.plans import Plan, Ref
from vicinal.planning.reasons import Relatives, student_reason
from vicinal.results import RECORD, STAGES, model_folder
from vicinal.spec import is_given


@dataclass
class Change:
    """A job that would run.

    Attributes:
        plan: of the artefact that it makes.
        reasons: why, the plainest first; never empty.
        train: ids of the models that it would train; what else the job covers is finished and kept.
    """

    plan: Plan
    reasons: list[str]
    train: list[str] = field(default_factory=list)

    @property
    def rule(self) -> str:
        """Return the rule that makes it."""
        return STAGES[self.plan.stage].rule


def find_changes(plans: Iterable[Plan], results: Path) -> dict[Ref, Change]:
    """Return the jobs that would run, upstream ones first, each with its reasons.

    Args:
        plans: of all wanted artefacts, upstream ones first (``build_plans``).
        results: the results folder.
    """
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
    """Return why an artefact is stale by itself; empty where it is fresh."""
    output = results / plan.output
    parts = recorded_parts(output)
    if not output.exists():
        return [f"missing: {output}"] if parts else relatives.reasons(plan)
    if recorded_key(output) != plan.key:
        return _differences(plan, parts) or ["settings"]
    gone = [directory for directory in plan.directories if not (results / directory).is_dir()]
    return [f"missing: {results / directory}" for directory in gone]


def _differences(plan: Plan, parts: dict[str, Any]) -> list[str]:
    """Return in what the plan of an output that is there differs from the one that it was made from."""
    if not parts:
        return ["made by another version of this workflow"]
    reasons = []
    if parts.get("code") != plan.content.get("code"):
        reasons.append(f"code of {plan.stage}")
    if "students" in plan.content:
        reasons += _student_differences(plan.content["students"], parts.get("students", {}))
    if parts.get("files") != plan.content.get("files"):
        reasons.append("template of the report")
    if plan.stage == "corruptions" and not reasons and parts.get("upstream") == plan.content["upstream"]:
        reasons.append("another archive of corrupted images")
    before, now = parts.get("upstream", {}), plan.content["upstream"]
    if plan.stage == "experiments":
        reasons += _other_results(now.keys() - before.keys(), before.keys() - now.keys())
    reasons += [f"after {ref}" for ref in now if ref in before and before[ref] != now[ref]]
    return reasons


def _other_results(new: set[str], gone: set[str]) -> list[str]:
    if new and gone:
        return [f"{len(new)} other results"]
    return [f"{len(new)} more results"] if new else [f"{len(gone)} fewer results"] if gone else []


def _student_differences(now: dict[str, Any], before: dict[str, Any]) -> list[str]:
    kept = [student["own"] for student in before.values()]
    reasons = [student_reason(student["own"], kept) for id_, student in now.items() if id_ not in before]
    if any(now[id_]["code"] != before[id_]["code"] for id_ in now.keys() & before.keys()):
        reasons.append("code of cohorts")
    if before.keys() - now.keys():
        reasons.append("fewer students")
    return reasons


def _upstream_reasons(plan: Plan, by_ref: dict[Ref, Plan], changes: dict[Ref, Change], results: Path) -> list[str]:
    """Return which upstream artefacts are made anew, or were after this one."""
    reasons = [f"after {'/'.join(ref)}" for ref in plan.upstream if ref in changes]
    made = _modified(results / plan.output)
    if made is None:
        return reasons
    for ref in plan.upstream:
        upstream = _modified(results / by_ref[ref].output)
        if ref not in changes and upstream is not None and upstream > made:
            reasons.append(f"older than {'/'.join(ref)}")
    return reasons


def _modified(path: Path) -> int | None:
    try:
        return path.stat().st_mtime_ns
    except (FileNotFoundError, NotADirectoryError):
        return None


def _to_train(plan: Plan, changes: dict[Ref, Change], results: Path) -> list[str]:
    """Return the models of a training job that are not finished as they are wanted; none where they are given."""
    if is_given(plan.content.get("spec", {})):
        return []
    after = {id_ for ref in plan.upstream if ref in changes for id_ in changes[ref].train}
    if plan.stage == "teachers":
        wanted = {plan.id: (results / plan.directories[0], plan.content["spec"], plan.content["code"])}
    elif plan.stage == "cohorts":
        wanted = {
            id_: (model_folder(results, "student", id_), {**plan.content["spec"], **student["own"]}, student["code"])
            for id_, student in plan.content["students"].items()
        }
    else:
        return []
    return [id_ for id_, (directory, spec, code) in wanted.items() if after or not _is_model(directory, spec, code)]


def _is_model(directory: Path, spec: dict, code: str) -> bool:
    """Tell whether a directory's record is of this spec and code; the job compares the checksums too."""
    record = read_object(directory / RECORD)
    return record.get("spec") == spec and record.get("code") == code
