"""Compares every artefact of an experiment with its plan, upstream ones first."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import track

from vicinal.audit.verify.analysis import check_analysis
from vicinal.audit.verify.findings import RUN, Ledger
from vicinal.audit.verify.layout import find_foreign
from vicinal.audit.verify.mixtures import made_by, mixture_notes
from vicinal.data.store import FORMS
from vicinal.errors import VicinalError
from vicinal.evaluation.files import needed_files
from vicinal.jobs.fingerprint import named_modules
from vicinal.jobs.plan import recorded_key
from vicinal.planning.artefacts import Artefacts
from vicinal.planning.changes import stale_reasons
from vicinal.planning.plans import Plan, Ref, build_plans
from vicinal.planning.reasons import Relatives
from vicinal.results import HISTORY, META, ON_DEVICE, TRAINED, WEIGHTS

# The fields of the records of what is not made here that say what it is.
FETCHED = {"downloads": ("name", "source", "files"), "weights": ("url",), "corruptions": ("name",)}


def verify(artefacts: Artefacts, results: Path) -> Ledger:
    """Check all that experiments consist of against their plans, and report what is foreign or mixed. Reads only.

    Each output must be there and of the wanted plan, its files must have the recorded checksums, and it must be made
    from what lies there now. Tables and claims are computed again and compared exactly.

    Args:
        artefacts: of the experiments.
        results: the results folder.
    """
    plans, ledger, console = list(build_plans(artefacts)), Ledger(), Console(stderr=True)
    Walk(track(plans, "verifying", console=console, disable=not console.is_terminal), results, ledger).run()
    find_foreign(ledger, results, [*artefacts.studies, *filter(None, [artefacts.collection])])
    ledger.mixtures = mixture_notes(ledger.made)
    return ledger


class Walk:
    """Checks the artefacts of plans, one after another, and remembers what the later ones are made from.

    Args:
        plans: of all wanted artefacts, upstream ones first (``build_plans``).
        results: the results folder.
        ledger: reads the files and gets the problems.
    """

    def __init__(self, plans: Iterable[Plan], results: Path, ledger: Ledger) -> None:
        self.plans, self.results, self.ledger = plans, results, ledger
        self._relatives = Relatives(results)
        # What the records of all that is made from an artefact must say, by its checksums as they are now. Where these
        # are missing there is no entry, and nothing is compared with them.
        self._made_from: dict[Ref, dict[str, str | None]] = {}
        self._weights: dict[str, dict[str, str]] = {}  # the same of the measurements of each model
        self._troubled: set[Ref] = set()

    def run(self) -> None:
        """Check everything."""
        checks = dict.fromkeys(FETCHED, self._fetched) | dict.fromkeys(ON_DEVICE, self._models) | {"data": self._store}
        for plan in self.plans:
            before = len(self.ledger.problems)
            troubled = not self._troubled.isdisjoint(plan.upstream)
            fresh = self._is_fresh(plan)
            if (self.results / plan.output).exists() or plan.directories:
                if plan.stage in checks:
                    checks[plan.stage](plan, fresh)
                else:
                    check_analysis(self.ledger, self.results, plan, fresh, recompute=fresh and not troubled)
            if troubled or len(self.ledger.problems) > before:
                self._troubled.add(plan.ref)

    def _is_fresh(self, plan: Plan) -> bool:
        """Return whether an output is there and of its plan; report why it is not."""
        output = self.results / plan.output
        if recorded_key(output) == plan.key:
            return True
        if output.exists():
            reasons = stale_reasons(plan, self.results, self._relatives)
            self.ledger.add(output, f"stale ({'; '.join(reasons[:2])})", RUN, "stale")
        else:
            self.ledger.add(output, "missing", RUN, "missing")
        return False

    def _fetched(self, plan: Plan, fresh: bool) -> None:
        path, spec = self.results / plan.output, plan.content["spec"]
        wanted = {name: spec[name] for name in FETCHED[plan.stage]} | (self._upstream(plan) if fresh else {})
        record = self.ledger.compare(path, wanted, delete(path))
        # The first digits of the checksum are published.
        if record and plan.stage == "weights" and not str(record.get("sha256")).startswith(spec["sha256"]):
            self.ledger.add(path, "of other weights than are published", delete(path))

    def _store(self, plan: Plan, fresh: bool) -> None:
        [(_, path, spec, code)] = plan.code_records(self.results)
        copy, made, remedy = self.results / plan.output, path.with_name("provenance.json"), delete(path.parent)
        meta = self.ledger.compare(path, {"spec": spec, "code": code} if fresh else {}, remedy)
        job = {"spec": meta.get("spec"), "code": made_by(meta)} if meta else {}
        provenance = self.ledger.compare(made, job, remedy)
        if self.ledger.record(copy, remedy) not in ({}, meta) and meta:
            self.ledger.add(copy, f"not the same as {META}", remedy)
        if meta:
            files = meta["files"] if isinstance(meta.get("files"), dict) else {}
            sums = {name: entry.get("sha256") for name, entry in files.items() if isinstance(entry, dict)}
            whole = self.ledger.check_sums(path, sums, remedy, FORMS.get(str(meta.get("format")), [META]))
            if whole and not _is_content(path, meta):
                self.ledger.add(path, "its checksum of all content is not that of the files", remedy)
            self._made_from[plan.ref] = {"data_sha256": meta["sha256"]} if "sha256" in meta else {}
            self.ledger.made.append(("data", (), {**meta, "provenance": provenance.get("provenance")}))

    def _models(self, plan: Plan, fresh: bool) -> None:
        """Check what a job trained or measured: the record and the files of each model, and the output that lists them.

        Of what is stale only its own checksums are checked: older code wrote other files.
        """
        output, is_trained, upstream = self.results / plan.output, plan.stage in TRAINED, self._upstream(plan)
        found = {}
        for id_, path, spec, code in plan.code_records(self.results):
            if not (fresh or path.parent.is_dir()):
                continue
            remedy, unit = delete(path.parent), spec if is_trained else spec["unit"]
            wanted, needed = {"id": id_, "spec": spec, "code": code, **upstream}, [WEIGHTS, HISTORY]
            if not is_trained:
                wanted |= self._weights.get(id_, {})
                needed = needed_files(plan.stage, unit["stage"] == "teacher")
            if record := self.ledger.compare(path, wanted if fresh else {}, remedy):
                sums = record.get("sha256")
                self.ledger.check_sums(path, sums, remedy, needed if fresh else ())
                self.ledger.made.append((plan.stage, named_modules(unit), record))
                if is_trained and isinstance(sums, dict) and WEIGHTS in sums:
                    self._weights[id_] = {"weights_sha256": sums[WEIGHTS]}
                self.ledger.models += is_trained
            found[id_] = self._weights.get(id_, {}).get("weights_sha256") if is_trained else self.ledger.sha256(path)
        if plan.stage == "teachers" and plan.id in self._weights:
            self._made_from[plan.ref] = {"teacher_sha256": found[plan.id]}
        if not fresh:
            return
        wanted = {"id": plan.id, **self._weights.get(plan.id, {})} if plan.stage == "teachers" else {}
        record = self.ledger.compare(output, wanted | (upstream if is_trained else {}), delete(output.parent))
        if plan.stage != "teachers":
            listing, what = ("students", "students") if is_trained else ("models", "measured models")
            self.ledger.check_listed(output, record.get(listing), found, what, delete(output.parent))

    def _upstream(self, plan: Plan) -> dict[str, str | None]:
        """Return the checksums of what an artefact must be made from, by the fields of its record."""
        found = {name: value for ref in plan.upstream for name, value in self._made_from.get(ref, {}).items()}
        if plan.stage == "cohorts":  # their measurements are made from the same
            if all(stage != "teachers" for stage, _ in plan.upstream):
                found["teacher_sha256"] = None
            self._made_from[plan.ref] = found
        if plan.stage == "robustness":
            found.pop("teacher_sha256", None)
        return found


def delete(path: Path) -> str:
    """Return the remedy for an artefact that has to be made again."""
    return f"delete {path} and {RUN}"


def _is_content(path: Path, meta: Mapping[str, Any]) -> bool:
    from vicinal.data.open import open_store
    from vicinal.data.prepare import content_hash

    try:
        return content_hash(meta, open_store(path).splits) == meta["sha256"]
    except (VicinalError, KeyError):
        return False
