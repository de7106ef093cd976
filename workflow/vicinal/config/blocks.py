"""The blocks of a grid: which students an experiment trains, and with which loss."""

import re
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from vicinal.config.section import Section
from vicinal.config.teacher import TeacherEntry, TeacherOrName
from vicinal.config.values import METHODS, Alpha, MethodName, ModelName, NotNegative, Positive, Seed, Temperature
from vicinal.spec import exact_number

MOST_SEEDS = 1_000


def distinct(values: list) -> list:
    """Return the entries of a list; ValueError if there is none, or one twice."""
    if not values:
        raise ValueError("the list is empty: give at least one entry")
    for position, value in enumerate(values):
        if value in values[:position]:
            shown = f"teacher {value.model}" if isinstance(value, TeacherEntry) else exact_number(value)
            raise ValueError(f"{shown} is listed twice")
    return values


def _seeds(value: Any) -> Any:
    """Return the numbers of ``range(N)`` or ``range(A, B)``, as Python counts them."""
    found = re.fullmatch(r"range\(\s*(?:(\d{1,18})\s*,\s*)?(\d{1,18})\s*\)", value) if isinstance(value, str) else None
    if not found:
        return value
    seeds = range(int(found[1] or 0), int(found[2]))
    if len(seeds) > MOST_SEEDS:
        raise ValueError(f"{value}: {len(seeds):,} seeds; give at most {MOST_SEEDS:,}")
    return list(seeds)


_Range = Annotated[str, Field(pattern=r"^range\((\d+, *)?\d+\)$")]
Seeds = Annotated[
    list[Seed], AfterValidator(distinct), BeforeValidator(_seeds, json_schema_input_type=list[Seed] | _Range)
]


class Loss(Section):
    """Weights of the loss: ce_weight · CE + kd_weight · T² · KL(teacher ‖ student)."""

    # One field a term: NAME_weight is the weight of ``loss`` in training.losses.NAME. The default of a new term is 0,
    # so that results without it keep their ids.

    kd_weight: NotNegative = Field(1.0, description="weight of the distillation term")
    ce_weight: NotNegative = Field(0.0, description="weight of the cross-entropy with the (mixed) labels")

    @model_validator(mode="after")
    def _some_weight(self) -> "Loss":
        terms = [name for name in type(self).model_fields if name != "ce_weight"]
        if not any(getattr(self, name) for name in terms):
            also = f" (also {', '.join(terms[1:])})" if terms[1:] else ""
            raise ValueError(f"{terms[0]} is 0{also}: nothing is distilled; use the methods ce and ce_mixup")
        return self


class Grid(Section):
    """A block of students: every combination of its lists."""

    teachers: Annotated[list[TeacherOrName], AfterValidator(distinct)] | None = Field(
        None, description="teachers: names, or {model, mixup_alpha, weights, normalisation}; ce and ce_mixup use none"
    )
    students: Annotated[list[ModelName], AfterValidator(distinct)] = Field(description="models of the students")
    methods: Annotated[list[MethodName], AfterValidator(distinct)] = Field(description=f"of {', '.join(METHODS)}")
    alphas: Annotated[list[Alpha], AfterValidator(distinct)] = Field(
        [1.0], description="α of Beta(α, α), for the mixup methods"
    )
    temperatures: Annotated[list[Temperature], AfterValidator(distinct)] = Field(
        [2.0], description="T of the distillation: numbers > 0, or std (logits divided by their standard deviation)"
    )
    logit_scales: Annotated[list[Positive], AfterValidator(distinct)] = Field(
        [1.0], description="factors on the teacher's logits: the same predictions, another calibration"
    )
    seeds: Seeds | None = Field(None, description="in place of the experiment's seeds")
    loss: Loss | None = Field(None, description="in place of the experiment's loss")

    @model_validator(mode="after")
    def _teachers_for_distillation(self) -> "Grid":
        if not self.teachers and any(method.startswith("kd") for method in self.methods):
            raise ValueError("methods kd and kd_mixup need teachers: name at least one")
        return self


def named_blocks(blocks: Any) -> Any:
    """Return the blocks of a grid by name; those of a list by their positions, and without those that are null."""
    if isinstance(blocks, list):
        blocks = {str(position): block for position, block in enumerate(blocks)}
    return {name: block for name, block in blocks.items() if block is not None} if isinstance(blocks, dict) else blocks


BlockName = Annotated[str, Field(pattern=r"^\w[\w-]*$", max_length=64)]
Blocks = Annotated[
    dict[BlockName, Grid], BeforeValidator(named_blocks, json_schema_input_type=dict[BlockName, Grid | None])
]
