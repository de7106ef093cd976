"""Made-up experiments for the tests of the reports, and a parser of their pages."""

import io
import json
from functools import cache
from html.parser import HTMLParser

import numpy as np
import pandas as pd
from PIL import Image

from vicinal.analysis.claims import CLAIMS
from vicinal.analysis.claims.verdict import COLUMNS
from vicinal.analysis.report.context import OF_CLAIM

WORDS = ("reproduced", "not reproduced", "inconclusive")


class Page(HTMLParser):
    """Collects tags with their attributes, ids, and the text of a page; checks that tags are balanced."""

    VOID = ("meta", "img", "input", "path", "circle", "br", "link")

    def __init__(self, html):
        super().__init__()
        self.tags, self.open, self.text = [], [], ""
        self.feed(html)
        assert self.open == []
        self.ids = [attributes["id"] for _, attributes in self.tags if "id" in attributes]

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] not in ("style", "script"):
            self.text += data

    def count(self, tag):
        return sum(name == tag for name, _ in self.tags)


@cache
def png(width=400, height=200):
    pixels = np.random.default_rng(0).integers(0, 255, (height, width, 3), dtype=np.uint8)
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG")
    return out.getvalue()


def claims_table(title=None, cell="a → b, T = 2", words=WORDS):
    rows = []
    for i, (name, claim) in enumerate(CLAIMS.items()):
        shared = dict.fromkeys(COLUMNS, np.nan) | {
            "claim": name, "title": title or claim.title, "sentence": title or claim.sentence, "cell": cell, "n": 5,
            "estimand": "difference", "estimate": 0.25, "low": -0.5, "high": 1.0, "threshold": 0.0, "verdict": "",
            "reason": "", "warning": "", "p": 0.012, "p_holm": 0.034,
        }  # fmt: skip
        verdict = {"verdict": words[i % len(words)], "reason": f"{cell}: interval [-0.5, 1]", "warning": title or ""}
        rows += [shared | {"kind": "verdict"} | verdict]
        rows += [shared | {"kind": kind, "reason": title or ""} for kind in ("primary", "secondary")]
    return pd.DataFrame(rows, columns=COLUMNS)


def metrics_table(model="resnet20", seeds=3, data="cifar100"):
    rows = []
    for seed in range(seeds):
        for role, method, t in [("teacher", "ce", None), ("student", "kd", "4"), ("student", "kd_mixup", "16")]:
            own = {
                "model_id": f"{model}_{role}_{method}_s{seed}", "role": role, "data": data, "method": method,
                "model": "resnet56" if role == "teacher" else model, "seed": seed,
                "alpha": 1.0 if method == "kd_mixup" else np.nan, "teacher": "resnet56" if t else None,
                "teacher_mixup_alpha": np.nan, "temperature": t, "logit_scale": 1.0 if t else np.nan,
                "kd_weight": 1.0 if t else 0.0, "ce_weight": 0.0 if t else 1.0, "data_limit_train": None,
                "data_validation": 5000, "recipe_epochs": 240, "teacher_id": None, "split": "test",
            }  # fmt: skip
            rows += [own | {"metric": m, "value": v + 0.01 * seed} for m, v in [("accuracy", 0.7), ("ece", 0.05)]]
    texts = ["model_id", "role", "data", "model", "method", "teacher", "temperature", "split", "metric"]
    return pd.DataFrame(rows).astype(dict.fromkeys(texts, "category"))


def record(**more):
    return {
        "began": "2026-01-01T00:00:00+00:00", "command": "x", "wall_seconds": 10.0, "peak_memory_bytes": 5e8,
        "device": "cpu", "cpu": "Some CPU", "threads": 1, "python": "3.11.7", "packages": {"torch": "2.14.1"},
        "git": "a" * 40,
    } | more  # fmt: skip


def write_experiment(base, name="cifar100", git="a" * 40, words=WORDS):
    """Write the folder of an experiment with all tables, and every figure but confusion."""
    (base / "figures").mkdir(parents=True)
    claims_table(words=words).to_parquet(base / "claims.parquet")
    metrics_table(data=name).to_parquet(base / "metrics.parquet")
    for figure in {figure for names in OF_CLAIM.values() for figure in names} - {"confusion"} | {"training", "new"}:
        (base / "figures" / f"{figure}.png").write_bytes(png())
        about = {
            "caption": f"Caption of {figure}. And more.",
            "provenance": record(command=f"{name} {figure}", git=git),
        }
        (base / "figures" / f"{figure}.json").write_text(json.dumps(about))
    own = {
        "spec": {"name": name, "models": {"m": {"evaluation": "e"}}},
        "provenance": record(command=f"{name} tables", git=git),
    }
    (base / "provenance.json").write_text(json.dumps(own))
    (base / "claims.json").write_text(json.dumps({"provenance": record(command=f"{name} claims", git=git)}))
    return base
