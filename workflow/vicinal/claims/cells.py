"""The runs of an experiment by setting, and which of them a claim compares."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from vicinal.claims.samples import ALL_SEEDS, Series
from vicinal.claims.settings import (
    FIELDS,
    PRIMARY_ALPHA,
    PRIMARY_TEMPERATURE,
    PRIMARY_WEIGHTS,
    Setting,
    arrow,
    in_words,
    is_default,
    is_primary,
    is_true,
    order,
    primary_of,
    read_seed,
    read_setting,
)
from vicinal.errors import VicinalError
from vicinal.spec import more_weights
from vicinal.tidy import TEACHER, missing, number

WHOLE, PEAK = ("all", 0.0, 1.0), ("different", 0.45, 0.55)
GIVEN_TEACHER = "a given teacher, one for all seeds: the interval is over the seeds of its students alone"
# Flags of the weights that a run started from, and of those that its teacher did; absent from older tables.
PRETRAINED, TEACHER_PRETRAINED = "pretraining_mixup", "teacher_pretraining_mixup"


class Runs:
    """The tables of an experiment, indexed by setting."""

    def __init__(self, tables: Mapping[str, pd.DataFrame]) -> None:
        """Index the tables metrics, vicinal, confusion and reliability, of those that are there.

        Raises:
            VicinalError: a table lacks a column, or has a value that cannot be; two runs have one id.
        """
        self.tables = {name for name, table in tables.items() if table is not None and len(table)}
        self._settings: dict[Any, Setting] = {}
        self._seeds: dict[Any, int | None] = {}
        self._given: set[Setting] = set()  # teachers without a seed: one for all
        self._teacher_ids: dict[Setting, Any] = {}
        self._pretrained: set[Setting] = set()  # with mixup
        self._taught_by_pretrained: set[Setting] = set()
        self._values: dict[tuple, dict[int | None, list]] = defaultdict(lambda: defaultdict(list))
        self._bins: dict[tuple, tuple[np.ndarray, ...]] = {}
        for name, read in (
            ("metrics", self._read_metrics), ("vicinal", self._read_vicinal), ("reliability", self._read_reliability),
            ("confusion", self._read_confusion),
        ):  # fmt: skip
            if name in self.tables:
                read(tables[name])
        self.settings = sorted(set(self._settings.values()), key=order)
        self._pretrained |= {self.teacher_of(s) for s in self._taught_by_pretrained}
        self._several = len({s.data for s in self.settings}) > 1
        self._variants: dict[tuple, list[tuple]] = defaultdict(list)
        for s in self.settings:
            for name in ("recipe", "source"):
                found = self._variants[name, s.role, s.data, s.model]
                if getattr(s, name) and getattr(s, name) not in found:  # some tables do not say
                    found.append(getattr(s, name))

    def _describe(self, name: str, table: pd.DataFrame, needed: Iterable[str]) -> None:
        absent = [column for column in ("model_id", "seed", *FIELDS, *needed) if column not in table]
        if absent:
            raise VicinalError(f"table {name}: column {absent[0]} is missing; make the tables again with ./reproduce")
        columns = [str(column) for column in table]
        variant = [c for c in columns if c.startswith(("recipe_", "data_"))]
        settings = [*FIELDS, *more_weights(columns), *variant]
        more = [c for c in ("teacher_id", PRETRAINED, TEACHER_PRETRAINED) if c in columns]
        for row in table[["model_id", "seed", *settings, *more]].drop_duplicates().to_dict("records"):
            id_, where = row["model_id"], f"table {name}: {row['model_id']}"
            if missing(id_):
                raise VicinalError(f"table {name}: a row has no model_id; make the tables again with ./reproduce")
            fields = {c: row[c] for c in settings}
            seed = read_seed(row["seed"], row["role"], where)
            self._know(id_, seed, read_setting(fields, where), where, bool(variant))
            setting = self._settings[id_]
            if seed is ALL_SEEDS:
                self._given.add(setting)
            if "teacher_id" in more:
                self._teacher_ids.setdefault(setting, row["teacher_id"])
            if is_true(row.get(PRETRAINED)):
                self._pretrained.add(setting)
            if is_true(row.get(TEACHER_PRETRAINED)):
                self._taught_by_pretrained.add(setting)

    def _know(self, id_: Any, seed: int | None, setting: Setting, where: str, whole: bool) -> None:
        """Keep the setting and the seed of a run; ``whole`` settings have those of the recipe and the data too.

        Raises:
            VicinalError: the id has another setting or seed already.
        """
        known = self._settings.setdefault(id_, setting)
        differs = [f for f in FIELDS if getattr(known, f) != getattr(setting, f)]
        if known.others != setting.others:
            differs.append("the weights of other terms")
        if whole and not differs and known != setting and (known.recipe or known.source):
            differs = ["the recipe or the data"]
        if self._seeds.setdefault(id_, seed) != seed:
            differs = ["seed"]
        if differs:
            raise VicinalError(
                f"{where}: two runs have this id, they differ in {', '.join(differs)}; give each run its own"
            )

    def _add(self, name: str, table: pd.DataFrame, *keys: Any) -> None:
        """Index ``value`` of each row by its setting and by ``keys``: arrays of the table's length."""
        for id_, value, *key in zip(
            table["model_id"].tolist(), _floats(name, table, "value").tolist(), *keys, strict=True
        ):
            self._values[self._settings[id_], *key][self._seeds[id_]].append(value)

    def _read_metrics(self, table: pd.DataFrame) -> None:
        self._describe("metrics", table, ("split", "metric", "value"))
        table = table[_are(table, "split", "test")]
        self._add("metrics", table, table["metric"].tolist())

    def _read_vicinal(self, table: pd.DataFrame) -> None:
        self._describe("vicinal", table, ("split", "pairs", "lam_low", "lam_high", "metric", "value"))
        chosen = np.zeros(len(table), dtype=bool)
        low, high = (_floats("vicinal", table, column) for column in ("lam_low", "lam_high"))
        for pairs, start, end in (WHOLE, PEAK):
            chosen |= _are(table, "pairs", pairs) & np.isclose(low, start) & np.isclose(high, end)
        table = table[chosen & _are(table, "metric", "nonlinearity", "nonlinearity_matched")]
        self._add("vicinal", table, table["metric"].tolist(), table["split"].tolist(), table["pairs"].tolist())

    def _read_confusion(self, table: pd.DataFrame) -> None:
        self._describe("confusion", table, ("split", "softmax_temperature", "metric", "value"))
        table = table[_are(table, "split", "test") & _are(table, "role", TEACHER)]
        self._add(
            "confusion", table, table["metric"].tolist(), _floats("confusion", table, "softmax_temperature").tolist()
        )

    def _read_reliability(self, table: pd.DataFrame) -> None:
        names = ("low", "high", "count", "confidence")
        self._describe("reliability", table, names)
        columns = [_floats("reliability", table, column) for column in names]
        codes, ids = pd.factorize(table["model_id"])
        rows_of = np.argsort(codes, kind="stable")
        cuts = np.cumsum(np.bincount(codes))[:-1]
        for id_, rows in zip(ids, np.split(rows_of, cuts), strict=True):
            low, high, count, confidence = (column[rows] for column in columns)
            if _usable(low, high, count, confidence):
                filled = count > 0
                self._bins[self._settings[id_], self._seeds[id_]] = count[filled], confidence[filled]

    def _series(self, what: str, setting: Setting, *keys: Any) -> Series:
        own = setting if setting.role == TEACHER or not self._given else self.teacher_of(setting)
        return Series(what, self._values.get((setting, *keys), {}), GIVEN_TEACHER if own in self._given else "")

    def bins(self, setting: Setting, seed: int) -> tuple[np.ndarray, ...] | None:
        """Return counts and mean confidences of a run's filled reliability bins, None if there are none to be used."""
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
        """Return the temperatures at which a measure of a teacher's confusion is there."""
        return sorted(key[2] for key in self._values if len(key) == 3 and key[:2] == (setting, name))

    def teachers(self) -> list[Setting]:
        """Return all teachers."""
        return [s for s in self.settings if s.role == TEACHER]

    def students(self, method: str = "kd_mixup") -> list[Setting]:
        """Return the students of a method."""
        return [s for s in self.settings if s.role == "student" and s.method == method]

    def teacher_of(self, student: Setting) -> Setting:
        """Return the setting of a student's teacher; one that is in no table has no values.

        Where the tables do not say which teacher it was, one of the same recipe is preferred.
        """
        known = self._settings.get(self._teacher_ids.get(student))
        if known is not None and (known.role, known.model, known.alpha) == (
            TEACHER, student.teacher, student.teacher_mixup_alpha,
        ):  # fmt: skip
            return known
        name, alpha, source = str(student.teacher), student.teacher_mixup_alpha, student.source
        wanted = (student.data, name, alpha, source)
        found = [s for s in self.teachers() if (s.data, s.model, s.alpha, s.source) == wanted]
        if found:
            return next((s for s in found if s.recipe == student.recipe), found[0])
        method = "ce" if alpha is None else "ce_mixup"
        return Setting(TEACHER, student.data, name, method, alpha, *[None] * 4, 0.0, 1.0, source=source)

    def pretraining_warning(self, setting: Setting, why: str) -> str:
        """Return the warning, with ``why`` it matters, where a run started from weights pretrained with mixup."""
        if setting not in self._pretrained:
            return ""
        return f"{setting.role} {self._prefix(setting)}{setting.model} was pretrained with mixup: {why}"

    def label(self, setting: Setting, versus: str = "") -> str:
        """Return a setting as a cell of the scorecard."""
        parts = [self._prefix(setting) + (arrow(setting) if setting.teacher else setting.model)]
        parts += in_words(setting, brief=True)
        return ", ".join([*parts, f"vs {versus}"] if versus else parts)

    def describe(self, setting: Setting) -> str:
        """Return a setting as a run that can be asked for."""
        if setting.role == TEACHER:
            with_mixup = f" trained with mixup (α = {setting.alpha:g})" if setting.alpha is not None else ""
            return f"{self._prefix(setting)}the teacher {setting.model}{with_mixup}"
        details = in_words(setting, brief=False)
        return f"{self._prefix(setting)}{setting.method} {arrow(setting)}" + (
            f" ({', '.join(details)})" if details else ""
        )

    def _prefix(self, setting: Setting) -> str:
        parts = [setting.data] if self._several else []
        for name, words in (("source", "data settings"), ("recipe", "recipe")):
            found = self._variants.get((name, setting.role, setting.data, setting.model), [])
            if len(found) > 1 and getattr(setting, name) in found:
                parts.append(f"{words} {found.index(getattr(setting, name)) + 1}")
        return "".join(f"{part}: " for part in parts)


def primary_students(runs: Runs) -> list[Setting]:
    """Return the kd_mixup settings of the primary cells of all pairs; none where there are no such runs at all.

    A pair that was distilled in another way only (by kd, at another T or α) has a primary cell too, so has a teacher
    without any student: the runs are missing, and the claim must say so, or a lost pair would go unnoticed.
    """
    present = [s for s in runs.students() if is_primary(s)]
    pairs = [primary_of(s) for s in runs.students() + runs.students("kd") if is_default(s)]
    return list(dict.fromkeys(present + pairs + lost_pairs(runs))) if present else []


def lost_pairs(runs: Runs) -> list[Setting]:
    """Return the primary cells of teachers without mixup that have no student in the tables, whatever its setting.

    An experiment trains a teacher for its students only. The student is named where there is but one.
    """
    present = [s for s in runs.students() if is_primary(s)]
    taught = {(s.data, s.teacher) for s in runs.students() + runs.students("kd")}
    idle = [t for t in runs.teachers() if t.alpha is None and (t.data, t.model) not in taught]
    models = {s.model for s in present}
    model = models.pop() if len(models) == 1 else "any student"
    return [present[0]._replace(data=t.data, teacher=t.model, model=model) for t in idle] if present else []


def missing_primary(runs: Runs, what: str = "") -> str:
    """Return which runs a claim needs that has no primary cell at all."""
    pairs = sorted({arrow(s) for s in runs.students("kd_mixup") + runs.students("kd")})
    of = f" {', '.join(pairs)}" if pairs else " students"
    weights = f"kd_weight {PRIMARY_WEIGHTS[0]:g}, ce_weight {PRIMARY_WEIGHTS[1]:g}"
    where = what or f"at T = {PRIMARY_TEMPERATURE:g}, logit_scale 1"
    return f"kd_mixup{of} with α = {PRIMARY_ALPHA:g} {where}, {weights}, teachers without mixup"


def _floats(name: str, table: pd.DataFrame, column: str) -> np.ndarray:
    """Return a column (rows,) as float64, NaN where there is no value, whatever its type in the table."""
    try:
        return table[column].to_numpy(dtype=np.float64, na_value=np.nan)
    except (TypeError, ValueError):
        where = f"table {name}: column {column}"
        values = [np.nan if missing(value) else number(value, where) for value in table[column]]
        return np.array(values, dtype=np.float64)


def _are(table: pd.DataFrame, column: str, *values: str) -> np.ndarray:
    """Return in which rows a column has one of the values: shape (rows,), bool."""
    return table[column].isin(values).to_numpy(dtype=bool)


def _usable(low: np.ndarray, high: np.ndarray, count: np.ndarray, confidence: np.ndarray) -> bool:
    """Return whether these are the reliability bins of one run: side by side from 0 to 1, each mean within its bin."""
    order = np.argsort(low, kind="stable")
    edges = np.append(low[order], 1.0)
    tiled = np.isclose(edges[0], 0) and np.allclose(high[order], edges[1:])
    filled = count > 0
    inside = (confidence >= low - 1e-6) & (confidence <= high + 1e-6)
    return bool(tiled and (count >= 0).all() and (count % 1 == 0).all() and filled.any() and inside[filled].all())
