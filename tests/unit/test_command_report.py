"""``./reproduce report --from``: everything after the tables anew, without torch, Snakemake and plan files."""

import hashlib
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from urllib.parse import unquote

import pandas as pd
import pytest

from scripts import load_module, run_command
from vicinal.analysis.claims import CLAIMS, evaluate_claims
from vicinal.commands import report
from vicinal.errors import VicinalError
from vicinal.jobs import fingerprint

ROOT = Path(__file__).resolve().parents[2]
# No test here draws all figures: each has tests of its own.
SOME, FEW = ("training", "similarity", "inheritance"), ("inheritance",)
# Where torch, torchvision, Snakemake and pydantic are not installed.
ALONE = f"""
import sys


class Missing:
    def find_spec(self, name, *rest):
        if name.partition(".")[0] in ("torch", "torchvision", "snakemake", "pydantic"):
            raise ModuleNotFoundError(name)


sys.meta_path.insert(0, Missing())
import argparse
from importlib import import_module
from vicinal.commands import report
from vicinal.errors import run
for name in report.FIGURES:
    import_module(f"vicinal.analysis.figures.{{name}}")
report.FIGURES = {SOME}
parser = argparse.ArgumentParser()
report.add_arguments(parser)
run(lambda: report.main(parser.parse_args()))
"""


@pytest.fixture(scope="module")
def tables(tmp_path_factory):
    """The folder of an experiment's tables: one pair of CIFAR-100's grid, 3 seeds, 4 classes."""
    scale = load_module(ROOT / "tests" / "benchmarks" / "report_scale.py")
    scale.CLASSES = 4
    models, _ = scale.models_of(3)
    pair = models["model"].isin(["resnet32x4", "resnet8x4"]) & (
        models["temperature"].isin([1, 2]) | models["teacher"].isna()
    )
    folder = tmp_path_factory.mktemp("tables") / "pair"
    folder.mkdir()
    for name, table in scale.tables_of(models[pair].reset_index(drop=True)).items():
        table.to_parquet(folder / f"{name}.parquet", index=False)
    (folder / "provenance.json").write_text(json.dumps({"spec": {"name": "pair"}}))
    return folder


def sums(folder):
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir() if path.is_file()}


def main(*arguments):
    return run_command(report, *arguments)


def alone(*arguments, cwd=None):
    """Run the command in a process that cannot import torch."""
    command = [sys.executable, "-c", ALONE, *map(str, arguments)]
    environment = {"PYTHONPATH": str(ROOT / "workflow"), "PATH": "/usr/bin:/bin"}
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=cwd, env=environment)


@pytest.fixture(scope="module")
def rebuilt(tables, tmp_path_factory):
    """Claims, some figures and the report, made by a process without torch: the folder, and what was said."""
    output, empty = tmp_path_factory.mktemp("output") / "new", tmp_path_factory.mktemp("empty")
    before = sums(tables)
    result = alone("--from", tables, "--output", output, cwd=empty)
    assert result.returncode == 0, result.stderr
    assert sums(tables) == before  # the tables' folder is left as it was
    assert list(empty.iterdir()) == []
    return output, result.stdout


def test_everything_is_rebuilt_without_torch(rebuilt):
    output, said = rebuilt
    found = {str(path.relative_to(output)) for path in output.rglob("*") if path.is_file()}
    figures = {f"figures/{name}.{ending}" for name in SOME for ending in ("pdf", "png", "parquet", "json")}
    claims = {"claims.parquet", "claims.md", "claims.tex", "claims.json"}
    assert found == figures | claims | {"report.html", "report.json"}
    lines = said.splitlines()
    assert len(lines) == 2 + len(SOME)
    assert lines[0].startswith("pair: claims: ")
    assert lines[1] == f"pair: figure 1 of {len(SOME)}, {SOME[0]}"
    assert lines[-1].startswith(f"pair: report: {output / 'report.html'}, ")


def test_claims_and_figures_are_those_of_the_tables(tables, rebuilt):
    output, _ = rebuilt
    expected = evaluate_claims({path.stem: pd.read_parquet(path) for path in tables.glob("*.parquet")})
    found = pd.read_parquet(output / "claims.parquet")
    pd.testing.assert_frame_equal(found, expected, check_dtype=False)
    page = (output / "report.html").read_text(encoding="utf-8")
    assert page.count("<img ") == len(SOME)
    for claim in CLAIMS.values():
        assert claim.title in page


def test_records_say_what_was_written_and_from_what(tables, rebuilt):
    output, _ = rebuilt
    records = {path: json.loads(path.read_text()) for path in output.rglob("*.json")}
    assert len(records) == len(SOME) + 2
    for path, record in records.items():
        written = {other.name for other in path.parent.glob(f"{path.stem}.*")} - {path.name}
        assert set(record["sha256"]) == written
        for name, expected in record["sha256"].items():
            assert sums(path.parent)[name] == expected
        for name, expected in record["made_from"].items():
            source = output / name if (output / name).exists() else tables / name
            assert hashlib.sha256(source.read_bytes()).hexdigest() == expected
        assert re.fullmatch("[0-9a-f]{16}", record["code"])
        assert record["provenance"]["packages"]["pandas"] == pd.__version__
    made_from = {path.stem: set(record["made_from"]) for path, record in records.items()}
    assert made_from["claims"] == {f"{name}.parquet" for name in ("metrics", "vicinal", "confusion", "reliability")}
    assert made_from["training"] == {"history.parquet"}
    assert made_from["similarity"] == {"similarity.parquet", "confusion.parquet", "classes.parquet"}
    pictures = {f"figures/{name}.png" for name in SOME}
    assert made_from["report"] == {"claims.parquet", "metrics.parquet"} | pictures


@pytest.fixture
def folder(tables, tmp_path, monkeypatch):
    """A copy of the tables, and one figure only."""
    monkeypatch.setattr(report, "FIGURES", FEW)
    return Path(shutil.copytree(tables, tmp_path / "pair"))


def test_without_output_it_writes_beside_the_tables(folder):
    before = sums(folder)
    assert main("--from", folder) == 0
    assert before.items() <= sums(folder).items()
    assert {"claims.parquet", "report.html", "figures"} <= {path.name for path in folder.iterdir()}


PUBLISHED = [path.parent for path in sorted((ROOT / "results/published").glob("*/metrics.parquet"))]


@pytest.mark.parametrize("published", PUBLISHED, ids=lambda path: path.name)
def test_published_tables_give_the_published_claims_again(published, tmp_path, monkeypatch):
    monkeypatch.setattr(report, "FIGURES", FEW)
    assert main("--from", published, "--output", tmp_path / "new") == 0
    assert (tmp_path / "new" / "claims.md").read_bytes() == (published / "claims.md").read_bytes()


def test_a_missing_table_leaves_out_what_needs_it(folder, capsys, monkeypatch):
    monkeypatch.setattr(report, "FIGURES", ("similarity", "inheritance"))
    (folder / "figures").mkdir()
    (folder / "figures" / "similarity.png").write_bytes(b"drawn from other tables")
    for name in ("similarity", "classes", "reliability", "vicinal"):
        (folder / f"{name}.parquet").unlink()
    capsys.readouterr()
    assert main("--from", folder) == 0
    said = capsys.readouterr().out
    assert "pair: claims are judged without vicinal.parquet, reliability.parquet, which are missing\n" in said
    assert "pair: figure 1 of 2, similarity: left out, similarity.parquet, classes.parquet missing\n" in said
    assert "pair: figure 2 of 2, inheritance\n" in said
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert "Figure similarity: figures/similarity.png is missing." in page  # the old one is not shown
    assert page.count("<img ") == 1


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda folder: shutil.rmtree(folder), r"pair: no such folder; name one with an experiment's tables"),
        (lambda folder: (folder / "metrics.parquet").unlink(), r"pair: metrics\.parquet is neither in it nor"),
        (lambda folder: (folder / "metrics.parquet").write_text("x"), r"metrics\.parquet: not a readable Parquet file"),
    ],
)
def test_without_metrics_there_is_one_clear_error(folder, make, message):
    make(folder)
    with pytest.raises(VicinalError, match=message) as caught:
        main("--from", folder)
    assert "\n" not in str(caught.value)
    assert not (folder / "claims.parquet").exists()


def test_several_experiments_and_their_combined_report(folder, capsys):
    other = Path(shutil.copytree(folder, folder.parent / "other"))
    (other / "provenance.json").write_text(json.dumps({"spec": {"name": "an other"}}))
    (folder.parent / "plan").mkdir()  # what else a results folder has
    output = folder.parent / "new"
    assert main("--from", folder.parent, "--output", output) == 0
    assert f"combined report of an other, pair: {output / 'report.html'}" in capsys.readouterr().out
    assert {path.name for path in output.iterdir()} == {"other", "pair", "report.html", "report.json"}
    page = (output / "report.html").read_text(encoding="utf-8")
    links = set(re.findall(r'href="([^"#]+)[#"]', page)) - {"https://arxiv.org/abs/2606.12171"}
    assert {(output / unquote(link)).resolve() for link in links} == {
        output / name / "report.html" for name in ("other", "pair")
    }
    assert (output / "pair" / "report.html").exists()
    record = json.loads((output / "report.json").read_text())
    assert record["made_from"]["an other/metrics.parquet"] == sums(other)["metrics.parquet"]
    assert record["made_from"]["an other/claims.parquet"] == sums(output / "other")["claims.parquet"]
    assert record["code"] == fingerprint.stage_fingerprint("collections")


def test_a_folder_with_one_experiment_has_no_combined_report(folder):
    assert main("--from", folder.parent) == 0
    assert (folder / "report.html").exists()
    assert not (folder.parent / "report.html").exists()


def test_a_key_goes_where_other_code_made_the_file(folder):
    main("--from", folder)
    outputs = [folder / "claims.parquet", folder / "figures" / "inheritance.pdf", folder / "report.html"]
    keys = [path.with_name(f"{path.name}.key") for path in outputs]
    for key in keys:
        key.write_text("k\n")
    for path in outputs[1:]:
        record = path.with_suffix(".json")
        record.write_text(json.dumps(json.loads(record.read_text()) | {"code": "0" * 16}))
    main("--from", folder)
    assert [key.exists() for key in keys] == [True, False, False]


def test_the_records_of_the_models_beside_the_tables_are_used(folder):
    place = folder.parent / "evaluations" / "e" / "m"
    place.mkdir(parents=True)
    job = {"began": "2026-01-01T00:00:00+00:00", "command": "x", "wall_seconds": 3725.0, "cpu": "Some CPU"}
    (place / "evaluation.json").write_text(json.dumps({"training": job, "provenance": job}))
    spec = {"name": "pair", "models": {"m": {"evaluation": "e"}}}
    (folder / "provenance.json").write_text(json.dumps({"spec": spec}))
    main("--from", folder)
    assert "62 min" in (folder / "report.html").read_text(encoding="utf-8")
    (place / "evaluation.json").unlink()
    main("--from", folder)
    assert "62 min" not in (folder / "report.html").read_text(encoding="utf-8")
