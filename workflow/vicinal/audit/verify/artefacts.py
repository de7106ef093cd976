"""Compares every artefact of an experiment with its plan, upstream ones first."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import track
from safetensors import SafetensorError, safe_open

from vicinal.audit.acceptance import code_records
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
from vicinal.results import HISTORY, TRAINED, WEIGHTS


def verify(artefacts: Artefacts, results: Path) -> tuple[Findings, Ledger]:
    """Check all that experiments consist of against their plans, and report what is foreign or mixed. Reads only.

    Each output must be there and of the wanted plan, its files must have the recorded checksums, and it must be made
    from what lies there now. Tables and claims are computed again and compared exactly.

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
        # The SHA-256 of each data store's content and of each model's weights, as they lie there now. A missing one has
        # no entry, and what was made from it is not compared with it.
        self._data: dict[str, str] = {}
        self._weights: dict[str, str] = {}
        self._troubled: set[Ref] = set()

    def run(self) -> None:
        """Check everything."""
        checks = {
            "downloads": self._record,
            "weights": self._weights_record,
            "data": self._store,
            "corruptions": self._record,
            "teachers": self._models,
            "cohorts": self._models,
            "evaluations": self._models,
            "robustness": self._models,
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
        """Check a record without files beside it."""
        # ``archive_state`` is of the day of the plan.
        wanted = {name: value for name, value in plan.content["spec"].items() if name != "archive_state"}
        if fresh and plan.stage == "corruptions":
            wanted |= self._made_from(plan)
        path = self.results / plan.output
        self.ledger.compare(path, wanted, delete(path))

    def _weights_record(self, plan: Plan, fresh: bool) -> None:
        path, wanted = self.results / plan.output, plan.content["spec"]
        found = self.ledger.compare(path, {"url": wanted["url"]}, delete(path)).get("sha256")
        if found is not None and not str(found).startswith(wanted["sha256"]):
            self.findings.add(path, "of other weights than are published", delete(path))

    def _store(self, plan: Plan, fresh: bool) -> None:
        [(_, path, spec, code)] = code_records(plan, self.results)
        copy, made = self.results / plan.output, path.with_name("provenance.json")
        remedy = delete(path.parent)
        meta = self.ledger.compare(path, {"spec": spec, "code": code} if fresh else {}, remedy)
        provenance = self.ledger.record(made, remedy)
        if not meta:
            return
        if meta.get("format") not in FORMS or not isinstance(meta.get("files"), dict):
            self.findings.add(path, "not the record of a data store", remedy, "damaged")
            return
        sums = {name: entry.get("sha256") for name, entry in meta["files"].items() if isinstance(entry, dict)}
        whole = self.ledger.check_sums(path, sums, remedy, FORMS[meta["format"]])
        if whole and not _is_content(path, meta):
            self.findings.add(path, "its checksum of all content is not that of the files", remedy)
        if self.ledger.record(copy, remedy) not in ({}, meta):
            self.findings.add(copy, f"not the same as {META}", remedy)
        codes = {meta.get("code"), *(entry["from"] for entry in accepted(meta))}
        if provenance and (provenance.get("spec") != meta.get("spec") or provenance.get("code") not in codes):
            self.findings.add(made, f"of another spec or code than {META}", remedy)
        if "sha256" in meta:
            self._data[plan.id] = meta["sha256"]
        self.findings.made.append(("data", (), {**meta, "provenance": provenance.get("provenance")}))

    def _models(self, plan: Plan, fresh: bool) -> None:
        """Check what a job trained or measured: the record and the files of each model, and the output that lists them.

        Of what is stale only its own checksums are checked: older code wrote other files.
        """
        output, is_trained, made_from = self.results / plan.output, plan.stage in TRAINED, self._made_from(plan)
        found = {}
        for id_, path, spec, code in code_records(plan, self.results):
            if not (fresh or path.parent.is_dir()):
                continue
            remedy = delete(output.parent if plan.stage == "teachers" else path.parent)
            unit = spec if is_trained else spec["unit"]
            wanted, needed = {"id": id_, "spec": spec, "code": code, **made_from}, [WEIGHTS, HISTORY]
            if not is_trained:
                wanted |= self._weights_of(id_)
                needed = needed_files(plan.stage, unit["stage"] == "teacher")
            if record := self.ledger.compare(path, wanted if fresh else {}, remedy):
                whole = self.ledger.check_sums(path, record.get("sha256"), remedy, needed if fresh else ())
                self.findings.made.append((plan.stage, named_modules(unit), record))
                if is_trained:
                    self._trained(id_, path.with_name(WEIGHTS), record.get("sha256"), whole, remedy)
            found[id_] = self._weights.get(id_) if is_trained else self.ledger.sha256(path)
        if not fresh:
            return
        remedy = delete(output.parent)
        if plan.stage == "teachers":
            self.ledger.compare(output, {"id": plan.id, **made_from, **self._weights_of(plan.id)}, remedy)
            return
        listing, what = ("students", "students") if is_trained else ("models", "measured models")
        record = self.ledger.compare(output, made_from if is_trained else {}, remedy)
        self.ledger.check_listed(output, record.get(listing), found, what, remedy)

    def _trained(self, id_: str, weights: Path, sums: Any, whole: bool, remedy: str) -> None:
        self.findings.models += 1
        if whole and (fault := weights_fault(weights)):
            self.findings.add(weights, fault, remedy, "damaged")
        if isinstance(sums, dict) and WEIGHTS in sums:
            self._weights[id_] = sums[WEIGHTS]

    def _made_from(self, plan: Plan) -> dict[str, str | None]:
        """Return the checksums of what an artefact must be made from, by the fields of its record."""
        data, teacher = (_upstream(plan, stage) for stage in ("data", "teachers"))
        found: dict[str, str | None] = {"data_sha256": self._data[data]} if data in self._data else {}
        if plan.stage in ("cohorts", "evaluations") and (teacher is None or teacher in self._weights):
            found["teacher_sha256"] = self._weights.get(teacher)
        return found

    def _weights_of(self, model: str) -> dict[str, str]:
        return {"weights_sha256": self._weights[model]} if model in self._weights else {}


def delete(path: Path) -> str:
    """Return the remedy for an artefact that has to be made again."""
    return f"delete {path} and {RUN}"


def _upstream(plan: Plan, stage: str) -> str | None:
    return next((id_ for found, id_ in plan.upstream if found == stage), None)


def _is_content(path: Path, meta: Mapping[str, Any]) -> bool:
    from vicinal.data.open import open_store
    from vicinal.data.prepare import content_hash

    try:
        return content_hash(meta, open_store(path).splits) == meta["sha256"]
    except (VicinalError, KeyError):
        return False


def weights_fault(path: Path) -> str | None:
    """Return what is wrong with the header of a safetensors file, None if nothing; the tensors are not read."""
    try:
        with safe_open(path, framework="numpy"):
            return None
    except (SafetensorError, OSError) as error:
        return f"not a safetensors file ({describe(error)})"
