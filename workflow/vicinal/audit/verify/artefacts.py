"""Every artefact of an experiment against its plan, upstream ones first."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import track
from safetensors import SafetensorError, safe_open

from vicinal.audit.verify.analysis import check_analysis
from vicinal.audit.verify.findings import RUN, Findings, Ledger
from vicinal.audit.verify.layout import find_foreign
from vicinal.audit.verify.mixtures import accepted, mixture_notes
from vicinal.data.store import FORMS, META
from vicinal.errors import VicinalError, describe
from vicinal.evaluation.files import needed_files
from vicinal.jobs.fingerprint import named_modules
from vicinal.jobs.plan import recorded_key
from vicinal.planning.artefacts import Artefacts
from vicinal.planning.changes import stale_reasons
from vicinal.planning.plans import Plan, Ref, build_plans
from vicinal.planning.reasons import Relatives
from vicinal.results import EVALUATION, HISTORY, RECORD, WEIGHTS, model_folder


def verify(artefacts: Artefacts, results: Path) -> tuple[Findings, Ledger]:
    """Check all that experiments consist of against their plans, and report what is foreign or mixed. Reads only.

    Whether each output is there and of the wanted plan, whether its files have the recorded checksums, and whether it
    was made from what lies there now. Tables and claims are computed again and compared exactly.

    Args:
        artefacts: of the experiments.
        results: the results folder.
    """
    plans = list(build_plans(artefacts))
    findings = Findings()
    ledger = Ledger(findings)
    console = Console(stderr=True)
    Walk(track(plans, "verifying", console=console, disable=not console.is_terminal), results, ledger).run()
    find_foreign(findings, results, [*artefacts.studies, *filter(None, [artefacts.collection])])
    findings.mixtures += mixture_notes(findings)
    return findings, ledger


class Walk:
    """Checks the artefacts of plans, one after another, and remembers what the later ones are made from.

    Args:
        plans: of all wanted artefacts, upstream ones first (``build_plans``).
        results: the results folder.
        ledger: reads the files and gets the problems.
    """

    def __init__(self, plans: Iterable[Plan], results: Path, ledger: Ledger) -> None:
        self.plans, self.results = plans, results
        self.ledger, self.findings = ledger, ledger.findings
        self._relatives = Relatives(results)
        # What lies there now: the SHA-256 of each data store's content, of each teacher's and student's weights. What
        # is missing has none, and nothing can be said of what was made from it.
        self._data: dict[str, str] = {}
        self._weights: dict[str, str] = {}
        self._teacher_of: dict[str, str | None] = {}
        self._troubled: set[Ref] = set()

    def run(self) -> None:
        """Check everything."""
        checks = {
            "downloads": self._record,
            "weights": self._weights_record,
            "data": self._store,
            "corruptions": self._record,
            "teachers": self._teacher,
            "cohorts": self._cohort,
            "evaluations": self._measurement,
            "robustness": self._measurement,
        }
        for plan in self.plans:
            before = len(self.findings.problems)
            troubled = any(ref in self._troubled for ref in plan.upstream)
            fresh = self._is_fresh(plan)
            if (self.results / plan.output).exists() or plan.directories:
                if plan.stage in checks:
                    checks[plan.stage](plan, fresh)
                else:
                    check_analysis(self.ledger, self.results, plan, fresh, recompute=fresh and not troubled)
            if troubled or len(self.findings.problems) > before:
                self._troubled.add(plan.ref)

    def _is_fresh(self, plan: Plan) -> bool:
        """Return whether an output is there and of its plan; report why it is not."""
        output = self.results / plan.output
        if not output.exists():
            self.findings.add(output, "missing", RUN, "missing")
            return False
        if recorded_key(output) == plan.key:
            return True
        reasons = stale_reasons(plan, self.results, self._relatives)
        self.findings.add(output, f"stale ({'; '.join(reasons[:2]) or 'settings'})", RUN, "stale")
        return False

    def _record(self, plan: Plan, fresh: bool) -> None:
        """Check a record without files beside it; ``archive_state`` is of the day of the plan."""
        wanted = {name: value for name, value in plan.content["spec"].items() if name != "archive_state"}
        if fresh and plan.stage == "corruptions":
            wanted |= self._made_from(plan)
        path = self.results / plan.output
        self.ledger.compare(path, wanted, anew(path))

    def _weights_record(self, plan: Plan, fresh: bool) -> None:
        path, wanted = self.results / plan.output, plan.content["spec"]
        found = self.ledger.compare(path, {"url": wanted["url"]}, anew(path)).get("sha256")
        if found is not None and not str(found).startswith(wanted["sha256"]):
            self.findings.add(path, "of other weights than are published", anew(path))

    def _store(self, plan: Plan, fresh: bool) -> None:
        directory = (self.results / plan.output).parent
        remedy, path, made = anew(directory), directory / META, directory / "provenance.json"
        wanted = {"spec": plan.content["spec"], "code": plan.content["code"]} if fresh else {}
        meta = self.ledger.compare(path, wanted, remedy)
        provenance = self.ledger.record(made, remedy)
        if not meta:
            return
        if meta.get("format") not in FORMS or not isinstance(meta.get("files"), dict):
            self.findings.add(path, "not the record of a data store", remedy, "damaged")
            return
        sums = {name: entry.get("sha256") for name, entry in meta["files"].items() if isinstance(entry, dict)}
        whole = self.ledger.check_sums(path, sums, remedy, FORMS[meta["format"]])
        if whole and not _is_content(directory, meta):
            self.findings.add(path, "its checksum of all content is not that of the files", remedy)
        copy = self.results / plan.output
        if self.ledger.record(copy, remedy) not in ({}, meta):
            self.findings.add(copy, f"not the same as {META}", remedy)
        codes = {meta.get("code"), *(entry["from"] for entry in accepted(meta))}
        if provenance and (provenance.get("spec") != meta.get("spec") or provenance.get("code") not in codes):
            self.findings.add(made, f"of another spec or code than {META}", remedy)
        if "sha256" in meta:
            self._data[plan.id] = meta["sha256"]
        self.findings.made.append(("data", (), {**meta, "provenance": provenance.get("provenance")}))

    def _teacher(self, plan: Plan, fresh: bool) -> None:
        output = self.results / plan.output
        wanted = {"spec": plan.content["spec"], "code": plan.content["code"], **self._made_from(plan)}
        directory = model_folder(self.results, "teacher", plan.id)
        record = self._model(plan, plan.id, directory, wanted, fresh, anew(output.parent))
        if record and output.exists():
            copied = {"id": record.get("id"), "data_sha256": record.get("data_sha256")}
            self.ledger.compare(output, copied | self._weights_of(plan.id), anew(output.parent))

    def _cohort(self, plan: Plan, fresh: bool) -> None:
        teacher = self._teacher_of[plan.id] = _upstream(plan, "teachers")
        made_from = self._made_from(plan) | self._teacher_sum(teacher)
        for id_, student in plan.content["students"].items():
            directory = model_folder(self.results, "student", id_)
            wanted = {"spec": {**plan.content["spec"], **student["own"]}, "code": student["code"], **made_from}
            self._model(plan, id_, directory, wanted, fresh, anew(directory))
        if fresh:
            path = self.results / plan.output
            listed = self.ledger.compare(path, made_from, anew(path.parent)).get("students")
            found = {id_: self._weights.get(id_) for id_ in plan.content["students"]}
            self.ledger.check_listed(path, listed, found, "students", anew(path.parent))

    def _model(
        self, plan: Plan, id_: str, directory: Path, wanted: Mapping[str, Any], fresh: bool, remedy: str
    ) -> dict[str, Any]:
        """Check a trained model: its record, its weights and its history; return the record."""
        if not (fresh or directory.is_dir()):
            return {}
        path = directory / RECORD
        record = self.ledger.compare(path, {"id": id_, **wanted} if fresh else {}, remedy)
        if not record:
            return {}
        self.findings.models += 1
        sums = record.get("sha256")
        whole = self.ledger.check_sums(path, sums, remedy, [WEIGHTS, HISTORY])
        if whole and (fault := weights_fault(directory / WEIGHTS)):
            self.findings.add(directory / WEIGHTS, fault, remedy, "damaged")
        if isinstance(sums, dict) and WEIGHTS in sums:
            self._weights[id_] = sums[WEIGHTS]
        self.findings.made.append((plan.stage, named_modules(wanted["spec"]), record))
        return record

    def _measurement(self, plan: Plan, fresh: bool) -> None:
        path, unit = self.results / plan.output, plan.content["spec"]["unit"]
        wanted = {"spec": plan.content["spec"], "code": plan.content["code"], **self._made_from(plan)}
        if plan.stage == "evaluations":
            cohort = _upstream(plan, "cohorts")
            wanted |= self._teacher_sum(self._teacher_of.get(cohort) if cohort else _upstream(plan, "teachers"))
        # What is stale may be of older code, which wrote other files.
        needed = needed_files(plan.stage, unit["stage"] == "teacher") if fresh else ()
        found, remedy = {}, anew(path.parent)
        for id_ in plan.content["models"]:
            record_path = path.parent / id_ / EVALUATION
            if not (fresh or record_path.parent.is_dir()):
                continue
            own = {"id": id_, **wanted, **self._weights_of(id_)} if fresh else {}
            if record := self.ledger.compare(record_path, own, anew(record_path.parent)):
                self.ledger.check_sums(record_path, record.get("sha256"), anew(record_path.parent), needed)
                self.findings.made.append((plan.stage, named_modules(unit), record))
            found[id_] = self.ledger.sha256(record_path)
        if fresh:
            listed = self.ledger.record(path, remedy).get("models")
            self.ledger.check_listed(path, listed, found, "measured models", remedy)

    def _made_from(self, plan: Plan) -> dict[str, str]:
        data = _upstream(plan, "data")
        return {"data_sha256": self._data[data]} if data in self._data else {}

    def _teacher_sum(self, teacher: str | None) -> dict[str, str | None]:
        if teacher is None:
            return {"teacher_sha256": None}
        return {"teacher_sha256": self._weights[teacher]} if teacher in self._weights else {}

    def _weights_of(self, model: str) -> dict[str, str]:
        return {"weights_sha256": self._weights[model]} if model in self._weights else {}


def anew(path: Path) -> str:
    """Return the remedy for an artefact that has to be made again."""
    return f"delete {path} and {RUN}"


def _upstream(plan: Plan, stage: str) -> str | None:
    return next((id_ for found, id_ in plan.upstream if found == stage), None)


def _is_content(directory: Path, meta: Mapping[str, Any]) -> bool:
    from vicinal.data.open import open_store
    from vicinal.data.prepare import content_hash

    try:
        return content_hash(meta, open_store(directory / META).splits) == meta["sha256"]
    except (VicinalError, KeyError):
        return False


def weights_fault(path: Path) -> str | None:
    """Return what is wrong with the header of a safetensors file, None if nothing; the tensors are not read."""
    try:
        with safe_open(path, framework="numpy"):
            return None
    except (SafetensorError, OSError) as error:
        return f"not a safetensors file ({describe(error)})"
