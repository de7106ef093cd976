"""Compares every artefact of an experiment with its plan, upstream ones first."""

from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import track

from vicinal.audit.verify.analysis import check_analysis
from vicinal.audit.verify.findings import RUN, Ledger
from vicinal.audit.verify.layout import foreign_files
from vicinal.audit.verify.mixtures import lock_notes, made_by, mixture_notes
from vicinal.data.store import FORMS
from vicinal.errors import VicinalError
from vicinal.evaluation.files import needed_files
from vicinal.jobs.fingerprint import named_modules
from vicinal.jobs.plan import recorded_key
from vicinal.planning.changes import stale_reasons
from vicinal.planning.plans import Plan, Ref
from vicinal.planning.reasons import Relatives
from vicinal.results import FOLDERS, HISTORY, META, ON_DEVICE, TRAINED, WEIGHTS

# The fields of the records of what is not made here that say what it is.
FETCHED = {"downloads": ("name", "source", "files"), "weights": ("url",), "corruptions": ("name",)}


def verify(plans: list[Plan], results: Path, experiments: Iterable[str] = ()) -> Ledger:
    """Check artefacts against their plans, and report what is foreign or mixed. Reads only.

    Each output must be there and of the wanted plan, its files must have the recorded checksums, and it must be made
    from what lies there now. Tables and claims are computed again and compared exactly.

    Args:
        plans: of all wanted artefacts, upstream ones first (``build_plans``).
        experiments: names of those in whose folders (results/NAME) nothing foreign may be.
    """
    ledger, console = Ledger(), Console(stderr=True)
    _Walk(results, ledger).check(track(plans, "verifying", console=console, disable=not console.is_terminal))
    unreadable = {path.parent for path, record in ledger.records.items() if not record}
    for path in (path for name in (*FOLDERS, *experiments) for path in foreign_files(results / name)):
        if path.parent not in unreadable:  # else its record may have listed it
            ledger.add(path, "a foreign file", "not of this workflow: move it elsewhere", "foreign")
    ledger.mixtures = [*mixture_notes(ledger.made), *lock_notes(ledger.made)]
    return ledger


class _Walk:
    """Checks artefacts one after another, and remembers what the later ones are made from."""

    def __init__(self, results: Path, ledger: Ledger) -> None:
        self.results, self.ledger = results, ledger
        self._relatives = Relatives(results)
        # What the records of all that is made from an artefact must say, by its checksums as they are now. Where these
        # are missing there is no entry, and nothing is compared with them.
        self._made_from: dict[Ref, dict[str, str | None]] = {}
        self._weights: dict[str, dict[str, str]] = {}  # the same for what is made from the weights of a model
        self._troubled: set[Ref] = set()

    def check(self, plans: Iterable[Plan]) -> None:
        """Check the artefacts of plans, upstream ones first."""
        checks = dict.fromkeys(FETCHED, self._fetched) | dict.fromkeys(ON_DEVICE, self._models) | {"data": self._store}
        for plan in plans:
            before = len(self.ledger.problems)
            troubled = not self._troubled.isdisjoint(plan.upstream)
            if not self._is_fresh(plan):
                self._sums(plan)
            elif plan.stage in checks:
                checks[plan.stage](plan)
            else:
                check_analysis(self.ledger, self.results, plan, recompute=not troubled)
            if troubled or len(self.ledger.problems) > before:
                self._troubled.add(plan.ref)

    def _is_fresh(self, plan: Plan) -> bool:
        """Return whether an output is there and of its plan; report why it is not."""
        output = self.results / plan.output
        if recorded_key(output) == plan.key:
            return True
        kind = "stale" if output.exists() else "missing"
        reasons = stale_reasons(plan, self.results, self._relatives)[:2] if kind == "stale" else ()
        self.ledger.add(output, f"stale ({'; '.join(reasons)})" if reasons else kind, RUN, kind)
        return False

    def _sums(self, plan: Plan) -> None:
        """Check models that are stale, or not in a list yet, by their own checksums alone: older code wrote others."""
        for _, path, *_ in plan.code_records(self.results) if plan.stage in ON_DEVICE else ():
            if path.exists() and (record := self.ledger.record(path, delete(path.parent))):
                self.ledger.check_sums(path, record.get("sha256"), delete(path.parent))

    def _fetched(self, plan: Plan) -> None:
        path, spec = self.results / plan.output, plan.content["spec"]
        wanted = {name: spec[name] for name in FETCHED[plan.stage]}
        record = self.ledger.compare(path, wanted | self._upstream(plan), delete(path))
        # The first digits of the checksum are published.
        if record and plan.stage == "weights" and not str(record.get("sha256")).startswith(spec["sha256"]):
            self.ledger.add(path, "of other weights than are published", delete(path))

    def _store(self, plan: Plan) -> None:
        [(_, path, spec, code)] = plan.code_records(self.results)
        made, remedy = path.with_name("provenance.json"), delete(path.parent)
        meta = self.ledger.compare(path, {"spec": spec, "code": code}, remedy)
        self.ledger.compare(self.results / plan.output, meta, remedy)  # a copy
        provenance = self.ledger.compare(made, {"spec": spec, "code": made_by(meta)} if meta else {}, remedy)
        if meta:
            files = meta["files"].items() if isinstance(meta.get("files"), dict) else ()
            sums = {name: entry.get("sha256") for name, entry in files if isinstance(entry, dict)}
            whole = self.ledger.check_sums(path, sums, remedy, FORMS.get(str(meta.get("format")), [META]))
            if whole and not _is_content(path, meta):
                self.ledger.add(path, "its checksum of all content is not that of the files", remedy)
            self._made_from[plan.ref] = {"data_sha256": meta["sha256"]} if "sha256" in meta else {}
            self.ledger.made.append(("data", (), {**meta, "provenance": provenance.get("provenance")}))

    def _models(self, plan: Plan) -> None:
        """Check what a job trained or measured: each model, and the output that lists them."""
        output, is_trained, upstream = self.results / plan.output, plan.stage in TRAINED, self._upstream(plan)
        found: dict[str, str | None] = {}
        for id_, path, spec, code in plan.code_records(self.results):
            remedy, unit = delete(path.parent), spec if is_trained else spec["unit"]
            needed = [WEIGHTS, HISTORY] if is_trained else needed_files(plan.stage, unit["stage"] == "teacher")
            wanted = {"id": id_, "spec": spec, "code": code, **upstream}
            wanted |= {} if is_trained else self._weights.get(id_, {})
            if record := self.ledger.compare(path, wanted, remedy):
                self.ledger.check_sums(path, record.get("sha256"), remedy, needed)
                self.ledger.made.append((plan.stage, named_modules(unit), record))
                self.ledger.models += is_trained
                with suppress(KeyError, TypeError):  # only those of models list weights
                    self._weights[id_] = {"weights_sha256": record["sha256"][WEIGHTS]}
            found[id_] = self._weights.get(id_, {}).get("weights_sha256") if is_trained else self.ledger.sha256(path)
        remedy = delete(output.parent)
        if plan.stage == "teachers":
            self._made_from[plan.ref] = {"teacher_sha256": found[plan.id]} if found[plan.id] else {}
            self.ledger.compare(output, {"id": plan.id, **upstream, **self._weights.get(plan.id, {})}, remedy)
        else:
            listing, what = ("students", "students") if is_trained else ("models", "measured models")
            record = self.ledger.compare(output, upstream if is_trained else {}, remedy)
            self.ledger.check_listed(output, record.get(listing), found, what, remedy)

    def _upstream(self, plan: Plan) -> dict[str, Any]:
        """Return the checksums of what an artefact must be made from, by the fields of its record."""
        others = plan.content["spec"].get("evaluation", {}).get("ood", {}) if plan.stage == "evaluations" else {}
        refs = [ref for ref in plan.upstream if ref[1] not in others.values()]
        found: dict[str, Any] = {name: value for ref in refs for name, value in self._made_from.get(ref, {}).items()}
        sums = {name: self._made_from.get(("data", id_), {}).get("data_sha256") for name, id_ in others.items()}
        if sums and all(sums.values()):
            found["ood_sha256"] = sums
        if plan.stage in ("cohorts", "evaluations") and all(stage != "teachers" for stage, _ in plan.upstream):
            found["teacher_sha256"] = None
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
