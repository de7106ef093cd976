"""The fields of a config on data: which images, from where, and how they are split."""

import re
from typing import Annotated, Literal

from pydantic import Field, model_validator

from vicinal.config.section import Int, Section
from vicinal.config.values import NotNegative, Seed
from vicinal.data.catalogue import DATA_SETS


class Data(Section):
    """Which images, from where, and how they are split."""

    name: str = Field(
        "digits", description=f"data set: {', '.join(DATA_SETS)}, or the name of a folder of Parquet files"
    )
    root: str = Field("data", description="folder where data sets lie or are downloaded to")
    source: Literal["auto", "digits", "torchvision", "parquet", "folder"] = Field(
        "auto",
        description="auto takes Parquet files in root/name if there are any, else folders of photos, else "
        "torchvision's download",
    )
    store: Literal["array", "photos"] = Field(
        "array", description="array: images of one size, kept decoded; photos: of any size, kept as JPEGs"
    )
    shorter_side: Int | None = Field(
        None,
        ge=16,
        description="photos: pixels of the shorter side when they are packed; null: their own bytes are kept",
    )
    quality: Int = Field(95, ge=1, le=100, description="photos: JPEG quality of photos that are encoded again")
    bad_share: Annotated[NotNegative, Field(lt=1)] = Field(
        0.001, description="photos: share that may be unreadable (one photo always may); they are listed and left out"
    )
    as_viewed: bool = Field(
        False,
        description="Parquet and photos: turn images as their EXIF orientation says and put transparent ones on white, "
        "as viewers show them; false: as torchvision reads them, which published ImageNet numbers rest on",
    )
    image_column: str | None = Field(None, description="Parquet: column of the images; null: the only one there is")
    label_column: str | None = Field(
        None, description="Parquet: column of the labels; null: the one called label or the like, or the only integers"
    )
    validation: NotNegative | None = Field(
        None,
        description="validation images: a number ≥ 1, or a share of the training split; null: the data set's default",
    )
    split_seed: Seed = Field(0, description="seed of the stratified train/validation split")
    limit_train: Int | None = Field(None, ge=2, description="train on a stratified subset of this many images")
    subset: Literal["per_seed", "fixed"] | None = Field(
        None,
        description="the subset that is trained on: another one for each seed, or one for all; null: per_seed where "
        "there is a subset (limit_train, or a data set that is cut by default)",
    )
    limit_test: Int | None = Field(
        None, ge=2, description="test (and validate) on a stratified subset of this many images"
    )

    @model_validator(mode="after")
    def _name_is_a_folder(self) -> "Data":
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", self.name):
            raise ValueError(f"name {self.name!r}: use letters, digits, '.', '_', '-' (it names a folder below root)")
        return self
