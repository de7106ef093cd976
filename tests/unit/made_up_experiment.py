"""The tables of a made-up experiment in which all claims hold, or fail for one of its two teachers."""

import numpy as np
import pandas as pd

TEACHERS, STUDENT, SEEDS, LOST = ("resnet14", "resnet8"), "resnet8_narrow", range(5), "resnet8"
SCALES, METHODS, TEMPERATURES = (0.5, 0.75, 1.5, 2.0), ("ce", "ce_mixup", "kd", "kd_mixup"), ("1", "2", "4")
METRICS = ("accuracy", "nll", "ece", "oe", "confidence_gap", "entropy", "agreement", "mean_confidence")
_NONE = {"alpha": np.nan, "teacher": None, "teacher_mixup_alpha": np.nan, "temperature": None, "logit_scale": np.nan}


def models() -> pd.DataFrame:
    """Return one row a model with every setting."""
    found = []
    for seed in SEEDS:
        base = {"data": "made up", "seed": seed, **_NONE, "kd_weight": 0.0, "ce_weight": 1.0}
        found += [{**base, "role": "teacher", "model": name, "method": "ce"} for name in TEACHERS]
        student = {**base, "role": "student", "model": STUDENT}
        found += [{**student, "method": "ce"}, {**student, "method": "ce_mixup", "alpha": 1.0}]
        student |= {"kd_weight": 1.0, "ce_weight": 0.0, "logit_scale": 1.0}
        for teacher in TEACHERS:
            for method, alpha in (("kd", np.nan), ("kd_mixup", 1.0)):
                for t in TEMPERATURES:
                    own = {"teacher": teacher, "method": method, "alpha": alpha, "temperature": t}
                    found.append({**student, **own})
        own = {"teacher": TEACHERS[0], "method": "kd_mixup", "alpha": 1.0, "temperature": "2"}
        found += [{**student, **own, "logit_scale": c} for c in SCALES]
    table = pd.DataFrame(found)
    names = ["model", "teacher", "method", "temperature", "logit_scale", "seed"]
    table.insert(0, "model_id", ["-".join(map(str, row)) for row in table[names].itertuples(index=False)])
    return table


def study(fails: bool = False) -> dict[str, pd.DataFrame]:
    """Return all tables; with ``fails`` students of the teacher ``LOST`` speak against C1 to C4 and C6."""
    rng = np.random.default_rng(0)
    runs = models()
    bad = (runs["teacher"] == LOST) & fails
    mixed, log_t = runs["method"] == "kd_mixup", np.log2(runs["temperature"].astype(float).fillna(1))
    scale, teacher = runs["logit_scale"].fillna(1), runs["role"] == "teacher"

    def noisy(value, sd):
        return value + rng.normal(0, sd, len(runs))

    higher = np.where(mixed, 0.08 - 0.004 * log_t * (scale == 1), 0.0)
    higher += np.where(mixed & (runs["teacher"] == LOST), -0.2 if fails else 0.03, 0.0)
    gap = np.where(mixed, 0.3 - 0.05 * log_t * np.where(bad, -1, 1) + 0.1 * np.log2(scale), 0.3 - 0.01 * log_t)
    values = {name: noisy(0.5, 0.01) for name in METRICS}
    better = np.where(teacher, 0.05 + 0.02 * (runs["model"] != LOST), 0.0)
    values["accuracy"] = noisy(0.8 + 0.01 * runs["seed"] + higher + better, 0.0005)
    values["oe"] = np.exp(noisy(np.log(np.where(mixed & ~bad, 0.03, 0.3)), 0.02))
    values["ece"] = noisy(np.where(mixed, 0.05 - 0.005 * log_t * np.where(bad, -1, 1), 0.2), 0.001)
    values["confidence_gap"] = noisy(np.where(teacher, 0.1, gap), 0.001)
    values["parameters"] = 1e5 + 1e4 * runs["model"].str.len()
    values |= (features := _features(runs))
    splits = [_long(runs, values).assign(split=split) for split in ("test", "validation")]
    scaled = {f"confidence_gap_c{c:g}": noisy(0.1 + 0.1 * np.log2(c), 0.001) for c in SCALES}
    scaled = _long(runs[teacher], {name: column[teacher] for name, column in scaled.items()}).assign(split="test")
    tables = {"metrics": pd.concat([*splits, scaled], ignore_index=True).assign(recipe_epochs=30)}

    linear = noisy(np.where(teacher | bad, 1.0, 0.7), 0.01) + np.where(bad, 0.3, 0.0)
    parts = []
    for name in ("nonlinearity", "nonlinearity_matched", "entropy_mixed", "entropy_linear", "source_mass_mixed"):
        own = runs.assign(metric=name, value=linear)
        for low, high, pairs in ((0.0, 1.0, "all"), (0.0, 0.5, "all"), (0.5, 1.0, "all"), (0.45, 0.55, "different")):
            where = {"split": "test", "pairs": pairs, "lam_low": low, "lam_high": high, "count": 100}
            parts.append(own.assign(**where, value=own["value"] + rng.normal(0, 0.001, len(own))))
    weight = runs.assign(metric="imitation_weight", value=noisy(np.where(mixed & ~bad, 0.4, 0.2), 0.01))
    whole = {"split": "test", "pairs": "all", "lam_low": 0.0, "lam_high": 1.0, "count": 100}
    parts.append(weight[weight["teacher"].notna()].assign(**whole))
    parts.append(_long(runs, features).assign(**whole))
    tables["vicinal"] = pd.concat(parts, ignore_index=True)

    against = (runs["model"] == LOST) & fails
    shares = {"explained_share": noisy(np.where(against, 0.7, 0.1), 0.01)}
    shares["explained_share_logits"] = noisy(np.where(against, 0.9, 0.2), 0.01)
    shares |= {name: noisy(0.5, 0.01) for name in ("entropy_excess", "spearman_mixed_clean", "mantel_p_mixed_clean")}
    tables["confusion"] = _long(runs, shares).assign(split="test", softmax_temperature=2.0)

    parts, quantiles = [], pd.DataFrame({"quantile": [0.05, 0.25, 0.5, 0.75, 0.95]})
    for name in ("entropy_clean", "entropy_mixed", "entropy_linear", "source_mass_mixed"):
        for low, high in ((0.0, 1.0), (0.0, 0.5), (0.5, 1.0)):
            where = {"split": "test", "lam_low": low, "lam_high": high, "metric": name, "count": 100}
            own = runs[teacher].merge(quantiles, how="cross")
            parts.append(own.assign(**where, value=own["quantile"] + rng.normal(0, 0.001, len(own))))
    tables["spread"] = pd.concat(parts, ignore_index=True)

    parts = []
    for name in ("fog", "snow", "saturate"):
        for severity in range(1, 6):
            low = {"accuracy": noisy(0.8 - 0.1 * severity, 0.01), "ece": noisy(0.1 * severity, 0.01)}
            low["oe"] = low["ece"] / 2
            parts.append(_long(runs, low).assign(corruption=name, severity=severity, count=100))
    tables["corruptions"] = pd.concat(parts, ignore_index=True)

    edges = np.arange(15) / 15
    bins = pd.DataFrame({"low": edges, "high": edges + 1 / 15, "count": 600, "confidence": edges + 0.03})
    table = runs.merge(bins.assign(accuracy=bins["confidence"]), how="cross")
    tables["reliability"] = table.assign(confidence=table["confidence"] + rng.uniform(-0.005, 0.005, len(table)))
    epochs = pd.DataFrame({"epoch": [1, 2, 3], "loss": [2.0, 1.0, 0.5], "validation_accuracy": [0.3, 0.5, 0.6]})
    tables["history"] = runs.merge(epochs, how="cross")
    kinds = ("clean", "mixed", "linear")
    cells = pd.DataFrame([(kind, i, j) for kind in kinds for i in range(3) for j in range(3) if i != j],
                         columns=["kind", "row", "column"])  # fmt: skip
    tables["similarity"] = runs.loc[teacher, ["model_id"]].merge(cells.assign(value=0.5), how="cross")
    points = {"kind": ["mean"] * 3, "point": range(3), "label": range(3), "other": range(3), "lam": 1.0}
    points |= {"x": [0.0, 1.0, -1.0], "y": [1.0, -0.5, -0.5]}
    tables["projection"] = runs[["model_id"]].merge(pd.DataFrame(points), how="cross")
    tables["classes"] = pd.DataFrame({"label": [0, 1, 2], "name": ["a", "b", "c"], "superclass": [None] * 3})
    return tables


def _features(runs: pd.DataFrame) -> dict:
    """Return measures of features; only students with a teacher have a CKA."""
    rng = np.random.default_rng(1)
    cka = rng.normal(0.7, 0.05, len(runs))
    return {"nc1": rng.normal(1, 0.05, len(runs)), "cka_teacher": np.where(runs["teacher"].notna(), cka, np.nan)}


def _long(runs: pd.DataFrame, values: dict) -> pd.DataFrame:
    """Return the rows of the runs that have a value."""
    parts = [runs.assign(metric=name, value=column).dropna(subset="value") for name, column in values.items()]
    return pd.concat(parts, ignore_index=True)
