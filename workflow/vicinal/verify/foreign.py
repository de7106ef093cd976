"""Files that nothing accounts for: foreign ones, and what killed jobs left over."""

from collections.abc import Iterable
from pathlib import Path

from vicinal.verify.findings import Findings
from vicinal.verify.layout import STAGES, is_analysis, is_known, is_left_over, walk

REMEDY = "not of this workflow: move it elsewhere"


def find_foreign(findings: Findings, results: Path, experiments: Iterable[str]) -> None:
    """Report each file in the folders of all stages and of some experiments that no rule or record accounts for.

    Args:
        findings: gets the problems, and the files that killed jobs left over.
        results: the results folder.
        experiments: names of those whose folders (results/NAME) to look at.
    """
    for stage in STAGES:
        root = results / stage
        for path in walk(root):
            if is_left_over(path, root):
                findings.left_over.append(path)
            elif not is_known(stage, path, root):
                findings.add(path, "a foreign file", REMEDY, "foreign")
    for name in experiments:
        root = results / name
        for path in walk(root):
            if is_left_over(path, root):
                findings.left_over.append(path)
            elif not is_analysis(path, root):
                findings.add(path, "a foreign file", REMEDY, "foreign")
