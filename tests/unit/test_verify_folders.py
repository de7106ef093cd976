"""Verification of a folder of tables, alone or as it is published, and how two tables differ."""

import shutil
from pathlib import Path

import pandas as pd
import pytest
from results_tree import MADE

from vicinal.audit.verify.analysis import first_difference, source_paths, verify_folder
from vicinal.errors import VicinalError
from vicinal.files import sha256, write_json

ROOT = Path(__file__).resolve().parents[2]


def test_first_difference():
    table = pd.DataFrame({"a": pd.Categorical(["x", None]), "value": [1.0, float("nan")]})
    assert first_difference(table, table) is None
    assert first_difference(table.iloc[:1], table) == "has 1 rows of a, value and should have 2 rows of a, value"
    assert first_difference(table.assign(value=[1.0, 2.0]), table) == "value in row 1 is 2.0 and should be nan"
    whole = table.assign(value=pd.array([1, None], dtype="Int64"))
    assert first_difference(whole, whole) is None
    for found, wanted, says in (
        (table[["value", "a"]], table, "has 2 rows of value, a and should have"),
        (table.assign(b=1), table, "has 2 rows of a, value, b and should have"),
        (table.assign(value=[1.0 + 1e-15, float("nan")]), table, "value in row 0 is 1.000000000000001"),
        (table.assign(a=["x", "y"]), table, "a in row 1 is y and should be "),
        (whole.assign(value=pd.array([1, 2], dtype="Int64")), whole, "value in row 1 is 2 "),
    ):
        assert first_difference(found, wanted).startswith(says)


def test_sources_never_lead_elsewhere(tmp_path):
    own = {"metrics.parquet": "digits/metrics.parquet", "figures/a.png": "digits/figures/a.png"}
    theirs = ("cifar10/claims.parquet", "cifar10+epochs1/claims.parquet", "cifar10/figures/a.png")
    elsewhere = ("../x", "/etc/passwd", "a/../b", "a/b/c", "cifar10/figures/x/a.png")
    found = source_paths(tmp_path / "digits/figures/plane.json", dict.fromkeys((*own, *theirs, *elsewhere), ""))
    assert found == {name: tmp_path / place for name, place in {**own, **{name: name for name in theirs}}.items()}


@pytest.fixture
def bare(tmp_path):
    """A folder as it is published: a summary, claims without a record, and a record of figures that are not there."""
    folder = tmp_path / "digits"
    folder.mkdir()
    (folder / "summary.csv").write_text("a\n1\n")
    (folder / "claims.md").write_text("claims")
    sums = {"summary.csv": sha256(folder / "summary.csv"), "metrics.parquet": "0"}
    record = {"spec": {"models": {"m": {}}}, "code": "c", "sha256": sums, "made_from": {"m": "0"}, "provenance": MADE}
    write_json(folder / "provenance.json", record)
    return folder


def test_a_bare_folder_is_checked_as_far_as_its_records_go(bare):
    ledger = verify_folder(bare)
    assert ledger.problems == []
    assert len(ledger.sums) == 1
    notes = "\n".join(ledger.notes)
    assert "not here, though the records list them: metrics.parquet" in notes
    assert "no record here lists them: claims.md" in notes
    assert "models and measurements behind the tables do not lie here" in notes
    (bare / "summary.csv").write_text("a\n2\n")
    [problem] = verify_folder(bare).problems
    assert problem.path == bare / "summary.csv"


def test_a_bare_folder_whose_claims_are_of_another_table(bare):
    claims = {"sha256": {"claims.md": sha256(bare / "claims.md")}, "made_from": {"summary.csv": "0"}, "code": "c"}
    write_json(bare / "claims.json", claims)
    [problem] = verify_folder(bare).problems
    assert problem.path == bare / "claims.json"
    assert problem.fault == "its checksum of summary.csv is not that of what lies here now"


def test_a_bare_folder_whose_figure_is_of_tables_that_are_not_here(bare):
    (bare / "figures").mkdir()
    (bare / "figures" / "plane.png").write_bytes(b"picture")
    figure = {"sha256": {"plane.png": sha256(bare / "figures" / "plane.png")}, "code": "c"}
    write_json(bare / "figures" / "plane.json", figure | {"made_from": {"metrics.parquet": "0", "spread.parquet": "1"}})
    assert verify_folder(bare).problems == []  # as provenance.json lists it, and nothing is known of the other
    write_json(bare / "figures" / "plane.json", figure | {"made_from": {"metrics.parquet": "9"}})
    [problem] = verify_folder(bare).problems
    assert problem.path == bare / "figures" / "plane.json"
    assert problem.fault == "made from another metrics.parquet than the records beside it list"


@pytest.mark.parametrize("folder", sorted((ROOT / "results/published").iterdir()), ids=lambda path: path.name)
def test_all_that_is_published_is_checked(folder, tmp_path):
    ledger = verify_folder(folder)
    assert ledger.problems == []
    unchecked = [name for note in ledger.notes if "not checked" in note for name in note.partition(": ")[2].split(", ")]
    assert set(unchecked) <= {"models.csv", "verify.txt"}
    checked = {path.relative_to(folder).as_posix() for path, sum_ in ledger.sums.items() if sum_}
    assert {"claims.md", "summary.csv", "figures/temperature.png"} <= checked
    copy = shutil.copytree(folder, tmp_path / "copy")
    for name in ("claims.md", "figures/temperature.png"):
        (copy / name).write_bytes((copy / name).read_bytes() + b" ")
    found = {problem.path.name for problem in verify_folder(copy).problems}
    assert found - {"report.json"} == {"claims.md", "temperature.png"}  # a report is of figures, too


def test_no_folder_and_no_record(tmp_path):
    with pytest.raises(VicinalError, match="no such folder"):
        verify_folder(tmp_path / "x")
    with pytest.raises(VicinalError, match="so nothing can be checked"):
        verify_folder(tmp_path)
