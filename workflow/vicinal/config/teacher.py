"""The fields of a config that say which teachers there are: trained ones, and such as are given as weights."""

from typing import Annotated, Any

from pydantic import BeforeValidator, Field, model_validator

from vicinal.config.section import Section
from vicinal.config.values import Alpha, ModelName
from vicinal.data.catalogue import check_text
from vicinal.errors import VicinalError, nearest
from vicinal.models.pretrained import WEIGHTS

# In place of a file: the weights that are published for a network.
PUBLISHED = "published"


class Teacher(Section):
    """A teacher: its model, and whether it is trained with mixup; or the weights that it is given."""

    model: ModelName = Field(description="name of the model")
    mixup_alpha: Alpha | None = Field(
        None, description="α of the mixup the teacher is trained with, or a given file of weights was; null: none"
    )
    weights: str | None = Field(
        None,
        description="not trained, one for all seeds: a file (safetensors, or a state dict of torch), or published: the "
        "model's ImageNet weights with their last layer; null: it is trained",
    )

    @model_validator(mode="after")
    def _weights_can_be_used(self) -> "Teacher":
        if self.weights == PUBLISHED:
            if self.model not in WEIGHTS:
                raise ValueError(f"weights: published ones of {self.model} do not exist{nearest(self.model, WEIGHTS)}")
            if self.mixup_alpha is not None:
                raise ValueError("mixup_alpha: how published weights were trained is known; leave it out")
        elif self.weights is not None:
            if not self.weights.strip():
                raise ValueError(f"weights: {self.weights!r} is no path; name a file, or {PUBLISHED}")
            try:
                check_text("weights", self.weights)
            except VicinalError as error:
                raise ValueError(str(error)) from None
        return self

    @property
    def trained_with(self) -> float | None:
        """Return α of the mixup that the teacher is, or was, trained with; None: none."""
        return WEIGHTS[self.model].mixup_alpha if self.weights == PUBLISHED else self.mixup_alpha


def _teacher(value: Any) -> Any:
    return {"model": value} if isinstance(value, str) else value


TeacherEntry = Annotated[Teacher, BeforeValidator(_teacher, json_schema_input_type=str | Teacher)]
