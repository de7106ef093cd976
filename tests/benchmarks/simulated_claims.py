"""Simulated experiments in which a claim holds, fails or cannot be tested, by effects in paired standard deviations."""

from collections.abc import Iterator

import numpy as np
import pandas as pd

from vicinal.analysis.claims import TABLES
from vicinal.analysis.claims.cells import Runs
from vicinal.analysis.schema import validated

FAR = 8.0  # paired standard deviations: beyond doubt
SHARED_SD = 0.02  # of what all runs of a seed have in common
SCALES = (0.5, 0.75, 1.0, 1.5, 2.0)
_MODEL = {
    "role": "student", "data": "simulated", "model": "resnet8x4", "method": "kd_mixup", "alpha": 1.0,
    "teacher": "resnet32x4", "teacher_mixup_alpha": None, "temperature": "2", "logit_scale": 1.0, "kd_weight": 1.0,
    "ce_weight": 0.0,
}  # fmt: skip
_NO_TEACHER = {"teacher": None, "temperature": None, "logit_scale": None, "kd_weight": 0.0, "ce_weight": 1.0}


def student(method: str = "kd_mixup", **settings) -> dict:
    """Return the settings of a student."""
    own = {} if method.startswith("kd") else _NO_TEACHER
    alpha = {"alpha": 1.0 if method.endswith("mixup") else None}
    return {**_MODEL, **own, **alpha, "method": method, **settings}


def teacher(name: str = "resnet32x4") -> dict:
    """Return the settings of a teacher without mixup."""
    return {**_MODEL, **_NO_TEACHER, "role": "teacher", "model": name, "method": "ce", "alpha": None}


class Study:
    """Simulated experiments: the same runs, and for every repetition other values."""

    def __init__(self, rng: np.random.Generator, repetitions: int, seeds: int) -> None:
        """Start without runs."""
        self.rng, self.shape = rng, (repetitions, seeds)
        self.shared = rng.normal(0, SHARED_SD, self.shape)
        self.rows: dict[str, list[dict]] = {}
        self.values: dict[str, list[np.ndarray]] = {}

    def noise(self, sd: float) -> np.ndarray:
        """Return independent noise (repetitions, seeds)."""
        return self.rng.normal(0, sd, self.shape)

    def add(self, run: dict, metric: str, values: np.ndarray, table: str = "metrics", **columns) -> None:
        """Add the values (repetitions, seeds) of a metric of a run."""
        name = "_".join(str(value) for value in run.values())
        for seed in range(self.shape[1]):
            row = {"model_id": f"{name}_s{seed}", **run, "seed": seed, "split": "test", **columns, "metric": metric}
            self.rows.setdefault(table, []).append(row)
        self.values.setdefault(table, []).append(values)

    def add_reliability(self, run: dict, count: int = 10_000) -> list[tuple[np.ndarray, np.ndarray]]:
        """Add reliability bins of a run, alike for all repetitions; return counts and confidences of each seed."""
        edges, counts = np.arange(16) / 15, np.full(15, count // 15)
        found = []
        for seed in range(self.shape[1]):
            id_ = f"{'_'.join(str(value) for value in run.values())}_s{seed}"
            confidence = edges[:-1] + self.rng.uniform(0.025, 0.035, 15)
            found.append((counts, confidence))
            for b in range(15):
                self.rows.setdefault("reliability", []).append({
                    "model_id": id_, **run, "seed": seed, "low": edges[b], "high": edges[b + 1],
                    "count": counts[b], "confidence": confidence[b], "accuracy": confidence[b],
                })  # fmt: skip
        return found

    def tables(self) -> Iterator[dict[str, pd.DataFrame]]:
        """Yield the tables of every repetition."""
        frames, values = self._frames(), {name: np.concatenate(parts, axis=1) for name, parts in self.values.items()}
        for i in range(self.shape[0]):
            yield {
                name: frame.assign(value=values[name][i]) if name in values else frame for name, frame in frames.items()
            }

    def runs(self) -> Iterator[Runs]:
        """Yield ``Runs`` of the tables of every repetition; the tables are checked and read only once."""
        frames, at = self._frames(), 0
        for name in self.values:  # in place of each value its position in ``values``
            frames[name] = frames[name].assign(value=np.arange(at, at + len(frames[name]), dtype=float))
            at += len(frames[name])
        runs = Runs({name: validated(name, frames[name]) for name in TABLES if name in frames})
        read = {key: {seed: int(own[0]) for seed, own in by_seed.items()} for key, by_seed in runs._values.items()}
        for values in np.concatenate([part for parts in self.values.values() for part in parts], axis=1).tolist():
            runs._values.update({key: {s: [values[i]] for s, i in own.items()} for key, own in read.items()})
            yield runs

    def _frames(self) -> dict[str, pd.DataFrame]:
        """Return the tables without values."""
        frames = {}
        for name, lines in self.rows.items():
            frame = pd.DataFrame(lines)
            for column in ("alpha", "teacher_mixup_alpha", "logit_scale"):
                frame[column] = frame[column].astype("float64")
            texts = [column for column in frame if frame[column].dtype == object or frame[column].dtype == "str"]
            frames[name] = frame.astype(dict.fromkeys(texts, "category"))
        return frames


# Each of these adds the runs of one claim; ``effects`` are the distances of its tests from their thresholds, in
# standard deviations of what the test averages.


def c1(study: Study, effects: tuple[float, float]) -> None:
    """Add two teachers' explained shares, the larger by the mixture of the logits."""
    columns = {"table": "confusion", "softmax_temperature": 2.0}
    for name, effect in zip(("resnet32x4", "resnet56"), effects, strict=True):
        share = 0.5 - 0.02 * effect + study.noise(0.02)
        study.add(teacher(name), "explained_share", share - 0.2 + study.noise(0.02), **columns)
        study.add(teacher(name), "explained_share_logits", share, **columns)


def c1_linear(study: Study, effects: tuple) -> None:
    """Add a teacher that is linear up to rounding: its share is just below 1."""
    columns = {"table": "confusion", "softmax_temperature": 2.0}
    study.add(teacher(), "explained_share", 1.0 - abs(study.noise(0.001)), **columns)
    study.add(teacher(), "explained_share_logits", 0.6 + study.noise(0.01), **columns)


def c2(study: Study, effects: tuple[float, float, float]) -> None:
    """Add a teacher's and a student's non-linearity, raw and matched, and the imitation weights with kd's."""
    whole = {"table": "vicinal", "pairs": "all", "lam_low": 0.0, "lam_high": 1.0}
    sd = 0.05
    for metric, effect in zip(("nonlinearity", "nonlinearity_matched"), effects[:2], strict=True):
        study.add(teacher(), metric, 1 + study.shared + effect * sd * 2**0.5 + study.noise(sd), **whole)
        study.add(student(), metric, 1 + study.shared + study.noise(sd), **whole)
    for method, more in (("kd_mixup", effects[2] * 0.01 * 2**0.5), ("kd", 0.0)):
        weight = 0.3 + study.shared + more + study.noise(0.01)
        study.add(student(method), "imitation_weight", weight, **whole)


def c3(study: Study, effects: tuple[float, float], above: float = FAR) -> None:
    """Add the accuracies of a student, of its baselines ce and kd, and of a teacher, ``above`` that of ce."""
    sd = 0.003
    study.add(student(), "accuracy", 0.75 + study.shared + study.noise(sd))
    for method, effect in zip(("ce", "kd"), effects, strict=True):
        study.add(student(method), "accuracy", 0.75 + study.shared - effect * sd * 2**0.5 + study.noise(sd))
    of_ce = 0.75 - effects[0] * sd * 2**0.5
    study.add(teacher(), "accuracy", of_ce + study.shared + above * sd * 2**0.5 + study.noise(sd))


def c3_poor_teacher(study: Study, effects: tuple[float, float]) -> None:
    """Add the same with a teacher that is as accurate as ce."""
    c3(study, effects, above=0.0)


def c4(study: Study, effects: tuple[float], versus: str = "ce", under_confident: bool = False) -> None:
    """Add the OE of a student and of a baseline, whose logarithms are normal, with ECE and gap."""
    sd = 0.1
    for method in ("kd_mixup", versus):
        mean = np.log(0.15) - (method == "kd_mixup") * (np.log(10) / 2 + effects[0] * sd * 2**0.5)
        study.add(student(method), "oe", np.exp(mean + study.shared + study.noise(sd)))
        study.add_reliability(student(method))
    _add_calibration(study, versus, under_confident)


def c4_kd(study: Study, effects: tuple[float]) -> None:
    """Add the same with standard distillation as the baseline."""
    c4(study, effects, versus="kd")


def c4_under_confident(study: Study, effects: tuple[float]) -> None:
    """Add the same of a student that is under-confident, and whose ECE is higher than that of ce."""
    c4(study, effects, under_confident=True)


def c4_calibrated(study: Study, effects: tuple[float]) -> None:
    """Add a perfectly calibrated student, and ce with an OE that is larger by the factor in ``effects``, on average."""
    bins = study.add_reliability(student())
    study.add_reliability(student("ce"))
    own = np.empty(study.shape)
    for seed, (count, confidence) in enumerate(bins):
        accuracy = study.rng.binomial(count, confidence, (study.shape[0], len(count))) / count
        own[:, seed] = (count / count.sum() * confidence * np.maximum(confidence - accuracy, 0)).sum(axis=1)
    study.add(student(), "oe", own)
    study.add(student("ce"), "oe", effects[0] * own.mean() * np.exp(study.noise(0.1)))
    _add_calibration(study, "ce")


def _add_calibration(study: Study, versus: str, under_confident: bool = False) -> None:
    """Add ECE and gap of a student and of its baseline."""
    for method, ece in ((versus, 0.15), ("kd_mixup", 0.2 if under_confident else 0.05)):
        study.add(student(method), "ece", ece + study.noise(0.001))
        sign = -1 if method == "kd_mixup" and under_confident else 1
        study.add(student(method), "confidence_gap", sign * (0.05 + study.noise(0.001)))


def c5(study: Study, effects: tuple[float, ...], scales: tuple[float, ...] = SCALES) -> None:
    """Add teachers and students with scaled logits; effects: on the slope, on the equivalence at each scale but 1."""
    sd_gap, sd_accuracy = 0.01, 0.01 / 3 / 2**0.5
    gaps = dict(zip(SCALES, (-0.10, -0.03, 0.05, 0.10, 0.13), strict=True))
    theirs = np.array([gaps[c] for c in scales])
    sd_slope = sd_gap / np.sqrt(((theirs - theirs.mean()) ** 2).sum())
    equivalence = dict(zip((c for c in scales if c != 1), effects[1:], strict=True))
    for c, gap in zip(scales, theirs, strict=True):
        of_teacher = gap + 0.1 * study.shared
        study.add(teacher(), "confidence_gap" if c == 1 else f"confidence_gap_c{c:g}", of_teacher)
        run = student(logit_scale=c)
        study.add(run, "confidence_gap", 0.1 + effects[0] * sd_slope * of_teacher + study.noise(sd_gap))
        # margin − |difference| = effect · sd
        shift = 0.01 - equivalence[c] * sd_accuracy * 2**0.5 if c != 1 else 0.0
        study.add(run, "accuracy", 0.75 + study.shared + shift + study.noise(sd_accuracy))
    for run, accuracy in ((teacher(), 0.8), (student("ce"), 0.7)):
        study.add(run, "accuracy", accuracy + study.shared + study.noise(sd_accuracy))


def c5_three(study: Study, effects: tuple[float, float, float]) -> None:
    """Like ``c5``, at three logit scales."""
    c5(study, effects, scales=(0.5, 1.0, 2.0))


def c6(study: Study, effects: tuple[float, float, float], centre: float = 0.3, sds: tuple = (1.0, 1.0)) -> None:
    """Add temperatures 1 to 16; effects on the slopes of accuracy and of ECE, and on what mixup adds to |slope of gap|.

    A negative second effect makes accuracy and ECE favour the same end. The gap of kd_mixup passes ``centre`` at the
    middle temperature, its slope is ``FAR`` unless the third effect is NaN: then both methods' gaps are flat. ``sds``
    are those of the gaps of kd_mixup and kd, in parts of the usual one.
    """
    x = np.arange(5.0)
    sd = 0.002
    sd_slope = sd / np.sqrt(((x - x.mean()) ** 2).sum())
    gaps = (0.0, 0.0) if np.isnan(effects[2]) else (2 * FAR, 2 * FAR - effects[2] * 2**0.5)
    slopes = {"kd_mixup": (*effects[:2], gaps[0], sds[0]), "kd": (0.0, 0.0, gaps[1], sds[1])}
    for method, (accuracy, ece, gap, noise) in slopes.items():
        for log_t in x:
            run = student(method, temperature=f"{2**log_t:g}")
            study.add(run, "accuracy", 0.75 + study.shared + accuracy * sd_slope * log_t + study.noise(sd))
            study.add(run, "ece", 0.3 + study.shared + ece * sd_slope * log_t + study.noise(sd))
            # the shared part would cancel: it is the same at every temperature
            of_gap = gap * sd_slope * (log_t - x.mean())
            study.add(run, "confidence_gap", centre + study.shared + of_gap + study.noise(noise * sd))


def c6_sign_changes(study: Study, effects: tuple[float, float, float]) -> None:
    """Add the same with students that are over-confident at one end and under-confident at the other."""
    c6(study, effects, centre=0.0)


def c6_noisy(study: Study, effects: tuple[float, float, float]) -> None:
    """Add the same with gaps that vary three times as much with mixup as without."""
    c6(study, effects, sds=(3.0, 1.0))


DEPTHS = (20, 32, 44, 56, 110)


def c7(study: Study, effects: tuple[float, ...], teachers: tuple[float, ...] = (0, 8, 16, 24, 32)) -> None:
    """Add a ladder of teachers; effects are the student's accuracies, in paired standard deviations, as ``teachers``.

    Seeds with a better teacher have a better student.
    """
    sd = 0.003
    for depth, effect, of_teacher in zip(DEPTHS, effects, teachers, strict=True):
        luck = study.noise(sd)
        study.add(teacher(f"resnet{depth}"), "accuracy", 0.9 + study.shared + of_teacher * sd * 2**0.5 + luck)
        accuracy = 0.7 + study.shared + effect * sd * 2**0.5 + 0.6 * luck + study.noise(0.8 * sd)
        study.add(student(model="resnet20", teacher=f"resnet{depth}"), "accuracy", accuracy)
    study.add(student("ce", model="resnet20"), "accuracy", 0.7 + study.shared + study.noise(sd))


def c7_alike(study: Study, effects: tuple[float, ...]) -> None:
    """Add the same with teachers of one accuracy, so that chance orders them."""
    c7(study, effects, teachers=(0, 0, 0, 0, 0))


def c7_largest_is_worst(study: Study, effects: tuple[float, ...]) -> None:
    """Add the same with the largest teacher as the least accurate one."""
    c7(study, effects, teachers=(8, 16, 24, 32, 0))
