"""Every artefact of an experiment against its plan, upstream ones first."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from vicinal.changes import stale_reasons
from vicinal.fingerprint import named_modules
from vicinal.measurements import needed_files
from vicinal.plan import recorded_key
from vicinal.planning import Plan, Ref
from vicinal.records import EVALUATION, RECORD
from vicinal.relatives import Relatives
from vicinal.verify.analysis import check_analysis
from vicinal.verify.checks import (
    anew,
    check_evaluation,
    check_listed,
    check_model,
    check_store,
    check_teacher,
    compare,
    weights_of,
)
from vicinal.verify.findings import RUN, Ledger
from vicinal.verify.mixtures import note_record


class Walk:
    """Checks the artefacts of plans, one after another, and remembers what the later ones are made from.

    Args:
        plans: of all wanted artefacts, upstream ones first (``build_plans``).
        results: the results folder.
        ledger: reads the files and gets the problems.
    """

    def __init__(self, plans: Iterable[Plan], results: Path, ledger: Ledger) -> None:
        self.plans = list(plans)
        self.results, self.ledger, self.findings = results, ledger, ledger.findings
        self._relatives = Relatives(results)
        # What lies there now: the checksum of each data store's content, of each teacher's and student's weights.
        self._data: dict[str, str | None] = {}
        self._weights: dict[str, str | None] = {}
        self._teacher_of: dict[str, str | None] = {}
        self._troubled: set[Ref] = set()

    def run(self) -> None:
        """Check everything."""
        checks = {
            "downloads": self._download,
            "data": self._store,
            "teachers": self._teacher,
            "cohorts": self._cohort,
            "corruptions": self._corruptions,
            "evaluations": self._evaluation,
            "robustness": self._evaluation,
        }
        for plan in self.plans:
            before = len(self.findings.problems)
            fresh = self._is_fresh(plan)
            if (self.results / plan.output).exists() or plan.directories:
                if plan.stage in checks:
                    checks[plan.stage](plan, fresh)
                else:
                    troubled = any(ref in self._troubled for ref in plan.upstream)
                    check_analysis(self.ledger, self.results, plan, fresh, recompute=fresh and not troubled)
            if len(self.findings.problems) > before or any(ref in self._troubled for ref in plan.upstream):
                self._troubled.add(plan.ref)
            self.ledger.next()

    def _is_fresh(self, plan: Plan) -> bool:
        """Tell whether an output is there and of its plan; report why it is not."""
        output = self.results / plan.output
        if not output.exists():
            self.findings.add(output, "missing", RUN, "missing")
            return False
        if recorded_key(output) == plan.key:
            return True
        # Where an upstream artefact is stale, so is everything after it.
        reasons = stale_reasons(plan, self.results, self._relatives)
        self.findings.add(output, f"stale ({'; '.join(reasons[:2]) or 'settings'})", RUN, "stale")
        return False

    def _download(self, plan: Plan, fresh: bool) -> None:
        path = self.results / plan.output
        record = self.ledger.record(path, RUN)
        spec = plan.content["spec"]
        if record and any(record.get(key) != spec[key] for key in ("name", "source", "files")):
            self.findings.add(path, "of other files than are wanted", f"delete {path} and {RUN}")

    def _corruptions(self, plan: Plan, fresh: bool) -> None:
        path = self.results / plan.output
        record = self.ledger.record(path, RUN)
        if record and record.get("name") != plan.content["spec"]["name"]:
            self.findings.add(path, "of other images than are wanted", f"delete {path} and {RUN}")
        if fresh:
            compare(self.ledger, path, record, self._data_of(plan), f"delete {path} and {RUN}")

    def _store(self, plan: Plan, fresh: bool) -> None:
        directory = (self.results / plan.output).parent
        meta = check_store(self.ledger, directory)
        if fresh:
            wanted = {"spec": plan.content["spec"], "code": plan.content["code"]}
            compare(self.ledger, directory / "meta.json", meta, wanted, anew(directory))
        self._data[plan.id] = meta.get("sha256")
        made = self.ledger.record(directory / "provenance.json", anew(directory))
        note_record(self.findings, "data", {**meta, "provenance": made.get("provenance")} if meta else {})

    def _teacher(self, plan: Plan, fresh: bool) -> None:
        directory = (self.results / plan.output).parent
        if not (fresh or (directory / "model").is_dir()):
            return
        record = check_teacher(self.ledger, directory)
        if fresh:
            wanted = {"id": plan.id, "spec": plan.content["spec"], "code": plan.content["code"]}
            wanted |= self._data_of(plan)
            compare(self.ledger, directory / "model" / RECORD, record, wanted, anew(directory))
        self._know(plan.id, record, "teachers", plan.content["spec"])

    def _cohort(self, plan: Plan, fresh: bool) -> None:
        teacher = self._upstream(plan, "teachers")
        self._teacher_of[plan.id] = teacher
        made_from = self._made_from(plan, teacher)
        for id_, student in plan.content["students"].items():
            directory = self.results / "students" / id_
            if not (fresh or directory.is_dir()):
                continue
            spec = {**plan.content["spec"], **student["own"]}
            record = check_model(self.ledger, directory, anew(directory))
            if fresh:
                wanted = {"id": id_, "spec": spec, "code": student["code"], **made_from}
                compare(self.ledger, directory / RECORD, record, wanted, anew(directory))
            self._know(id_, record, "cohorts", spec)
        if fresh:
            path = self.results / plan.output
            manifest = self.ledger.record(path, anew(path.parent))
            found = {id_: self._weights.get(id_) for id_ in plan.content["students"]}
            check_listed(self.ledger, path, manifest.get("students"), found, "students")
            compare(self.ledger, path, manifest, made_from, anew(path.parent))

    def _evaluation(self, plan: Plan, fresh: bool) -> None:
        path = self.results / plan.output
        unit = self._upstream(plan, "teachers")
        cohort = self._upstream(plan, "cohorts")
        teacher = self._teacher_of.get(cohort) if cohort else unit
        made_from = self._made_from(plan, teacher) if plan.stage == "evaluations" else self._data_of(plan)
        shared = {"spec": plan.content["spec"], "code": plan.content["code"], **made_from}
        found = {}
        measured = plan.content["spec"]["unit"]
        named = named_modules(measured)
        # What is stale may be of older code, which wrote other files.
        needed = needed_files(plan.stage, measured["stage"] == "teacher") if fresh else ()
        for id_ in plan.content["models"]:
            directory = path.parent / id_
            if not (fresh or directory.is_dir()):
                continue
            record = check_evaluation(self.ledger, directory, anew(directory), needed)
            if fresh:
                compare(self.ledger, directory / EVALUATION, record, {"id": id_, **shared}, anew(directory))
                compare(self.ledger, directory / EVALUATION, record, self._known(id_), anew(directory))
            note_record(self.findings, plan.stage, record, named)
            found[id_] = self.ledger.sha256(directory / EVALUATION)
        if fresh:
            manifest = self.ledger.record(path, anew(path.parent))
            check_listed(self.ledger, path, manifest.get("models"), found, "measured models")

    def _know(self, id_: str, record: dict[str, Any], stage: str, spec: dict[str, Any]) -> None:
        self._weights[id_] = weights_of(record)
        note_record(self.findings, stage, record, named_modules(spec))

    def _made_from(self, plan: Plan, teacher: str | None) -> dict[str, str | None]:
        """Return what a record must say of data and teacher; of what does not lie here nothing can be said."""
        if teacher is None:
            return {**self._data_of(plan), "teacher_sha256": None}
        weights = self._weights.get(teacher)
        return self._data_of(plan) | ({"teacher_sha256": weights} if weights else {})

    def _data_of(self, plan: Plan) -> dict[str, str | None]:
        found = self._data.get(self._upstream(plan, "data") or "")
        return {"data_sha256": found} if found else {}

    def _known(self, model: str) -> dict[str, str | None]:
        return {"weights_sha256": self._weights[model]} if self._weights.get(model) else {}

    @staticmethod
    def _upstream(plan: Plan, stage: str) -> str | None:
        return next((id_ for found, id_ in plan.upstream if found == stage), None)
