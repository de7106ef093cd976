"""The notebook of the documentation: its cells run on the tables of an experiment."""

import json
from pathlib import Path

import matplotlib
import pandas as pd
import pytest
from made_up_experiment import models, study

from vicinal.analysis.claims import CLAIMS, evaluate_claims
from vicinal.analysis.dictionary import described
from vicinal.analysis.tables import model_table
from vicinal.files import write_table

NOTEBOOK = Path(__file__).resolve().parents[2] / "workflow" / "docs" / "results.ipynb"


@pytest.fixture
def results(tmp_path, monkeypatch):
    """The working directory, with the tables of a made-up experiment as a run writes them."""
    tables = study()
    specs = {row.pop("model_id"): row for row in models().to_dict("records")}
    written = model_table({id_: {k: None if pd.isna(v) else v for k, v in row.items()} for id_, row in specs.items()})
    own = tables["metrics"][["model_id", "split", "metric", "value"]].astype({"model_id": object})
    metrics = written.merge(own, on="model_id")
    folder = tmp_path / "results" / "digits"
    write_table(folder / "metrics.parquet", described("metrics", metrics))
    write_table(folder / "claims.parquet", described("claims", evaluate_claims({**tables, "metrics": metrics})))
    monkeypatch.chdir(tmp_path)
    return metrics


def test_the_notebook_runs_and_says_what_the_tables_say(results):
    notebook = json.loads(NOTEBOOK.read_text(encoding="utf-8"))
    names = {}
    with matplotlib.rc_context({"backend": "agg"}):
        for cell in notebook["cells"]:
            if cell["cell_type"] == "code":
                assert cell["outputs"] == []
                exec("".join(cell["source"]), names)
    assert list(names["verdicts"].index) == list(CLAIMS)
    assert names["meanings"].set_index("column").loc["temperature", "meaning"].startswith("T of distillation")
    rows = results[results["split"].eq("test") & results["metric"].eq("accuracy") & results["temperature"].eq(2)]
    own = rows[rows["model_id"].str.startswith("resnet8_narrow-resnet14-kd_mixup-2-1.0")]["value"]
    shown = names["table"]["mean"].loc[("resnet14", "resnet8_narrow", "kd_mixup", "accuracy")]
    assert len(own) == 5 and shown == round(100 * own.mean(), 2)
    assert len(names["gain"]) == 2 * 5
    axes = names["grid"].axes.flat
    assert [ax.get_xscale() for ax in axes] == ["log", "log"]
    assert all(len(ax.lines) for ax in axes)
