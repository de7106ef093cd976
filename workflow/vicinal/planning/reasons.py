"""The nearest relative of a result that is wanted and not there: it tells which setting is new, or has changed."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from functools import cache, cached_property
from pathlib import Path
from typing import Any, NamedTuple

from vicinal.files import read_object
from vicinal.models.registry import ARCHITECTURES, architecture
from vicinal.planning.plans import Plan
from vicinal.results import MEASURED, ON_DEVICE, PLAN, STAGES
from vicinal.spec import GIVEN, canonical, exact_number

# What the lists of a grid vary. Anything else that differs is a setting that has changed.
AXES = ("model", "teacher", "teacher mixup alpha", "alpha", "temperature", "logit scale", "seed")
# The stages whose results are compared.
COMPARED = ("data", *ON_DEVICE)
DATA, WEIGHTS = "data.name", "grids.teachers.weights.sha256"
SHOWN = 4
ABSENT = "none"


class Traits(NamedTuple):
    """A spec in two parts: where it stands on the axes of the grids, and all other settings, flat."""

    axes: tuple[str, ...]
    settings: dict[str, str]


class Relatives:
    """The finished results of a results folder, as far as they have a plan file."""

    def __init__(self, results: Path) -> None:
        self.results = results

    def reasons(self, plan: Plan) -> list[str]:
        """Return why a result that was never made is wanted: the settings in which it differs from its nearest kin."""
        if plan.stage not in COMPARED:
            return ["new"]
        wanted = traits(plan.stage, plan.content["spec"])
        # Results on another data set are no kin.
        known = [group for group in self._known[plan.stage] if group[0].get(DATA) == wanted.settings.get(DATA)]
        if plan.stage == "teachers":  # nor are a trained and a given one
            known = [group for group in known if (WEIGHTS in group[0]) == (WEIGHTS in wanted.settings)]
        if not known:
            return ["new"]
        # Of the groups of equal settings that with the fewest differences, of its members that nearest on the axes.
        groups = [(changed_settings(settings, wanted.settings), members) for settings, members in known]
        fewest = min(len(changed) for changed, _ in groups)
        options = [
            (_axis_differences(axes, wanted.axes), changed)
            for changed, members in groups
            if len(changed) == fewest or wanted.axes in members
            for axes in members
        ]
        new, changed = min(options, key=lambda option: (len(option[0]), len(option[1])))
        return [*_shortened(changed), *(f"new: {axis}" for axis in new)] or ["new"]

    @cached_property
    def _known(self) -> dict[str, list[tuple[dict[str, str], set[tuple[str, ...]]]]]:
        """Return stage → groups of equal settings, each with the places of its members on the axes."""
        groups: dict[str, dict[str, tuple[dict[str, str], set]]] = defaultdict(dict)
        for stage in COMPARED:
            for path in (self.results / PLAN / stage).glob("*.json"):
                if (self.results / STAGES[stage].output_of(path.stem)).exists() and (spec := _spec(path)) is not None:
                    own = traits(stage, spec)
                    _, members = groups[stage].setdefault(canonical(own.settings), (own.settings, set()))
                    members.add(own.axes)
        return {stage: list(groups[stage].values()) for stage in COMPARED}


def student_reason(own: Mapping[str, Any], others: Iterable[Mapping[str, Any]]) -> str:
    """Return why a student of a cohort that has others is wanted.

    Args:
        own: what sets it apart in its cohort.
        others: the same of the students that were there.
    """
    wanted = traits("cohorts", own)
    found = [traits("cohorts", other) for other in others]
    options = [
        (_axis_differences(other.axes, wanted.axes), changed_settings(other.settings, wanted.settings))
        for other in found
    ]
    new, changed = min(options, key=lambda option: len(option[0]) + len(option[1]), default=([], []))
    return "; ".join([*_shortened(changed), *(f"new: {axis}" for axis in new)]) or "new"


def traits(stage: str, spec: Mapping[str, Any]) -> Traits:
    """Return the traits of a spec, settings by their names in the config."""
    spec = dict(spec)
    settings: dict[str, str] = {}
    if stage in MEASURED:
        unit = spec.pop("unit")
        _flatten("evaluation", spec, settings)
        spec = unit
    if stage == "data":
        spec = {"data": spec}
    teacher = spec.get("teacher") or {}
    axes = (
        _model_name(canonical(spec["model"])) if "model" in spec else ABSENT,
        _model_name(canonical(teacher["model"])) if teacher else ABSENT,
        _value(teacher.get("alpha")),
        _value(spec.get("alpha")),
        _value(spec.get("temperature")),
        _value(spec.get("logit_scale", 1)),
        _value(spec.get("seed")),
    )
    for section in ("data", "recipe", "loss"):
        _flatten(section, spec.get(section, {}), settings)
    _flatten("grids.teachers.weights", (teacher or spec).get(GIVEN, {}), settings)
    _flatten("grids.teachers.normalisation", (teacher or spec).get("normalisation", {}), settings)
    teachers: dict[str, str] = {}
    _flatten("teacher_recipe", teacher.get("recipe", {}), teachers)
    # Where the teacher's recipe is the student's, one name is enough.
    for name, value in teachers.items():
        if settings.get(name.removeprefix("teacher_")) != value:
            settings[name] = value
    return Traits(axes, settings)


def changed_settings(before: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """Return the settings that differ, as ``field: old → new``."""
    return [
        f"{name}: {before.get(name, ABSENT)} → {now.get(name, ABSENT)}"
        for name in sorted({*before, *now})
        if before.get(name, ABSENT) != now.get(name, ABSENT)
    ]


def _axis_differences(before: tuple[str, ...], now: tuple[str, ...]) -> list[str]:
    return [f"{axis} {new}" for axis, old, new in zip(AXES, before, now, strict=True) if old != new]


def _shortened(reasons: list[str]) -> list[str]:
    return reasons if len(reasons) <= SHOWN else [*reasons[:SHOWN], f"{len(reasons) - SHOWN} more settings"]


def _flatten(name: str, value: Any, into: dict[str, str]) -> None:
    if isinstance(value, Mapping):
        for key, entry in value.items():
            if key != "stage":
                _flatten(f"{name}.{key}", entry, into)
    else:
        into[name] = _value(value)


def _value(value: Any) -> str:
    if value is None:
        return ABSENT
    if isinstance(value, list):
        return f"[{', '.join(map(_value, value))}]"
    text = (
        exact_number(value)
        if isinstance(value, int | float | str) and not isinstance(value, bool)
        else str(value).lower()
    )
    return f"{text[:8]}…" if len(text) >= 32 else text  # a checksum


@cache
def _model_name(spec: str) -> str:
    return next((name for name in ARCHITECTURES if canonical(architecture(name)) == spec), spec)


def _spec(path: Path) -> dict[str, Any] | None:
    return read_object(path).get("spec")
