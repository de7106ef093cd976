"""What the report says of how results were made, and the revision to check out."""

import pytest
from report_tables import Page, record, write_experiment

from vicinal.analysis.report import context, read_inputs, render
from vicinal.analysis.report.records import provenance_context, revision_of


def test_provenance_counts_a_shared_record_once():
    found = provenance_context({"training": [record(), record(), record(command="y")]})
    (step,) = found["steps"]
    assert (step["jobs"], step["seconds"], step["devices"]) == (2, 20, ["CPU: Some CPU, 1 thread"])
    assert found["mixtures"] == []


@pytest.mark.parametrize(
    ("other", "flagged"),
    [
        ({"packages": {"torch": "2.11.0"}}, "torch: 2.11.0, 2.14.1"),
        ({"python": "3.12.0"}, "python: 3.11.7, 3.12.0"),
        ({"gpu": "H100", "cuda": "13.0"}, "devices of training: CPU: Some CPU, 1 thread; H100 (CUDA 13.0)"),
        ({"threads": 2}, "devices of training: CPU: Some CPU, 1 thread; CPU: Some CPU, 2 threads"),
        ({"git": "b" * 40}, f"revisions of the code: {'a' * 40}, {'b' * 40}"),
    ],
)
def test_mixtures_are_flagged(tmp_path, other, flagged):
    records = {"training": [record(), record(command="y", **other)]}
    assert provenance_context(records)["mixtures"] == [flagged]
    inputs = read_inputs(write_experiment(tmp_path / "cifar100"))
    inputs.records |= records
    assert flagged in Page(render(context(inputs))).text


@pytest.mark.parametrize(
    ("records", "revision"),
    [
        ({}, None),
        ({"training": [record()], "tables": [record(git="b" * 40)]}, "a" * 40),
        ({"training": [record(), record(git="b" * 40)]}, None),
        ({"tables": [record(git="a" * 40 + "-dirty")]}, None),
        ({"tables": [record(git=None)]}, None),
    ],
)
def test_the_revision_to_check_out(records, revision):
    assert revision_of(records) == revision


def test_uncommitted_code_is_flagged():
    found = provenance_context({"tables": [record(git="a" * 40 + "-dirty")]})
    assert found["mixtures"] == [f"code that differs from its revision: {'a' * 40}-dirty"]
