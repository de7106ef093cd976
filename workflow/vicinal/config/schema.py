"""The fields of a config, with their limits and defaults."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, ValidationError, create_model, model_validator
from pydantic.fields import FieldInfo

from vicinal.config.blocks import Blocks, Loss, Seeds, distinct
from vicinal.config.cluster import Cluster
from vicinal.config.data import Data
from vicinal.config.section import Float, Int, Section
from vicinal.config.teacher import TeacherEntry
from vicinal.config.values import (
    ModelName,
    NotNegative,
    Positive,
    ResultsName,
    Seed,
    check_variant,
)


class Recipe(Section):
    """How a network is trained."""

    pretrained: bool = Field(False, description="start from published ImageNet weights, all but the last layer")
    optimizer: Literal["sgd", "adam"] = Field("sgd", description="optimiser")
    epochs: Int = Field(30, ge=1, description="passes over the training split")
    batch_size: Int = Field(64, ge=2, description="images a step")
    lr: Positive = Field(0.05, description="initial learning rate")
    lr_by_model: dict[ModelName, Positive] = Field(
        {}, description="initial learning rate of the models named here, instead of lr"
    )
    momentum: Float = Field(0.9, ge=0, lt=1, description="sgd: momentum")
    nesterov: bool = Field(False, description="sgd: Nesterov momentum")
    weight_decay: NotNegative = Field(5e-4, description="L2 penalty on all parameters")
    head_epochs: Int = Field(
        0, ge=0, description="first epochs, in which the last layer is trained alone, by Adam, with labels"
    )
    head_lr: Positive = Field(1e-3, description="learning rate of the head epochs")
    schedule_scale: Positive = Field(1.0, description="factor on the epochs of all phases, for a shorter training")
    schedule: Literal["step", "cosine", "constant", "piecewise", "plateau"] = Field(
        "step", description="learning rate over time; plateau (only without a teacher): by the validation loss"
    )
    milestones: list[Annotated[Float, Field(gt=0, lt=1)]] = Field(
        [0.625, 0.75, 0.875],
        description="shares of the epochs: where the learning rate drops (step), or reaches its factors (piecewise)",
    )
    gamma: Positive = Field(0.1, description="step and plateau: factor of each drop")
    patience: Int = Field(5, ge=0, description="plateau: epochs without a lower validation loss before a drop")
    lr_min: NotNegative = Field(0.0, description="plateau: the lowest learning rate")
    factors: list[NotNegative] | None = Field(
        None,
        description="piecewise: of lr, at the start, each milestone and the end; between them it rises linearly, and "
        "falls as half a cosine",
    )
    crop_padding: Int = Field(4, ge=0, description="random crop after padding with this many black pixels; 0: none")
    flip: bool = Field(True, description="random horizontal flip")
    resize: Int | None = Field(
        None, ge=8, description="pixels a side, to which images are resized before a window is cut out; null: not"
    )
    crop: Int | None = Field(
        None,
        ge=8,
        description="pixels a side of the window, at a random place in training, else in the middle; photos: of the "
        "random resized crop",
    )

    @model_validator(mode="after")
    def _nesterov_needs_momentum(self) -> "Recipe":
        if self.nesterov and self.momentum == 0:
            raise ValueError("nesterov needs momentum > 0")
        return self

    @model_validator(mode="after")
    def _window_fits(self) -> "Recipe":
        if self.resize is not None and self.crop is None:
            raise ValueError("resize needs crop: the size of the window that is cut out")
        differ = 0 if self.resize is None or self.crop is None else self.resize - self.crop
        if differ < 0 or differ % 2:
            raise ValueError(f"crop {self.crop} must be resize {self.resize} minus an even number of pixels")
        if self.crop is not None and self.crop_padding:
            raise ValueError("crop_padding is for images without resize and crop: set it to 0")
        return self

    @model_validator(mode="after")
    def _piecewise_needs_factors(self) -> "Recipe":
        if self.schedule == "piecewise":
            wanted = len(self.milestones) + 2
            if len(self.factors or []) != wanted:
                raise ValueError(
                    f"schedule piecewise needs {wanted} factors: at the start, at each of the {wanted - 2} milestones "
                    "and at the end"
                )
            if sorted(set(self.milestones)) != self.milestones:
                raise ValueError("schedule piecewise needs milestones in ascending order")
        return self


def _optional(field: FieldInfo) -> tuple[Any, Any]:
    """Return a field of the same type and limits, with the default None."""
    # pydantic keeps the limits as metadata, apart from the type
    limited: Any = Annotated[field.annotation, *field.metadata] if field.metadata else field.annotation
    return limited | None, Field(None, description=field.description)


# A student sees the images that its teacher sees: resize and crop are the same for both.
RecipeChanges = create_model(  # type: ignore[call-overload]
    "RecipeChanges",
    __base__=Section,
    __doc__="The fields of the recipe that differ.",
    **{name: _optional(field) for name, field in Recipe.model_fields.items() if name not in ("resize", "crop")},
)


class EvaluationSettings(Section):
    """What is measured on the trained models."""

    pairs: Int = Field(25_600, ge=20, description="vicinal pairs a split (train and test)")
    pair_seed: Seed = Field(0, description="seed of the list of vicinal pairs, shared by all models")
    ood: Annotated[list[str], AfterValidator(distinct)] | None = Field(
        None,
        description="other data sets, below data.root or downloaded: how well low confidence tells their test images "
        "from those of the data (out-of-distribution detection)",
    )
    corruptions: bool = Field(
        False, description="measure also on the published corrupted test images (CIFAR-10-C, CIFAR-100-C; 2.9 GB)"
    )


class Energy(Section):
    """Turns the hours of a plan into energy, CO₂ and money; nothing here changes results."""

    watts: Positive | None = Field(
        None,
        description="power of a busy device with its share of the machine, W: of a GPU, or of a CPU core; null: a plan "
        "says nothing of energy",
    )
    co2_grams: NotNegative | None = Field(None, description="CO₂ of a kWh where it runs, g; null: not shown")
    price: NotNegative | None = Field(None, description="price of a kWh; null: not shown")
    currency: str = Field("EUR", pattern=r"^\S{1,8}$", description="of the price, up to 8 characters, e.g. EUR")

    @model_validator(mode="after")
    def _watts_are_known(self) -> "Energy":
        if self.watts is None and (self.co2_grams is not None or self.price is not None):
            raise ValueError("co2_grams and price need watts: the power of a busy device")
        return self


class Execution(Section):
    """Where and how it runs; nothing here changes results, except by rounding."""

    device: str = Field("auto", pattern=r"^(auto|cpu|cuda(:\d+)?)$", description="auto, cpu, cuda or cuda:N")
    threads: Int = Field(1, ge=1, description="CPU threads of a training or evaluation job")
    precision: Literal["auto", "fp32", "tf32", "bf16"] = Field(
        "auto",
        description="of trainings; auto: bf16 on a GPU that has it, and on a CPU where the network gains; else fp32",
    )
    deterministic: bool = Field(False, description="the same bits in every run, also on a GPU (slower)")
    compile: Literal["auto", "on", "off"] = Field(
        "auto", description="networks by torch.compile; auto: on a GPU, where it pays"
    )
    cohort_size: Int | None = Field(None, ge=1, description="most students trained at once; null: whole cohorts")
    gpu_slots: Int = Field(1, ge=1, description="jobs that share a GPU")
    checkpoint_seconds: Positive = Field(60.0, description="seconds from one checkpoint of a training to the next")
    track: Literal["tensorboard"] | None = Field(
        None,
        description="tensorboard: the curves of trainings are written to results/tensorboard too (needs the extra "
        "tensorboard); null: not",
    )
    energy: Energy = Field(Energy(), description="what a plan says of energy, CO₂ and money")


VARIANT_OF = "written by a run with --set, of whose name it is what stands before the +; null: no variant"


class Experiment(Section):
    """One experiment: a data set, a recipe and grids of students."""

    name: ResultsName = Field(description="name of the folder below results/")
    variant_of: str | None = Field(None, description=VARIANT_OF)
    data: Data = Field(Data(), description="which images, from where, and how they are split")
    recipe: Recipe = Field(Recipe(), description="how students (and teachers) are trained")
    teacher_recipe: RecipeChanges = Field(
        RecipeChanges(), description="the fields of the recipe that differ for teachers"
    )
    loss: Loss = Field(Loss(), description="weights of the distillation loss")
    seeds: Seeds = Field(
        [0, 1, 2, 3, 4],
        description="replicates: student seed s learns from teacher seed s; range(N) is 0 to N - 1",
    )
    grids: Blocks = Field(
        min_length=1,
        description="blocks of students, by name (null: left out); their union is trained. Short keys of --set change "
        "the block main",
    )
    evaluation: EvaluationSettings = Field(EvaluationSettings(), description="what is measured on the trained models")
    execution: Execution = Field(Execution(), description="where and how it runs")
    cluster: Cluster | None = Field(None, description="the SLURM cluster of --slurm; null: profiles/slurm/cluster.yaml")

    @model_validator(mode="after")
    def _variants_are_told_apart(self) -> "Experiment":
        check_variant(self.name, self.variant_of)
        return self

    def recipe_of_teachers(self) -> Recipe:
        """Return ``recipe`` with the changes of ``teacher_recipe``."""
        changes = self.teacher_recipe.model_dump(exclude_none=True)
        return Recipe.model_validate({**self.recipe.model_dump(), **changes})

    @model_validator(mode="after")
    def _recipe_of_teachers_is_one(self) -> "Experiment":
        try:
            self.recipe_of_teachers()
        except ValidationError as error:
            problem = error.errors()[0]["msg"].removeprefix("Value error, ")
            raise ValueError(f"teacher_recipe, with what it takes from recipe: {problem}") from None
        return self

    @model_validator(mode="after")
    def _one_teacher_a_model_and_alpha(self) -> "Experiment":
        known: dict[tuple, TeacherEntry] = {}
        for teacher in (teacher for grid in self.grids.values() for teacher in grid.teachers or []):
            if (other := known.setdefault((teacher.model, teacher.trained_with), teacher)) != teacher:
                what = "weights" if other.weights != teacher.weights else "normalisations"
                raise ValueError(
                    f"grids: the teacher {teacher.model} has different {what} in two places, and tables name teachers "
                    "by model and mixup_alpha alone; make it two experiments"
                )
        return self

    @model_validator(mode="after")
    def _ood_is_other_data(self) -> "Experiment":
        if self.data.name in (self.evaluation.ood or []):
            raise ValueError(f"evaluation.ood: {self.data.name} is the data itself: name other data sets")
        return self

    @model_validator(mode="after")
    def _photos_are_cropped(self) -> "Experiment":
        has_photos, resize, crop = self.data.store == "photos", self.recipe.resize, self.recipe.crop
        if has_photos and (crop is None or resize is not None):
            raise ValueError("photos have many sizes: set recipe.crop, to 224 for example, and leave out recipe.resize")
        if not has_photos and crop is not None and resize is None:
            raise ValueError("recipe.crop needs recipe.resize (or data.store: photos)")
        if not has_photos and self.data.source == "folder":
            raise ValueError("data.source: folders hold photos of any size: set data.store to photos")
        return self


class Collection(Section):
    """Several experiments run as one, in one graph of jobs: what they share is made once."""

    name: ResultsName = Field(description="name of the collection")
    variant_of: str | None = Field(None, description=VARIANT_OF)
    # Before validation, names are replaced by what stands in their files.
    experiments: list[
        Annotated[Experiment, BeforeValidator(lambda entry: entry, json_schema_input_type=str | Experiment)]
    ] = Field(min_length=1, description="names of files in experiments/, or whole experiments")
    execution: Execution | None = Field(None, description="in place of the execution of each experiment")

    @model_validator(mode="after")
    def _variants_are_told_apart(self) -> "Collection":
        check_variant(self.name, self.variant_of)
        return self
