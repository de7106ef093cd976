"""All artefacts of experiments against their plans, with what is foreign or mixed among them."""

from pathlib import Path

from vicinal.artefacts import Artefacts
from vicinal.planning import build_plans
from vicinal.verify.artefacts import Walk
from vicinal.verify.findings import Findings, Ledger
from vicinal.verify.foreign import find_foreign
from vicinal.verify.mixtures import mixture_notes


def verify(artefacts: Artefacts, results: Path) -> tuple[Findings, Ledger]:
    """Check all that experiments consist of against their plans, and report what is foreign or mixed.

    Reads only. Data store, teachers, students, measurements, tables, claims, figures and reports are looked at in
    this order: whether they are there and of the wanted plan, whether their files have the recorded checksums, and
    whether they were made from what lies there now. Tables and claims are computed anew and compared exactly.

    Args:
        artefacts: of the experiments.
        results: the results folder.
    """
    plans = list(build_plans(artefacts))
    findings = Findings()
    ledger = Ledger(findings, len(plans))
    Walk(plans, results, ledger).run()
    names = [*artefacts.studies, *([artefacts.collection] if artefacts.collection else [])]
    find_foreign(findings, results, names)
    findings.mixtures += mixture_notes(findings)
    return findings, ledger
