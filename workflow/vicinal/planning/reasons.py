"""Why a result that was never made is wanted: which settings differ from those of the most similar finished result."""

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
from vicinal.words import count

# What the lists of a grid vary: shown as ``new``. Anything else that differs is shown as a changed setting.
AXES = ("model", "teacher", "teacher mixup alpha", "alpha", "temperature", "logit scale", "seed")
# The stages whose results are compared.
COMPARED = ("data", *ON_DEVICE)
DATA, WEIGHTS = "data.name", "grids.teachers.weights.sha256"
SHOWN = 4
ABSENT = "none"


class Traits(NamedTuple):
    """A spec in two parts: its values on the axes of the grids, and all other settings, flat."""

    axes: tuple[str, ...]
    settings: dict[str, str]


class Relatives:
    """The finished results of a results folder that have a plan file."""

    def __init__(self, results: Path) -> None:
        self.results = results

    def reasons(self, plan: Plan) -> list[str]:
        """Return the settings in which a result that was never made differs from the most similar one."""
        if plan.stage not in COMPARED:
            return ["new"]
        wanted = traits(plan.stage, plan.content["spec"])
        # Results on other data are not compared, nor trained teachers with given ones.
        known = [group for group in self._known[plan.stage] if group[0].get(DATA) == wanted.settings.get(DATA)]
        if plan.stage == "teachers":
            known = [group for group in known if (WEIGHTS in group[0]) == (WEIGHTS in wanted.settings)]
        # Of the groups of equal settings the one with the fewest differences; of its members the nearest on the axes.
        groups = [(_changed_settings(settings, wanted.settings), members) for settings, members in known]
        fewest = min((len(changed) for changed, _ in groups), default=0)
        options = [
            (_new_values(axes, wanted.axes), changed)
            for changed, members in groups
            if len(changed) == fewest or wanted.axes in members
            for axes in members
        ]
        return _shown(*min(options, key=lambda option: (len(option[0]), len(option[1])), default=([], [])))

    @cached_property
    def _known(self) -> dict[str, list[tuple[dict[str, str], set[tuple[str, ...]]]]]:
        """Return stage → groups of equal settings, each with the values of its members on the axes."""
        groups: dict[str, dict[str, tuple[dict[str, str], set]]] = defaultdict(dict)
        for stage in COMPARED:
            for path in (self.results / PLAN / stage).glob("*.json"):
                finished = (self.results / STAGES[stage].output_of(path.stem)).exists()
                if finished and (spec := read_object(path).get("spec")) is not None:
                    own = traits(stage, spec)
                    _, members = groups[stage].setdefault(canonical(own.settings), (own.settings, set()))
                    members.add(own.axes)
        return {stage: list(groups[stage].values()) for stage in COMPARED}


def student_reason(own: Mapping[str, Any], others: Iterable[Mapping[str, Any]]) -> str:
    """Return why a student is wanted: in what its own settings differ from those of the most similar other one."""
    wanted = traits("cohorts", own)
    options = [
        (_new_values(other.axes, wanted.axes), _changed_settings(other.settings, wanted.settings))
        for other in (traits("cohorts", other) for other in others)
    ]
    return "; ".join(_shown(*min(options, key=lambda option: len(option[0]) + len(option[1]), default=([], []))))


def traits(stage: str, spec: Mapping[str, Any]) -> Traits:
    """Return the traits of a spec, settings by their names in the config."""
    spec = dict(spec)
    settings: dict[str, str] = {}
    if stage in MEASURED:
        _flatten("evaluation", spec.pop("evaluation"), settings)
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
    # Where the teacher's recipe equals the student's, it is not named again.
    for name, value in teachers.items():
        if settings.get(name.removeprefix("teacher_")) != value:
            settings[name] = value
    return Traits(axes, settings)


def _changed_settings(before: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """Return the settings that differ, as ``field: old → new``."""
    return [
        f"{name}: {before.get(name, ABSENT)} → {now.get(name, ABSENT)}"
        for name in sorted({*before, *now})
        if before.get(name, ABSENT) != now.get(name, ABSENT)
    ]


def _new_values(before: tuple[str, ...], now: tuple[str, ...]) -> list[str]:
    return [f"new: {axis} {new}" for axis, old, new in zip(AXES, before, now, strict=True) if old != new]


def _shown(new: list[str], changed: list[str]) -> list[str]:
    """Return reasons: at most ``SHOWN`` changed settings, and all new values."""
    more = [count(len(changed) - SHOWN, "more setting")] if len(changed) > SHOWN else []
    return [*changed[:SHOWN], *more, *new] or ["new"]


def _flatten(name: str, value: Any, into: dict[str, str]) -> None:
    if isinstance(value, Mapping):
        for key, entry in value.items():
            if key not in ("stage", "subset_seed"):  # the subset follows the seed, which is an axis
                _flatten(f"{name}.{key}", entry, into)
    else:
        into[name] = _value(value)


def _value(value: Any) -> str:
    if value is None:
        return ABSENT
    if isinstance(value, list):
        return f"[{', '.join(map(_value, value))}]"
    is_plain = isinstance(value, int | float | str) and not isinstance(value, bool)
    text = exact_number(value) if is_plain else str(value).lower()
    return f"{text[:8]}…" if len(text) >= 32 else text  # a checksum


@cache
def _model_name(spec: str) -> str:
    return next((name for name in ARCHITECTURES if canonical(architecture(name)) == spec), spec)
