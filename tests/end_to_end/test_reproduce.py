"""The whole pipeline on digits, shortened, and what a second run does."""

import itertools
import json
import re
import shutil
import subprocess
import sys
from html import unescape
from pathlib import Path

import numpy as np
import pandas as pd
from processor_time import processor_time, snakemake_alone
from project import ROOT, SHORT

from vicinal.analysis.claims import CLAIMS
from vicinal.analysis.figures import FIGURES


def trained(result):
    return [line.split()[-1] for line in result.stdout.splitlines() if " distill " in line or " train_teacher " in line]


def jobs(output):
    """Return the table of jobs of a dry run: rule → number."""
    table = output.partition("Job stats:")[2].partition("total")[0]
    return {rule: int(count) for rule, count in re.findall(r"^(\w+) +(\d+)$", table, re.M)}


def test_first_run_says_what_it_does_and_where_the_results_are(first):
    # ce, ce_mixup; kd and kd_mixup at two temperatures. A job trains those without a teacher, one those with it.
    assert "digits: digits, 1 teacher, 6 students, seeds 0" in first.stdout
    assert "digits: report in results/digits/report.html" in first.stdout
    assert re.search(r"C3-CE: Higher accuracy than without a teacher +inconclusive ", first.stdout)
    assert re.search(r"^finished after \d:[0-5]\d:[0-5]\d$", first.stdout, re.M)
    assert len(trained(first)) == 1 + 2
    assert first.stderr == ""


def test_the_first_run_counts_its_jobs_to_the_end(first):
    wanted = json.loads(first.project.command("status", "--json").stdout)["wanted"]
    counts = [line.split("]")[0] for line in first.stdout.splitlines() if line.startswith("[")]
    assert counts == [f"[{k:>{len(str(wanted))}}/{wanted}" for k in range(1, wanted + 1)]


def test_tables_are_tidy_and_whole(first):
    folder = first.project.results / "digits"
    metrics = pd.read_parquet(folder / "metrics.parquet")
    assert metrics["model_id"].nunique() == 7
    assert set(metrics["split"]) == {"validation", "test"}
    assert not metrics.duplicated(["model_id", "split", "metric"]).any()
    assert np.isfinite(metrics["value"]).all()
    expected = {
        "accuracy", "nll", "brier", "ece", "ace", "classwise_ece", "oe", "confidence_gap", "mean_confidence", "entropy",
        "auroc", "aurc", "temperature_posthoc", "ece_posthoc", "agreement", "kl_teacher", "nc1", "cka_teacher",
        "parameters",
    }  # fmt: skip
    scaled = {f"confidence_gap_c{scale}" for scale in ("0.5", "0.75", "1.5", "2")}
    assert set(metrics["metric"]) == expected | scaled
    assert set(metrics.loc[metrics["metric"].isin(scaled), "role"]) == {"teacher"}
    settings = {"role", "model", "method", "seed", "alpha", "teacher", "temperature", "logit_scale", "recipe_lr"}
    assert settings <= set(metrics.columns)
    with_teacher = metrics[metrics["metric"] == "agreement"]
    assert set(with_teacher["method"]) == {"ce", "ce_mixup", "kd", "kd_mixup"}  # all are compared with one
    vicinal = pd.read_parquet(folder / "vicinal.parquet")
    assert set(vicinal["split"]) == {"train", "test"}
    assert set(vicinal["pairs"]) == {"all", "same", "different"}
    with_teacher = vicinal[vicinal["metric"].isin(["imitation_weight", "cka_teacher"])]
    assert set(with_teacher["method"]) == {"ce", "ce_mixup", "kd", "kd_mixup"}  # all are compared with one
    assert with_teacher["value"].between(0, 1).all()
    summary = pd.read_csv(folder / "summary.csv")
    assert len(summary) == len(metrics)  # one seed
    assert (summary["n"] == 1).all()
    history = pd.read_parquet(folder / "history.parquet")
    assert history.groupby("model_id", observed=True)["epoch"].max().eq(2).all()


def test_figures_are_there_with_their_data(first):
    for figure in FIGURES:
        for ending in ("pdf", "png", "parquet"):
            assert (first.project.results / f"digits/figures/{figure}.{ending}").stat().st_size > 500
        assert "cannot be drawn" not in (first.project.results / f"digits/figures/{figure}.json").read_text()


def test_every_claim_has_a_verdict_and_one_seed_decides_none(first):
    claims = pd.read_parquet(first.project.results / "digits/claims.parquet")
    verdicts = claims[claims["kind"] == "verdict"].set_index("claim")["verdict"]
    assert list(verdicts.index) == list(CLAIMS)
    assert set(verdicts) == {"inconclusive"}
    for name in ("claims.md", "report.html"):
        readable = (first.project.results / "digits" / name).read_text()
        assert all(claim in readable for claim in verdicts.index)
        assert "inconclusive" in readable.lower()


def test_provenance_lies_beside_every_result(first):
    records = [
        *first.project.results.glob("students/*/model.json"),
        *first.project.results.glob("teachers/*/model/model.json"),
        *first.project.results.glob("evaluations/*/*/evaluation.json"),
    ]
    assert len(records) == 6 + 1 + 7
    for path in records:
        record = json.loads(path.read_text())
        assert {"spec", "code", "sha256", "provenance"} <= record.keys(), path
        made = record["provenance"]
        assert made["packages"]["torch"]
        assert made["device"] == "cpu"
        assert made["threads"] == 1
        assert made["wall_seconds"] > 0
        assert made["peak_memory_bytes"] > 10_000_000


def test_the_data_store_and_the_tables_say_how_they_were_made(first):
    [store] = first.project.results.glob("data/*/provenance.json")
    tables = first.project.results / "digits"
    for path in (store, tables / "provenance.json", tables / "figures/temperature.json"):
        record = json.loads(path.read_text())
        assert {"spec", "code", "provenance"} <= record.keys(), path
        assert record["provenance"]["packages"]["numpy"]


def test_again_there_is_nothing_to_do_and_torch_is_not_loaded(finished, tmp_path):
    (tmp_path / "torch.py").write_text("raise ImportError('torch was loaded')")
    # In a copy all is looked at anew; Snakemake's own records are of no matter.
    shutil.rmtree(finished.folder / ".snakemake")
    result = finished.reproduce(library=tmp_path, warm=False)
    assert result.returncode == 0, result.stderr
    assert "nothing to do" in result.stdout
    assert trained(result) == []
    # The next run knows that this one ended well.
    with processor_time() as again:
        assert "nothing to do" in finished.reproduce(library=tmp_path, warm=False).stdout
    assert again() < 4 * snakemake_alone()  # 1.3 times where nothing else runs


def test_snakemakes_own_report_has_the_figures_with_captions(finished, tmp_path):
    # It downloads its scripts; here empty ones do.
    (tmp_path / "sitecustomize.py").write_text(
        "import types, requests\nrequests.get = lambda url: types.SimpleNamespace(status_code=200, text='')\n"
    )
    page = tmp_path / "report.html"
    result = finished.snakemake("--configfile", "results/plan/config.yaml", "--report", page, library=tmp_path)
    assert result.returncode == 0, result.stderr
    text = page.read_text()
    results, _ = json.JSONDecoder().raw_decode(text, text.index("{", text.index('<script id="results">')))
    assert {Path(path).name for path in results} == {
        "summary.csv", "claims.md", "report.html", *(f"{figure}.png" for figure in FIGURES),
    }  # fmt: skip
    for figure in FIGURES:
        shown = results[f"results/digits/figures/{figure}.png"]
        assert shown["labels"] == {"figure": figure}
        caption = json.loads((finished.results / f"digits/figures/{figure}.json").read_text())["caption"]
        assert words(unescape(re.sub("<[^>]*>", "", shown["caption"]))) == words(caption)
    categories, _ = json.JSONDecoder().raw_decode(text, text.index("{", text.index('<script id="categories">')))
    assert set(categories) == {"Figures", "Reports", "Tables"}
    assert list(categories["Figures"]) == ["digits"]


def words(text):
    return " ".join(text.replace("’", "'").split())


def test_plain_snakemake_agrees(finished):
    # The snapshot is the config with its overrides; the second command reads the file as it is.
    result = finished.snakemake("--configfile", "results/plan/config.yaml")
    assert result.returncode == 0, result.stderr
    assert "Nothing to be done" in result.stdout + result.stderr
    result = finished.snakemake("--dry-run", "--quiet", "rules")
    assert jobs(result.stdout)["distill"] == 20


def test_the_grid_of_the_paper_is_planned_in_seconds(fresh_project):
    for split in ("train", "val"):  # ImageNet must be there; nothing is read of it yet
        for class_ in ("n01440764", "n01443537"):
            photo = fresh_project.folder / "data/imagenet" / split / class_ / "1.JPEG"
            photo.parent.mkdir(parents=True)
            photo.write_bytes(b"x")
    with processor_time() as planning:
        result = fresh_project.snakemake("--configfile", "experiments/paper.yaml", "--dry-run", "--quiet", "rules")
    assert planning() < 8 * snakemake_alone()  # 2.7 times where nothing else runs
    planned = jobs(result.stdout)
    assert (planned["train_teacher"], planned["distill"], planned["evaluate"]) == (104, 264, 122)


def manifests(project):
    """Return when each cohort was finished."""
    return {path.parent.name: path.stat().st_mtime_ns for path in project.results.glob("cohorts/*/manifest.json")}


def test_one_more_temperature_trains_its_students_only_and_changed_back_nothing_is_trained(finished):
    before, cohorts = finished.students(), manifests(finished)
    more = (*SHORT[:-1], "temperatures=[1,2,4]")
    result = finished.until("aggregate", settings=more)
    assert result.returncode == 0, result.stderr
    after = finished.students()
    added = after.keys() - before.keys()
    assert len(added) == 2
    assert all("_t2_" in id_ for id_ in added)
    assert {id_: after[id_] for id_ in before} == before
    assert sorted(id_.rpartition("_s0-")[0] for id_, time in manifests(finished).items() if time != cohorts[id_]) == [
        "resnet8_narrow_from_resnet8"
    ]
    assert pd.read_parquet(finished.results / "digits/metrics.parquet")["model_id"].nunique() == 9
    back = finished.until("aggregate")
    assert back.returncode == 0, back.stderr
    assert finished.students() == after
    assert pd.read_parquet(finished.results / "digits/metrics.parquet")["model_id"].nunique() == 7
    again = finished.until("aggregate")
    assert "Nothing to be done" in again.stdout + again.stderr


def test_a_lost_student_is_trained_again_bit_for_bit(finished):
    before = finished.students()
    lost = next(id_ for id_ in before if "_from_resnet8_a1_t4_s0" in id_)
    shutil.rmtree(finished.results / "students" / lost)
    result = finished.until("distill")
    assert result.returncode == 0, result.stderr
    after = finished.students()
    assert after[lost]["weights.safetensors"][1] == before[lost]["weights.safetensors"][1]
    assert {k: v for k, v in after.items() if k != lost} == {k: v for k, v in before.items() if k != lost}


def test_forced_jobs_keep_finished_models_and_retrain_does_not(finished):
    before = finished.students()
    forced = finished.snakemake("--configfile", "results/plan/config.yaml", "-R", "distill", "--until", "distill")
    assert forced.returncode == 0, forced.stderr
    assert finished.students() == before
    assert "to train models anew: ./reproduce --retrain PATTERN" in forced.stdout + forced.stderr
    refused = finished.reproduce("--retrain", "*", "--", "--dry-run")
    assert (
        refused.stderr == "error: --retrain: not together with options for Snakemake: start two runs, one with each\n"
    )
    result = finished.reproduce("--retrain", "*_from_resnet8_a1_t4_s0-*")
    assert result.returncode == 0, result.stdout + result.stderr
    [anew] = (id_ for id_ in before if "_from_resnet8_a1_t4_s0" in id_)
    assert f"to be trained anew: 0 teachers, 1 student\n  {anew}\n" in result.stdout
    after = finished.students()
    assert after[anew]["weights.safetensors"][1] == before[anew]["weights.safetensors"][1]
    assert after[anew]["weights.safetensors"][0] > before[anew]["weights.safetensors"][0]
    assert {k: v for k, v in after.items() if k != anew} == {k: v for k, v in before.items() if k != anew}
    settings = itertools.chain.from_iterable(("--set", setting) for setting in SHORT)
    assert finished.command("verify", *settings).stdout.endswith("all agree\n")


def test_a_damaged_student_is_named_and_kept_out(finished):
    damaged = next(id_ for id_ in finished.students() if "_from_resnet8_t4_s0" in id_)
    path = finished.results / "students" / damaged / "weights.safetensors"
    whole = path.read_bytes()
    path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    # Where the measurements are lost the weights are read.
    [measured] = finished.results.glob(f"evaluations/*/{damaged}")
    shutil.rmtree(measured.parent)
    result = finished.until("evaluate")
    assert result.returncode == 1
    assert f"results/students/{damaged}/weights.safetensors: damaged or replaced" in result.stdout + result.stderr
    assert "Traceback" not in result.stdout + result.stderr
    path.write_bytes(whole)
    assert finished.until("evaluate").returncode == 0
    assert measured.is_dir()


def test_whole_seeds_are_finished_first(fresh_project):
    # The seeds share their data, so jobs of all of them can start from the first.
    settings = [*SHORT, "seeds=[1,0,2]", "methods=[ce,kd]", "data.subset=fixed"]
    result = fresh_project.until("evaluate", "--cores", "1", settings=settings)
    assert result.returncode == 0, result.stdout + result.stderr
    stages = {"teachers": "teacher", "cohorts": "manifest", "evaluations": "manifest"}
    records = [path for stage, name in stages.items() for path in fresh_project.results.glob(f"{stage}/*/{name}.json")]
    records.sort(key=lambda path: path.stat().st_mtime_ns)
    seeds = [int(re.search(r"_s(\d)", path.parent.name)[1]) for path in records]
    assert seeds == [0] * 4 + [1] * 4 + [2] * 4  # a teacher, two cohorts, their measurements


def test_other_code_finds_the_same_numbers_in_the_weights(finished):
    def differences():
        command = [sys.executable, ROOT / "tests/benchmarks/recompute.py", finished.results / "digits"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        rows = [line.split() for line in done.stdout.splitlines()[1:-1]]
        return done.returncode, {(row[0].split("_s0-")[0], row[1]): float(row[-1]) for row in rows}

    status, found = differences()
    assert status == 0
    assert {model for model, _ in found} == {
        "resnet8", "resnet8_narrow_from_resnet8_t1", "resnet8_narrow_from_resnet8_a1_t1"
    }  # fmt: skip
    assert {"oe", "nonlinearity", "imitation_weight", "cka_teacher", "auroc"} <= {metric for _, metric in found}
    table = pd.read_parquet(finished.results / "digits" / "vicinal.parquet")
    table.loc[table["metric"] == "imitation_weight", "value"] += 0.001
    table.to_parquet(finished.results / "digits" / "vicinal.parquet")
    status, changed = differences()
    assert status == 1
    assert {metric for (_, metric), value in changed.items() if value > 1e-4} == {"imitation_weight"}
