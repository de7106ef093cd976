"""The runs of an experiment by setting, and the runs that a claim compares."""

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from vicinal.analysis.claims.samples import ALL_SEEDS, Series
from vicinal.analysis.claims.settings import (
    FIELDS,
    PRIMARY_ALPHA,
    PRIMARY_TEMPERATURE,
    PRIMARY_WEIGHTS,
    Setting,
    arrow,
    in_words,
    is_default,
    is_primary,
    order,
    primary_of,
    read_setting,
)
from vicinal.analysis.schema import METHOD_NAMES, PRETRAINED, STUDENT, TEACHER, TEACHER_PRETRAINED, VARIANT
from vicinal.spec import more_weights

WHOLE, PEAK = ("all", 0.0, 1.0), ("different", 0.45, 0.55)
GIVEN_TEACHER = "a given teacher, one for all seeds: the interval is over the seeds of its students alone"


class Runs:
    """The tables of an experiment, indexed by setting."""

    def __init__(self, tables: Mapping[str, pd.DataFrame]) -> None:
        """Index the tables metrics, vicinal, confusion and reliability, ``validated``, of those that exist."""
        self._settings: dict[Any, Setting] = {}
        self._seeds: dict[Any, int | None] = {}
        self._given: set[Setting] = set()  # teachers without a seed: one for all
        self._teacher_ids: dict[Setting, Any] = {}
        self._pretrained: set[Setting] = set()  # with mixup
        self._taught_by_pretrained: set[Setting] = set()
        self._values: dict[tuple, dict[int | None, list]] = defaultdict(lambda: defaultdict(list))
        self._bins: dict[tuple, tuple[np.ndarray, ...]] = {}
        readers = {
            "metrics": self._read_metrics, "vicinal": self._read_vicinal, "confusion": self._read_confusion,
            "reliability": self._read_reliability,
        }  # fmt: skip
        for name, table in tables.items():
            self._read_models(table)
            readers[name](table)
        self.settings = sorted(set(self._settings.values()), key=order)
        self._pretrained |= {self.teacher_of(s) for s in self._taught_by_pretrained}
        self._several = len({s.data for s in self.settings}) > 1
        self._variants: dict[tuple, list[tuple]] = defaultdict(list)
        for s in self.settings:
            for name in ("recipe", "source"):
                found = self._variants[name, s.role, s.data, s.model]
                if getattr(s, name) and getattr(s, name) not in found:  # most tables lack these columns
                    found.append(getattr(s, name))

    def _read_models(self, table: pd.DataFrame) -> None:
        """Keep what a table says of its runs; the first table that has a run says its setting and seed."""
        settings = [*FIELDS, *(c for c in table if c in more_weights(table) or str(c).startswith(VARIANT))]
        origins = [c for c in ("teacher_id", PRETRAINED, TEACHER_PRETRAINED) if c in table]
        for row in table[["model_id", "seed", *settings, *origins]].drop_duplicates("model_id").to_dict("records"):
            id_ = row["model_id"]
            setting = self._settings.setdefault(id_, read_setting({c: row[c] for c in settings}))
            seed = self._seeds.setdefault(id_, ALL_SEEDS if pd.isna(row["seed"]) else int(row["seed"]))
            if seed is ALL_SEEDS:
                self._given.add(setting)
            if "teacher_id" in origins:
                self._teacher_ids.setdefault(setting, row["teacher_id"])
            if _is_true(row.get(PRETRAINED)):
                self._pretrained.add(setting)
            if _is_true(row.get(TEACHER_PRETRAINED)):
                self._taught_by_pretrained.add(setting)

    def _add(self, table: pd.DataFrame, *keys: str) -> None:
        """Index the value of each row by its setting and what its columns ``keys`` say."""
        for id_, value, *key in table[["model_id", "value", *keys]].itertuples(index=False, name=None):
            self._values[self._settings[id_], *key][self._seeds[id_]].append(value)

    def _read_metrics(self, table: pd.DataFrame) -> None:
        self._add(table[table["split"].eq("test")], "metric")

    def _read_vicinal(self, table: pd.DataFrame) -> None:
        table = table[table["metric"].isin(["nonlinearity", "nonlinearity_matched", "imitation_weight"])]
        for pairs, low, high in (WHOLE, PEAK):
            of_range = np.isclose(table["lam_low"], low) & np.isclose(table["lam_high"], high)
            self._add(table[table["pairs"].isin([pairs]) & of_range], "metric", "split", "pairs")

    def _read_confusion(self, table: pd.DataFrame) -> None:
        self._add(table[table["split"].eq("test") & table["role"].eq(TEACHER)], "metric", "softmax_temperature")

    def _read_reliability(self, table: pd.DataFrame) -> None:
        for id_, bins in table.groupby("model_id", observed=True, sort=False):
            low, high, count, confidence = (bins[c].to_numpy() for c in ("low", "high", "count", "confidence"))
            if _usable(low, high, count, confidence):
                filled = count > 0
                self._bins[self._settings[id_], self._seeds[id_]] = count[filled], confidence[filled]

    def _series(self, what: str, setting: Setting, *keys: Any) -> Series:
        own = setting if setting.role == TEACHER or not self._given else self.teacher_of(setting)
        return Series(what, self._values.get((setting, *keys), {}), GIVEN_TEACHER if own in self._given else "")

    def bins(self, setting: Setting, seed: int) -> tuple[np.ndarray, ...] | None:
        """Return counts and mean confidences of a run's filled reliability bins; None if they are missing or broken."""
        return self._bins.get((setting, seed))

    def metric(self, setting: Setting, name: str) -> Series:
        """Return a metric on the clean test inputs."""
        return self._series(f"{name} of {self.describe(setting)}", setting, name)

    def vicinal(self, setting: Setting, name: str, split: str = "test", pairs: str = "all") -> Series:
        """Return a metric on vicinal pairs: of ``all`` pairs over every λ, of ``different`` ones at the peak."""
        return self._series(f"{name} of {self.describe(setting)}", setting, name, split, pairs)

    def confusion(self, setting: Setting, name: str, temperature: float) -> Series:
        """Return a measure of a teacher's confusion, queried at ``temperature``."""
        what = f"{name} of {self.describe(setting)} at T = {temperature:g} (table confusion)"
        return self._series(what, setting, name, float(temperature))

    def confusion_temperatures(self, setting: Setting, name: str) -> list[float]:
        """Return the temperatures at which a teacher's confusion was measured."""
        return sorted(key[2] for key in self._values if len(key) == 3 and key[:2] == (setting, name))

    def teachers(self) -> list[Setting]:
        """Return all teachers."""
        return [s for s in self.settings if s.role == TEACHER]

    def students(self, method: str = "kd_mixup") -> list[Setting]:
        """Return the students of a method."""
        return [s for s in self.settings if s.role == STUDENT and s.method == method]

    def teacher_of(self, student: Setting) -> Setting:
        """Return the setting of a student's teacher; if it is in no table it has no values.

        If the tables do not say which teacher it was, one of the same recipe is preferred.
        """
        name, alpha, source = str(student.teacher), student.teacher_mixup_alpha, student.source
        known = self._settings.get(self._teacher_ids.get(student))
        if known is not None and (known.role, known.model, known.alpha) == (TEACHER, name, alpha):
            return known
        wanted = (student.data, name, alpha, source)
        found = [s for s in self.teachers() if (s.data, s.model, s.alpha, s.source) == wanted]
        if found:
            return next((s for s in found if s.recipe == student.recipe), found[0])
        method = "ce" if alpha is None else "ce_mixup"
        return Setting(TEACHER, student.data, name, method, alpha, *[None] * 4, 0.0, 1.0, source=source)

    def pretraining_warning(self, setting: Setting, why: str) -> str:
        """Return a warning if a run started from weights pretrained with mixup; ``why`` says why it matters."""
        if setting not in self._pretrained:
            return ""
        return f"{setting.role} {self._prefix(setting)}{setting.model} was pretrained with mixup: {why}"

    def label(self, setting: Setting, versus: str = "") -> str:
        """Return a setting as a cell of the scorecard."""
        parts = [self._prefix(setting) + (arrow(setting) if setting.teacher else setting.model)]
        parts += in_words(setting, brief=True) + (["KD"] if setting.method == "kd" else [])
        return ", ".join([*parts, f"vs {METHOD_NAMES.get(versus, versus)}"] if versus else parts)

    def describe(self, setting: Setting) -> str:
        """Return a setting as a run that can be asked for."""
        if setting.role == TEACHER:
            with_mixup = f" trained with mixup (α = {setting.alpha:g})" if setting.alpha is not None else ""
            return f"{self._prefix(setting)}the teacher {setting.model}{with_mixup}"
        details = ", ".join(in_words(setting, brief=False))
        method = METHOD_NAMES.get(setting.method, setting.method)
        return f"{self._prefix(setting)}{method} {arrow(setting)}" + (f" ({details})" if details else "")

    def _prefix(self, setting: Setting) -> str:
        parts = [setting.data] if self._several else []
        for name, words in (("source", "data settings"), ("recipe", "recipe")):
            found = self._variants.get((name, setting.role, setting.data, setting.model), [])
            if len(found) > 1 and getattr(setting, name) in found:
                parts.append(f"{words} {found.index(getattr(setting, name)) + 1}")
        return "".join(f"{part}: " for part in parts)


def primary_students(runs: Runs) -> list[Setting]:
    """Return the kd_mixup settings of the primary cells of all pairs; none if there are no such runs at all.

    A pair that was only distilled in another way (by kd, at another T or α) has a primary cell too, and so has a
    teacher without a student: the claim names their missing runs, so that a lost pair is noticed.
    """
    present = [s for s in runs.students() if is_primary(s)]
    pairs = [primary_of(s) for s in runs.students() + runs.students("kd") if is_default(s)]
    return list(dict.fromkeys(present + pairs + lost_pairs(runs))) if present else []


def lost_pairs(runs: Runs) -> list[Setting]:
    """Return the primary cells of teachers without mixup that have no student of any setting in the tables.

    An experiment trains a teacher only for its students. The student is named if all pairs have the same one.
    """
    present = [s for s in runs.students() if is_primary(s)]
    taught = {(s.data, s.teacher) for s in runs.students() + runs.students("kd")}
    idle = [t for t in runs.teachers() if t.alpha is None and (t.data, t.model) not in taught]
    models = {s.model for s in present}
    model = models.pop() if len(models) == 1 else "any student"
    return [present[0]._replace(data=t.data, teacher=t.model, model=model) for t in idle] if present else []


def missing_primary(runs: Runs, what: str = "") -> str:
    """Return the runs that a claim without a primary cell needs; ``what`` replaces "at T = 2, logit scale 1"."""
    pairs = sorted({arrow(s) for s in runs.students("kd_mixup") + runs.students("kd")})
    of = f" {', '.join(pairs)}" if pairs else " students"
    weights = f"kd_weight {PRIMARY_WEIGHTS[0]:g}, ce_weight {PRIMARY_WEIGHTS[1]:g}"
    where = what or f"at T = {PRIMARY_TEMPERATURE:g}, logit scale 1"
    return f"KD + mixup{of} with α = {PRIMARY_ALPHA:g} {where}, {weights}, teachers without mixup"


def _usable(low: np.ndarray, high: np.ndarray, count: np.ndarray, confidence: np.ndarray) -> bool:
    """Return whether reliability bins are those of one run: side by side from 0 to 1, each mean within its bin."""
    order = np.argsort(low, kind="stable")
    edges = np.append(low[order], 1.0)
    tiled = np.isclose(edges[0], 0) and np.allclose(high[order], edges[1:])
    filled = count > 0
    inside = (confidence >= low - 1e-6) & (confidence <= high + 1e-6)
    return bool(tiled and (count >= 0).all() and (count % 1 == 0).all() and filled.any() and inside[filled].all())


def _is_true(flag: Any) -> bool:
    """Return whether a flag of a table is set, whatever the type of its column."""
    return not pd.isna(flag) and str(flag).lower() in ("true", "1", "1.0")
