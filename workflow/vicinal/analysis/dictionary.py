"""The dictionary of the tables: unit and meaning of every column and metric, as metadata and as a page."""

import json
from typing import NamedTuple

import pandas as pd
import pyarrow as pa

from vicinal.spec import is_weight


class Entry(NamedTuple):
    """Unit (empty where there is none) and meaning of a column or a metric."""

    unit: str
    meaning: str


# What one row of each table is.
TABLES = {
    "metrics": "One row a model, split and metric.",
    "summary": "One row a setting, split and metric: mean, sd and n over seeds.",
    "vicinal": "One row a model, split, kind of pair, range of λ and metric: what happens between two images.",
    "confusion": "One row a model, split, softmax temperature and metric: how a model confuses mixed inputs.",
    "spread": "One row a teacher, split, range of λ, metric and quantile, over pairs of different classes.",
    "similarity": "One row a teacher, kind and pair of classes: the matrix of class similarity.",
    "projection": "One row a point in the plane of three class means, of penultimate features.",
    "classes": "One row a class of the data.",
    "reliability": "One row a model and bin of confidence, on the test split.",
    "history": "One row a model and epoch of its training.",
    "corruptions": "One row a model, corruption, severity and metric. Empty where nobody asked for it.",
    "claims": "One row a verdict, precondition, primary test or secondary test.",
}
# By column, or by TABLE.COLUMN where a table means something of its own.
COLUMNS = {
    "model_id": Entry("", "id of the trained model, the name of its folder"),
    "role": Entry("", "teacher or student"),
    "data": Entry("", "data set"),
    "model": Entry("", "architecture"),
    "method": Entry("", "how it was trained: ce, ce_mixup, kd or kd_mixup"),
    "seed": Entry("", "seed of the run, the replicate; missing for given weights, which serve all seeds"),
    "alpha": Entry("", "α of mixup: λ ~ Beta(α, α); missing without mixup"),
    "teacher": Entry("", "architecture of the teacher; missing without one"),
    "teacher_id": Entry("", "model_id of the teacher; missing without one"),
    "teacher_mixup_alpha": Entry("", "α of mixup in the training of the teacher; missing without"),
    "temperature": Entry("", "T of distillation; missing without a teacher, and where T is each answer's own std"),
    "temperature_std": Entry("", "whether T is the standard deviation of each answer's logits, no fixed number"),
    "logit_scale": Entry("", "c: the teacher's logits were multiplied by it; missing without a teacher"),
    "kd_weight": Entry("", "weight of the distillation term of the loss"),
    "ce_weight": Entry("", "weight of the cross-entropy with the labels"),
    "pretraining_mixup": Entry("", "whether the weights that the model started from were trained with mixup"),
    "teacher_pretraining_mixup": Entry("", "the same for the weights that its teacher started from"),
    "split": Entry("", "train, validation or test; the verdicts use test"),
    "metric": Entry("", "name of what is measured, see the metrics below"),
    "value": Entry("that of the metric", "the measured value"),
    "mean": Entry("that of the metric", "mean over seeds"),
    "sd": Entry("that of the metric", "standard deviation over seeds (n − 1)"),
    "n": Entry("seeds", "number of seeds"),
    "pairs": Entry("", "kind of pair: all, same (of one class) or different"),
    "lam_low": Entry("", "lower end of the range of λ"),
    "lam_high": Entry("", "upper end of the range of λ"),
    "count": Entry("pairs", "number of pairs that the value is of"),
    "softmax_temperature": Entry("", "what the logits were divided by to measure, beside the T of distillation"),
    "quantile": Entry("", "share of the values that lie below: 0.05, 0.25, 0.5, 0.75 or 0.95"),
    "corruption": Entry("", "name of the corruption"),
    "severity": Entry("", "severity of the corruption, 1 to 5"),
    "corruptions.count": Entry("images", "number of images"),
    "similarity.kind": Entry("", "clean, mixed or linear: which answers"),
    "row": Entry("", "label of the class whose images are answered"),
    "column": Entry("", "label of the class that the answers name"),
    "similarity.value": Entry("probability", "mean probability of the column's class"),
    "projection.kind": Entry("", "mean (of a class), clean (an image) or mixed (an input between two)"),
    "point": Entry("", "number of the point in its kind"),
    "label": Entry("", "label of the class, of a mixed input that of its first image"),
    "other": Entry("", "label of a mixed input's second image, else as label"),
    "lam": Entry("", "share λ of the first image, else 1"),
    "x": Entry("that of the features", "first coordinate in the plane"),
    "y": Entry("that of the features", "second coordinate in the plane"),
    "name": Entry("", "name of the class"),
    "superclass": Entry("", "number of its superclass; missing where there are none"),
    "reliability.low": Entry("fraction", "lower edge of the bin of confidence"),
    "reliability.high": Entry("fraction", "upper edge of the bin of confidence"),
    "reliability.count": Entry("images", "number of images in the bin"),
    "confidence": Entry("fraction", "mean confidence in the bin"),
    "accuracy": Entry("fraction", "accuracy in the bin"),
    "epoch": Entry("epochs", "epoch, from 1"),
    "lr": Entry("", "learning rate in the epoch"),
    "loss": Entry("nats", "mean training loss of the epoch, with all its terms"),
    "validation_accuracy": Entry("fraction", "accuracy on the validation split; missing where not measured"),
    "validation_loss": Entry("nats", "cross-entropy on the validation split; missing where not measured"),
    "claim": Entry("", "id of the claim"),
    "title": Entry("", "the claim in a few words"),
    "sentence": Entry("", "the claim in a sentence"),
    "claims.kind": Entry("", "verdict, precondition, primary or secondary"),
    "cell": Entry("", "which models are compared"),
    "estimand": Entry("", "what is estimated"),
    "estimate": Entry("see unit", "mean over seeds, or the slope"),
    "low": Entry("see unit", "lower end of the 95 % interval"),
    "high": Entry("see unit", "upper end of the 95 % interval"),
    "low_bonferroni": Entry("see unit", "lower end of the interval corrected over the primary tests"),
    "high_bonferroni": Entry("see unit", "upper end of the interval corrected over the primary tests"),
    "unit": Entry("", "unit of the numbers of the row: points (percentage points), nats, fold (a ratio), or none"),
    "finding": Entry("", "a sentence on what was found"),
    "threshold": Entry("see unit", "what the estimand has to exceed"),
    "p": Entry("", "one-sided p-value: the estimand is not above the threshold"),
    "p_holm": Entry("", "p corrected by Holm's method over the secondary tests of the claim"),
    "verdict": Entry("", "reproduced, not reproduced, inconclusive, not testable here or not judged"),
    "reason": Entry("", "a sentence on why"),
    "warning": Entry("", "a sentence on what to keep in mind"),
}  # fmt: skip
# The values of the column ``metric``, by the first table that has them. All at softmax temperature 1 unless stated.
METRICS = {
    "metrics": {
        "accuracy": Entry("fraction", "share of right answers"),
        "nll": Entry("nats", "negative log-likelihood of the labels"),
        "brier": Entry("", "Brier score, summed over classes"),
        "ece": Entry("fraction", "expected calibration error, 15 bins of equal width"),
        "ace": Entry("fraction", "adaptive calibration error: bins with equal numbers of images"),
        "classwise_ece": Entry("fraction", "mean over classes of the calibration error of the class's probability"),
        "oe": Entry("fraction", "overconfidence error: the bins' confidence × what it exceeds accuracy by"),
        "confidence_gap": Entry("fraction", "mean confidence − accuracy"),
        "confidence_gap_c*": Entry("fraction", "the same for logits multiplied by the number c"),
        "mean_confidence": Entry("fraction", "mean of the highest probability"),
        "entropy": Entry("nats", "mean entropy of the answers"),
        "auroc": Entry("", "area under the ROC curve of confidence for right answers against errors"),
        "aurc": Entry("fraction", "area under the risk–coverage curve by confidence"),
        "temperature_posthoc": Entry("", "softmax temperature fitted on validation data"),
        "ece_posthoc": Entry("fraction", "ECE at temperature_posthoc"),
        "agreement": Entry("fraction", "share of images on which student and teacher name one class"),
        "kl_teacher": Entry("nats", "KL(teacher ‖ student)"),
        "nc1": Entry("", "scatter of penultimate features within classes over that between their means"),
        "cka_teacher": Entry("", "linear CKA of student's and teacher's penultimate features"),
        "parameters": Entry("parameters", "number of trained parameters"),
        "ood_auroc_*": Entry("", "area under the ROC curve of confidence for these images against those of other data"),
        "ood_fpr95_*": Entry("fraction", "share of other data's images that pass where 95 % of these do"),
    },
    "vicinal": {
        "nonlinearity": Entry("nats", "L_NL = KL(λ·p(x_i) + (1 − λ)·p(x_j) ‖ p(x̃)) of x̃ = λ·x_i + (1 − λ)·x_j"),
        "nonlinearity_matched": Entry("nats", "the same at the temperature that gives all models one clean entropy"),
        "jsd": Entry("nats", "Jensen–Shannon divergence between the linear mixture and the answer to x̃"),
        "miss_rate": Entry("fraction", "share of x̃ whose answer is neither image's class"),
        "entropy_clean": Entry("nats", "entropy of the answers to the two images"),
        "entropy_mixed": Entry("nats", "entropy of the answer to x̃"),
        "entropy_linear": Entry("nats", "entropy of the linear mixture of the two answers"),
        "source_mass_mixed": Entry("fraction", "probability of the two images' classes in the answer to x̃"),
        "source_mass_linear": Entry("fraction", "the same in the linear mixture"),
        "confidence_mixed": Entry("fraction", "highest probability in the answer to x̃"),
        "imitation_weight": Entry("", "α: 0 for a student that repeats its teacher's answers to x̃, 1 for a linear one"),
    },
    "confusion": {
        "explained_share": Entry("fraction", "share of the confusion on x̃ that the linear mixture explains"),
        "explained_share_logits": Entry("fraction", "the same by the mixture of logits"),
        "entropy_increase": Entry("nats", "entropy_mixed − entropy_clean"),
        "entropy_excess": Entry("nats", "entropy_mixed − entropy_linear"),
        "source_mass_clean": Entry("fraction", "probability of an image's own class"),
        "spearman_mixed_clean": Entry("", "rank correlation of class similarity on mixed and on clean inputs"),
        "spearman_mixed_linear": Entry("", "the same with the linear mixture"),
        "mantel_p_mixed_clean": Entry("", "one-sided p of the Mantel test of spearman_mixed_clean"),
        "mantel_p_mixed_linear": Entry("", "the same of spearman_mixed_linear"),
    },
    "spread": {"own_mass_clean": Entry("fraction", "probability of an image's own class")},
}  # fmt: skip


_HEAD = """# The columns of the tables

Each table is `results/EXPERIMENT/TABLE.parquet`. Its fields carry unit and meaning as metadata:
`pyarrow.parquet.read_schema("results/digits/metrics.parquet").field("temperature").metadata`.
[results.ipynb](results.ipynb) reads and draws the tables.
This page is written by `python workflow/scripts/export_columns.py`.

## Tables
"""
_COLUMNS_HEAD = """## Columns

`recipe_*` and `data_*` are the settings of recipe and data, `*_weight` the weights of further terms of the loss.
At the end, written TABLE.COLUMN: what a name means in one table only.
"""


def entry(table: str, column: str) -> Entry | None:
    """Return unit and meaning of a column; None if it is not in the dictionary."""
    found = COLUMNS.get(f"{table}.{column}") or COLUMNS.get(column)
    if found is None and column.startswith("recipe_"):
        return Entry("", f"the setting {column.removeprefix('recipe_')} of the recipe that this model was trained by")
    if found is None and column.startswith("data_"):
        return Entry("", f"the setting {column.removeprefix('data_')} of the data")
    if found is None and is_weight(column):
        return Entry("", f"weight of the term {column.removesuffix('_weight')} of the loss")
    return found


def metric_entry(metric: str) -> Entry | None:
    """Return unit and meaning of a metric; None if it is not in the dictionary."""
    for name, found in ((name, found) for known in METRICS.values() for name, found in known.items()):
        if metric == name or (name.endswith("*") and metric.startswith(name[:-1])):
            return found
    return None


def described(name: str, table: pd.DataFrame) -> pa.Table:
    """Return a table for Parquet with unit and meaning of each column, and of its metrics, as metadata of the field."""
    arrow = pa.Table.from_pandas(table, preserve_index=False)
    fields = []
    for field in arrow.schema:
        found = entry(name, field.name)
        metadata = found._asdict() if found else {}
        if field.name == "metric":
            known = {str(metric): metric_entry(str(metric)) for metric in table["metric"].unique()}
            metadata["metrics"] = json.dumps({key: value._asdict() for key, value in known.items() if value})
        fields.append(field.with_metadata(metadata))
    return pa.Table.from_arrays(arrow.columns, schema=pa.schema(fields, metadata=arrow.schema.metadata))


def page() -> str:
    """Return the dictionary as a page in Markdown."""
    shared = {name: found for name, found in COLUMNS.items() if "." not in name}
    lines = [_HEAD, "| Table | A row |", "| --- | --- |", *(f"| `{name}` | {row} |" for name, row in TABLES.items())]
    lines += ["", _COLUMNS_HEAD, *_entries("Column", shared)]
    lines += _entries("", {name: found for name, found in COLUMNS.items() if name not in shared})[2:]
    for table, known in METRICS.items():
        lines += ["", f"## Metrics of {table}", "", *_entries("Metric", known)]
    return "\n".join(lines) + "\n"


def _entries(head: str, entries: dict[str, Entry]) -> list[str]:
    rows = [f"| `{name}` | {found.unit} | {found.meaning} |" for name, found in sorted(entries.items())]
    return [f"| {head} | Unit | Meaning |", "| --- | --- | --- |", *rows]
