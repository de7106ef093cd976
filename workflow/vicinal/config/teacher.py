"""The fields of a config that describe a teacher: one that is trained, or one that is given its weights."""

from typing import Annotated, Any

from pydantic import BeforeValidator, Field, model_validator

from vicinal.config.section import Float, Section
from vicinal.config.values import Alpha, ModelName
from vicinal.errors import VicinalError, check_text, nearest
from vicinal.models.pretrained import WEIGHTS
from vicinal.spec import exact_number

# In place of a file: the weights that are published for a network.
PUBLISHED = "published"


def _channels(values: Any) -> Any:
    if not isinstance(values, list | tuple) or len(values) not in (1, 3):
        raise ValueError(f"{values!r}: give a list of 3 numbers, one a colour channel, or of 1 for grey images")
    return values


_Mean = Annotated[Float, Field(ge=0, le=1)]
# Of values in [0, 1]. A network that takes values up to 255 needs 1/255.
_Deviation = Annotated[Float, Field(ge=0.001, le=1)]


class Normalisation(Section):
    """How a network wants its images: values in [0, 1], minus the mean, divided by the deviation of each channel."""

    mean: Annotated[tuple[_Mean, ...], BeforeValidator(_channels)] = Field(
        description="mean of each channel, in [0, 1]: 3 numbers, or 1 for grey images"
    )
    std: Annotated[tuple[_Deviation, ...], BeforeValidator(_channels)] = Field(
        description="standard deviation of each channel, from 0.001 to 1: as many numbers as mean has"
    )

    @model_validator(mode="after")
    def _as_many(self) -> "Normalisation":
        if len(self.mean) != len(self.std):
            raise ValueError(f"mean has {len(self.mean)} numbers, std {len(self.std)}: give the same number of both")
        return self

    @property
    def words(self) -> str:
        """Return the text that stands in tables."""
        return f"mean {' '.join(map(exact_number, self.mean))}, std {' '.join(map(exact_number, self.std))}"


class TeacherEntry(Section):
    """A teacher: its model, and the mixup that it is trained with or the weights that it is given."""

    model: ModelName = Field(description="name of the model")
    mixup_alpha: Alpha | None = Field(
        None, description="α of the mixup that the teacher is, or its given file was, trained with; null: none"
    )
    weights: str | None = Field(
        None,
        description="not trained, one for all seeds: a file (a checkpoint that torch saved, or safetensors), or "
        "published: the model's ImageNet weights with their last layer; null: it is trained",
    )
    normalisation: Normalisation | None = Field(
        None, description="that a given file of weights was trained with; null: that of the training images"
    )

    @model_validator(mode="after")
    def _weights_can_be_used(self) -> "TeacherEntry":
        if self.weights == PUBLISHED:
            if self.model not in WEIGHTS:
                raise ValueError(f"weights: published ones of {self.model} do not exist{nearest(self.model, WEIGHTS)}")
            if self.mixup_alpha is not None:
                raise ValueError("mixup_alpha: how published weights were trained is known; leave it out")
        elif self.weights is not None:
            if not self.weights.strip():
                raise ValueError(f"weights: {self.weights!r} is not a path; name a file, or {PUBLISHED}")
            try:
                check_text("weights", self.weights)
            except VicinalError as error:
                raise ValueError(str(error)) from None
        return self

    @model_validator(mode="after")
    def _normalisation_of_a_file(self) -> "TeacherEntry":
        if self.normalisation and self.weights in (None, PUBLISHED):
            known = "that of published weights" if self.weights else "that of a teacher that is trained here"
            raise ValueError(f"normalisation: {known} is known; leave it out, or name a file of weights")
        return self

    @property
    def trained_with(self) -> float | None:
        """Return α of the mixup that the teacher is, or its weights were, trained with; None: none."""
        return WEIGHTS[self.model].mixup_alpha if self.weights == PUBLISHED else self.mixup_alpha


def _teacher(value: Any) -> Any:
    return {"model": value} if isinstance(value, str) else value


TeacherOrName = Annotated[TeacherEntry, BeforeValidator(_teacher, json_schema_input_type=str | TeacherEntry)]
