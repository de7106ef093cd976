"""The runs of an experiment by setting, and which of them a claim compares."""

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from vicinal.claims.samples import Series
from vicinal.errors import VicinalError

STD = "std"
PRIMARY_ALPHA, PRIMARY_TEMPERATURE, PRIMARY_WEIGHTS = 1.0, 2.0, (1.0, 0.0)
WHOLE, PEAK = ("all", 0.0, 1.0), ("different", 0.45, 0.55)


class Setting(NamedTuple):
    """What determines a run but its seed; None where it does not apply. ``temperature`` is a number or ``std``."""

    role: str
    data: str
    model: str
    method: str
    alpha: float | None
    teacher: str | None
    teacher_mixup_alpha: float | None
    temperature: float | str | None
    logit_scale: float | None
    kd_weight: float | None
    ce_weight: float | None
    recipe: tuple = ()  # of training
    source: tuple = ()  # the settings of the data


_FIELDS = Setting._fields[:-2]


class Runs:
    """The tables of an experiment, indexed by setting."""

    def __init__(self, tables: Mapping[str, pd.DataFrame]) -> None:
        """Index the tables metrics, vicinal, confusion and reliability, of those that are there.

        Raises:
            VicinalError: a table lacks a column.
        """
        self.tables = {name for name, table in tables.items() if table is not None and len(table)}
        self._settings: dict[Any, Setting] = {}
        self._teacher_ids: dict[Setting, Any] = {}
        self._values: dict[tuple, dict[int, list]] = defaultdict(lambda: defaultdict(list))
        self._bins: dict[tuple, tuple[np.ndarray, ...]] = {}
        for name, read in (
            ("metrics", self._read_metrics), ("vicinal", self._read_vicinal), ("reliability", self._read_reliability),
            ("confusion", self._read_confusion),
        ):  # fmt: skip
            if name in self.tables:
                read(tables[name])
        self.settings = sorted(set(self._settings.values()), key=_order)
        self._several = len({s.data for s in self.settings}) > 1
        self._variants: dict[tuple, list[tuple]] = defaultdict(list)
        for s in self.settings:
            for name in ("recipe", "source"):
                found = self._variants[name, s.role, s.data, s.model]
                if getattr(s, name) not in found:
                    found.append(getattr(s, name))

    def _describe(self, name: str, table: pd.DataFrame, needed: Iterable[str]) -> None:
        missing = [column for column in ("model_id", "seed", *_FIELDS, *needed) if column not in table]
        if missing:
            raise VicinalError(f"table {name}: column {missing[0]} is missing; make the tables again with ./reproduce")
        columns = [str(column) for column in table]
        recipe, source = ([c for c in columns if c.startswith(start)] for start in ("recipe_", "data_"))
        teacher = [c for c in columns if c == "teacher_id"]
        new = ~table["model_id"].isin(list(self._settings))
        for row in table[new].drop_duplicates("model_id").to_dict("records"):
            row = {name: None if _missing(value) else value for name, value in row.items()}
            row["temperature"] = _temperature(row["temperature"])
            variant = {"recipe": tuple(str(row[c]) for c in recipe), "source": tuple(str(row[c]) for c in source)}
            setting = Setting(**{name: row[name] for name in _FIELDS}, **variant)
            self._settings[row["model_id"]] = setting
            for name in teacher:
                self._teacher_ids.setdefault(setting, row[name])

    def _add(self, table: pd.DataFrame, *keys: Any) -> None:
        """Index ``value`` of each row by its setting and by ``keys``: arrays of the table's length."""
        ids, seeds = table["model_id"].tolist(), table["seed"].tolist()
        values = table["value"].to_numpy(dtype=np.float64, na_value=np.nan).tolist()
        for id_, seed, value, *key in zip(ids, seeds, values, *keys, strict=True):
            self._values[self._settings[id_], *key][seed].append(value)

    def _read_metrics(self, table: pd.DataFrame) -> None:
        self._describe("metrics", table, ("split", "metric", "value"))
        table = table[(table["split"] == "test").to_numpy()]
        self._add(table, table["metric"].tolist())

    def _read_vicinal(self, table: pd.DataFrame) -> None:
        self._describe("vicinal", table, ("split", "pairs", "lam_low", "lam_high", "metric", "value"))
        chosen = np.zeros(len(table), dtype=bool)
        low, high = table["lam_low"].to_numpy(), table["lam_high"].to_numpy()
        for pairs, start, end in (WHOLE, PEAK):
            chosen |= (table["pairs"] == pairs).to_numpy() & np.isclose(low, start) & np.isclose(high, end)
        chosen &= table["metric"].isin(["nonlinearity", "nonlinearity_matched"]).to_numpy()
        table = table[chosen]
        self._add(table, table["metric"].tolist(), table["split"].tolist(), table["pairs"].tolist())

    def _read_confusion(self, table: pd.DataFrame) -> None:
        self._describe("confusion", table, ("split", "softmax_temperature", "metric", "value"))
        table = table[(table["split"] == "test").to_numpy() & (table["role"] == "teacher").to_numpy()]
        self._add(table, table["metric"].tolist(), table["softmax_temperature"].tolist())

    def _read_reliability(self, table: pd.DataFrame) -> None:
        self._describe("reliability", table, ("low", "count", "confidence"))
        columns = [table[column].to_numpy() for column in ("low", "count", "confidence")]
        codes, ids = pd.factorize(table["model_id"])
        order = np.argsort(codes, kind="stable")
        cuts = np.cumsum(np.bincount(codes))[:-1]
        seeds = table["seed"].to_numpy()
        for id_, rows in zip(ids, np.split(order, cuts), strict=True):
            low, count, confidence = (column[rows] for column in columns)
            filled = count > 0
            if filled.any() and len(np.unique(low)) == len(low) and np.isfinite(confidence[filled]).all():
                self._bins[self._settings[id_], int(seeds[rows[0]])] = count[filled], confidence[filled]

    def bins(self, setting: Setting, seed: int) -> tuple[np.ndarray, ...] | None:
        """Return counts and mean confidences of a run's filled reliability bins, None if there are none to be used."""
        return self._bins.get((setting, seed))

    def metric(self, setting: Setting, name: str) -> Series:
        """Return a metric on the clean test inputs."""
        return Series(f"{name} of {self.describe(setting)}", self._values.get((setting, name), {}))

    def vicinal(self, setting: Setting, name: str, split: str = "test", pairs: str = "all") -> Series:
        """Return a metric on vicinal pairs: of ``all`` pairs over every λ, of ``different`` ones at the peak."""
        return Series(f"{name} of {self.describe(setting)}", self._values.get((setting, name, split, pairs), {}))

    def confusion(self, setting: Setting, name: str, temperature: float) -> Series:
        """Return a measure of a teacher's confusion, queried at ``temperature``."""
        what = f"{name} of {self.describe(setting)} at T = {temperature:g} (table confusion)"
        return Series(what, self._values.get((setting, name, float(temperature)), {}))

    def confusion_temperatures(self, setting: Setting, name: str) -> list[float]:
        """Return the temperatures at which a measure of a teacher's confusion is there."""
        return sorted(key[2] for key in self._values if len(key) == 3 and key[:2] == (setting, name))

    def teachers(self) -> list[Setting]:
        """Return all teachers."""
        return [s for s in self.settings if s.role == "teacher"]

    def students(self, method: str = "kd_mixup") -> list[Setting]:
        """Return the students of a method."""
        return [s for s in self.settings if s.role == "student" and s.method == method]

    def teacher_of(self, student: Setting) -> Setting:
        """Return the setting of a student's teacher; one that is in no table has no values.

        Where the tables do not say which teacher it was, one of the same recipe is preferred.
        """
        known = self._settings.get(self._teacher_ids.get(student))
        if known is not None:
            return known
        name, alpha, source = str(student.teacher), student.teacher_mixup_alpha, student.source
        wanted = (student.data, name, alpha, source)
        found = [s for s in self.teachers() if (s.data, s.model, s.alpha, s.source) == wanted]
        if found:
            return next((s for s in found if s.recipe == student.recipe), found[0])
        method = "ce" if alpha is None else "ce_mixup"
        return Setting("teacher", student.data, name, method, alpha, *[None] * 4, 0.0, 1.0, source=source)

    def label(self, setting: Setting, versus: str = "") -> str:
        """Return a setting as a cell of the scorecard."""
        parts = [self._prefix(setting) + (_arrow(setting) if setting.teacher else setting.model)]
        parts += _details(setting, brief=True)
        return ", ".join([*parts, f"vs {versus}"] if versus else parts)

    def describe(self, setting: Setting) -> str:
        """Return a setting as a run that can be asked for."""
        if setting.role == "teacher":
            with_mixup = f" trained with mixup (α = {setting.alpha:g})" if setting.alpha is not None else ""
            return f"{self._prefix(setting)}the teacher {setting.model}{with_mixup}"
        details = _details(setting, brief=False)
        return f"{self._prefix(setting)}{setting.method} {_arrow(setting)}" + (
            f" ({', '.join(details)})" if details else ""
        )

    def _prefix(self, setting: Setting) -> str:
        parts = [setting.data] if self._several else []
        for name, words in (("source", "data settings"), ("recipe", "recipe")):
            found = self._variants.get((name, setting.role, setting.data, setting.model), [])
            if len(found) > 1 and getattr(setting, name) in found:
                parts.append(f"{words} {found.index(getattr(setting, name)) + 1}")
        return "".join(f"{part}: " for part in parts)


def baseline(setting: Setting, method: str) -> Setting:
    """Return the setting of the baseline of a kd_mixup student: the same but for what the method does not have."""
    if method == "kd":
        return setting._replace(method="kd", alpha=None)
    alpha = setting.alpha if method == "ce_mixup" else None
    return Setting(
        "student", setting.data, setting.model, method, alpha, *[None] * 4, 0.0, 1.0, setting.recipe, setting.source
    )  # fmt: skip


def is_default(setting: Setting) -> bool:
    """Return whether a distilled student has a teacher without mixup, whose logits are not scaled, and the weights."""
    weights = (setting.kd_weight, setting.ce_weight)
    return setting.teacher_mixup_alpha is None and setting.logit_scale == 1 and weights == PRIMARY_WEIGHTS


def is_primary(setting: Setting) -> bool:
    """Return whether a kd_mixup student stands in a primary cell: α = 1, T = 2 and the defaults."""
    at = (setting.alpha, setting.temperature) == (PRIMARY_ALPHA, PRIMARY_TEMPERATURE)
    return setting.method == "kd_mixup" and at and is_default(setting)


def missing_primary(runs: Runs, what: str = "") -> str:
    """Return which runs a claim needs that has no primary cell at all."""
    pairs = sorted({_arrow(s) for s in runs.students("kd_mixup") + runs.students("kd")})
    of = f" {', '.join(pairs)}" if pairs else " students"
    weights = f"kd_weight {PRIMARY_WEIGHTS[0]:g}, ce_weight {PRIMARY_WEIGHTS[1]:g}"
    where = what or f"at T = {PRIMARY_TEMPERATURE:g}, logit_scale 1"
    return f"kd_mixup{of} with α = {PRIMARY_ALPHA:g} {where}, {weights}, teachers without mixup"


def _missing(value: Any) -> bool:
    return value is None or value is pd.NA or value != value  # NaN


def _temperature(value: Any) -> float | str | None:
    if _missing(value) or value == STD:
        return None if _missing(value) else STD
    try:
        return float(value)
    except ValueError:
        raise VicinalError(f"temperature: {value!r} is no number and not {STD}") from None


def _arrow(setting: Setting) -> str:
    return f"{setting.teacher} → {setting.model}" if setting.teacher else setting.model


def _details(setting: Setting, brief: bool) -> list[str]:
    """Return the settings of a student in words; ``brief`` leaves out those of the primary cells, but for T."""
    parts = []
    if setting.alpha is not None and not (brief and setting.alpha == PRIMARY_ALPHA):
        parts.append(f"α = {setting.alpha:g}")
    if setting.temperature is not None:
        t = setting.temperature
        parts.append(f"T = {t if isinstance(t, str) else format(t, 'g')}")
    if setting.logit_scale not in (None, 1):
        parts.append(f"logit_scale {setting.logit_scale:g}")
    weights = (setting.kd_weight, setting.ce_weight)
    if setting.teacher and None not in weights and weights != PRIMARY_WEIGHTS:
        parts.append(f"kd_weight {weights[0]:g}, ce_weight {weights[1]:g}")
    if setting.teacher_mixup_alpha is not None:
        parts.append(f"teacher with mixup α = {setting.teacher_mixup_alpha:g}")
    return parts


def _order(setting: Setting) -> list:
    """Return a sort key: numbers within names by value, what does not apply first, ``std`` last."""
    key: list = []
    for value in setting:
        if isinstance(value, float | int):
            key.append((1, float(value)))
        elif isinstance(value, tuple):
            key.append((2, *value))
        elif value is None:
            key.append((0,))
        else:
            key.append((2, *((int(p), "") if p.isdigit() else (-1, p) for p in re.split(r"(\d+)", value))))
    return key
