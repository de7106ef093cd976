"""Count the costs of the networks of the shipped experiments again, so that a plan need not count them."""

import csv
from collections.abc import Iterator
from pathlib import Path

from vicinal.config import read_config, validate
from vicinal.errors import run
from vicinal.files import atomic_path
from vicinal.jobs.script import Parser
from vicinal.models.cost import SHIPPED, Cost, cost_key, count_cost
from vicinal.models.registry import architecture
from vicinal.spec import canonical

# Classes, channels and side of the images of each data set; where a recipe has a crop, that is the side.
IMAGES = {"digits": (10, 1, 8), "cifar10": (10, 3, 32), "cifar100": (100, 3, 32), "imagenet": (1000, 3, 224)}
ASKED = ("network", "classes", "channels", "height", "width")


def main() -> None:
    """Write the table."""
    parser = Parser(description=__doc__)
    parser.add_argument("--output", type=Path, default=SHIPPED, help="the file to write")
    with (
        atomic_path(parser.parse_args().output) as temporary,
        temporary.open("w", encoding="utf-8", newline="") as file,
    ):
        table = csv.writer(file, lineterminator="\n")
        table.writerow([*ASKED, *Cost._fields, "key"])
        for network, *image in sorted(set(shipped_networks())):
            asked = canonical(architecture(network)), *image
            table.writerow([network, *image, *count_cost(*asked), cost_key(*asked)])  # type: ignore[arg-type]


def shipped_networks() -> Iterator[tuple[str, int, int, int, int]]:
    """Yield every network of the shipped experiments with its classes, channels, height and width."""
    for path in [Path("config.yaml"), *sorted(Path("experiments").glob("*.yaml"))]:
        config = read_config(path)
        for experiment in [] if "experiments" in config else validate(config, str(path)):
            classes, channels, side = IMAGES[experiment.data.name]
            side = experiment.recipe.crop or side
            for grid in experiment.grids.values():
                for network in [*grid.students, *(teacher.model for teacher in grid.teachers or [])]:
                    yield network, classes, channels, side, side


if __name__ == "__main__":
    run(main)
