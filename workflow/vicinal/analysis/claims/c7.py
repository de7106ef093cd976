"""C7: a larger teacher is not simply a better one."""

import itertools
import re

import numpy as np

from vicinal.analysis.claims.cells import Runs, missing_primary, primary_students
from vicinal.analysis.claims.samples import paired
from vicinal.analysis.claims.settings import Setting, is_primary
from vicinal.analysis.claims.statistics import Largest
from vicinal.analysis.claims.verdict import Test

TITLE = "Bigger teachers are not simply better"
SENTENCE = "Within one family of teachers the student's accuracy does not simply grow with the teacher's capacity."

# Names whose numbers grow with capacity; the version of a MobileNet or the patch size of a ViT does not.
_SIZED = re.compile(r"(resnet\d+(x\d+)?(_.*)?|wrn_\d+_\d+|vgg\d+)", re.IGNORECASE)
_WORDS = ("tiny", "small", "base", "large")


def families(name: str) -> dict[str, int]:
    """Return the ladders that a teacher stands on and its place there: families that differ in one size only.

    ``resnet32x4`` stands on ``resnet#x4`` at 32 and on ``resnet32x#`` at 4; a name without a size stands on none.
    """
    found = {}
    if _SIZED.fullmatch(name):
        for match in re.finditer(r"\d+", name):
            found[f"{name[: match.start()]}#{name[match.end() :]}"] = int(match.group())
    for place, word in enumerate(_WORDS):
        if re.search(rf"_{word}(?![a-z])", name):
            found[name.replace(f"_{word}", "_#")] = place
    return found


def tests(runs: Runs) -> tuple[list[Test], str]:
    """Return the tests of C7, and which runs it lacks.

    The null is a ladder that does not fall: μ_i ≤ μ_j for every smaller teacher i and larger one j. θ is the largest of
    μ_i − μ_largest over the smaller teachers i (see ``Largest``: Bonferroni over them); θ > 0 contradicts the null.
    Whether it falls anywhere, over all pairs i < j, is a secondary test: the largest teacher may still be the best.
    """
    ladders: dict[Setting, dict[int, Setting]] = {}
    for s in dict.fromkeys(primary_students(runs) + runs.students("kd_mixup") + runs.students("kd")):
        for family, size in families(str(s.teacher)).items():
            ladders.setdefault(s._replace(teacher=family), {})[size] = s
    ladders = {key: ladder for key, ladder in ladders.items() if len(ladder) > 1}
    rungs = [[ladder[size] for size in sorted(ladder)] for ladder in ladders.values()]
    if not any(is_primary(ladder[0]) for ladder in rungs):
        return [], f"{missing_primary(runs)}; at least 2 teachers of one family for the same student"
    found = [_largest(runs, ladder) for ladder in rungs]
    for ladder in rungs:
        if len(ladder) > 2:
            found.append(_anywhere(runs, ladder))
            found += [_pair(runs, ladder, smaller) for smaller in ladder[:-1] if is_primary(ladder[0])]
    return sorted(found, key=lambda test: not test.primary), ""


def _largest(runs: Runs, ladder: list[Setting]) -> Test:
    def contrast(*accuracy: np.ndarray) -> np.ndarray:
        return np.stack([smaller - accuracy[-1] for smaller in accuracy[:-1]], axis=1)

    sample = paired([runs.metric(s, "accuracy") for s in ladder], contrast)
    estimand = f"best accuracy of a student of a smaller teacher − accuracy(student | {ladder[-1].teacher})"
    return Test(_cell(runs, ladder), estimand, sample, Largest(), primary=is_primary(ladder[0]))


def _anywhere(runs: Runs, ladder: list[Setting]) -> Test:
    pairs = list(itertools.combinations(range(len(ladder)), 2))

    def contrast(*accuracy: np.ndarray) -> np.ndarray:
        return np.stack([accuracy[i] - accuracy[j] for i, j in pairs], axis=1)

    sample = paired([runs.metric(s, "accuracy") for s in ladder], contrast)
    estimand = "largest fall of the student's accuracy from a smaller to a larger teacher"
    return Test(_cell(runs, ladder), estimand, sample, Largest())


def _pair(runs: Runs, ladder: list[Setting], smaller: Setting) -> Test:
    series = [runs.metric(s, "accuracy") for s in (smaller, ladder[-1])]
    estimand = f"accuracy(student | {smaller.teacher}) − accuracy(student | {ladder[-1].teacher})"
    return Test(_cell(runs, ladder), estimand, paired(series, lambda small, large: small - large))


def _cell(runs: Runs, ladder: list[Setting]) -> str:
    names = " < ".join(str(s.teacher) for s in ladder)
    return runs.label(ladder[0]._replace(teacher=f"({names})"))
