#!/usr/bin/env python
"""Write the records of all models of an experiment as one table, CSV with a row a model, for a published folder.

    python tests/benchmarks/models_table.py RESULTS FOLDER

Reads the models that FOLDER/provenance.json names in RESULTS, and writes FOLDER/models.csv: what each was trained with,
on which machine, by which code and versions, when and how long. Every row has the checksum of the model's weights.
"""

import json
import sys
from pathlib import Path

import pandas as pd

from vicinal.errors import VicinalError, run
from vicinal.files import atomic_path


def main() -> None:
    """Write the table. Raises VicinalError: the record of a model is missing."""
    results, folder = map(Path, sys.argv[1:])
    wanted = set(json.loads((folder / "provenance.json").read_text(encoding="utf-8"))["made_from"])
    places = [*sorted(results.glob("teachers/*/model/model.json")), *sorted(results.glob("students/*/model.json"))]
    records = [json.loads(path.read_text(encoding="utf-8")) for path in places]
    table = pd.json_normalize([record for record in records if record["id"] in wanted])
    missing = sorted(wanted - set(table["id"]))
    if missing:
        raise VicinalError(f"{results}: {len(missing)} of {len(wanted)} models are not there, first {missing[0]}")
    with atomic_path(folder / "models.csv") as path:
        table.to_csv(path, index=False)


if __name__ == "__main__":
    run(main)
