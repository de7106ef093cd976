"""Made-up tables of finished runs, and the figures drawn from them."""

import io
import itertools
from functools import cache
from importlib import import_module
from pathlib import Path

import numpy as np
import pandas as pd
import scipy.stats
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection, PolyCollection
from matplotlib.colors import to_rgb

from vicinal.analysis.figures import style
from vicinal.analysis.figures.files import drawn
from vicinal.evaluation.pairs import vicinal_pairs
from vicinal.evaluation.projection import projection_table

ROOT = Path(__file__).resolve().parents[2]
ALL = ("ce", "ce_mixup", "kd", "kd_mixup")
# Those of the main comparison; the figures that go with the claims have tests of their own.
FIGURES = (
    "temperature", "plane", "reliability", "nonlinearity", "imitation", "representations", "projection", "capacity",
    "training",
)  # fmt: skip


def model(role, name, method, seed, **settings):
    row = {
        "role": role, "data": "digits", "model": name, "method": method, "seed": seed, "alpha": None, "teacher": None,
        "teacher_mixup_alpha": None, "temperature": None, "logit_scale": None, "kd_weight": 0.0, "ce_weight": 1.0,
    }  # fmt: skip
    row |= settings
    return {"model_id": "_".join(str(value) for value in row.values()), **row}


def grid(
    teachers=("big",), students=("small",), methods=ALL, temperatures=("1", "2", "4"), seeds=5, alphas=(1.0,),
    scales=(1.0,), weights=((1.0, 0.0),), teacher_alpha=None,
):  # fmt: skip
    """Return the models of a grid, as the aggregate names them."""
    rows = {}
    for seed, student, method in itertools.product(range(seeds), students, methods):
        for alpha in alphas if method.endswith("mixup") else [None]:
            if method.startswith("ce"):
                row = model("student", student, method, seed, alpha=alpha)
                rows[row["model_id"]] = row
                continue
            for teacher, t, c, (kd, ce) in itertools.product(teachers, temperatures, scales, weights):
                row = model("teacher", teacher, "ce_mixup" if teacher_alpha else "ce", seed, alpha=teacher_alpha)
                rows[row["model_id"]] = row
                own = {"teacher": teacher, "temperature": t, "logit_scale": c, "kd_weight": kd, "ce_weight": ce}
                row = model("student", student, method, seed, alpha=alpha, teacher_mixup_alpha=teacher_alpha, **own)
                rows[row["model_id"]] = row
    return list(rows.values())


def frame(models):
    """Return models as a table with the columns' types of a finished run, one row each."""
    models = pd.DataFrame(models).drop_duplicates("model_id")
    numbers = ["alpha", "teacher_mixup_alpha", "logit_scale", "kd_weight", "ce_weight"]
    texts = [name for name in models if name not in [*numbers, "seed"]]
    return models.astype({**dict.fromkeys(numbers, "float64"), **dict.fromkeys(texts, "category")})


def tables_of(models, epochs=6, seed=0):
    """Return tables with the columns of a finished run and random values."""
    rng, more = np.random.default_rng(seed), np.random.default_rng(seed + 1)
    models = frame(models)
    base = {}
    for row in models.itertuples():  # alike for all seeds of a setting
        setting = row.model_id.replace(f"_{row.seed}_", "_", 1)
        level = base.setdefault(setting, {"accuracy": rng.uniform(0.6, 0.8), "ece": rng.uniform(0.02, 0.2)})
        level.setdefault("nl", rng.uniform(0.5, 3))

    edges = np.arange(16) / 15
    lam = [(0.0, 1.0), *((b / 20, (b + 1) / 20) for b in range(20)), (0.45, 0.55)]
    metrics, bins, vicinal, history = [], [], [], []
    for row in models.itertuples():
        level = base[row.model_id.replace(f"_{row.seed}_", "_", 1)]
        for split in ("validation", "test"):
            values = {
                "accuracy": level["accuracy"] + rng.normal(0, 0.01),
                "ece": abs(level["ece"] + rng.normal(0, 0.005)),
                "oe": abs(level["ece"] / 2 + rng.normal(0, 0.005)),
                "confidence_gap": rng.normal(0, 0.05),
                "nll": rng.uniform(),
            }
            if split == "test":
                values |= geometry(row, more) | {"parameters": parameters(row.model)}
            metrics += [(row.model_id, split, name, value) for name, value in values.items()]
        count = rng.integers(0, 40, 15) * (edges[1:] > 0.3)
        confidence = np.where(count > 0, edges[1:] - rng.uniform(0, 1 / 15, 15), np.nan)
        accuracy = np.where(count > 0, rng.integers(0, np.maximum(count, 1) + 1) / np.maximum(count, 1), np.nan)
        bins += list(zip([row.model_id] * 15, edges, edges[1:], count, confidence, accuracy, strict=False))
        for split, pairs, (low, high) in itertools.product(("train", "test"), ("all", "different"), lam):
            value = level["nl"] * np.sin(np.pi * (low + high) / 2) + abs(rng.normal(0, 0.1))
            vicinal.append((row.model_id, split, pairs, low, high, "nonlinearity", value, 100))
            vicinal.append((row.model_id, split, pairs, low, high, "jsd", rng.uniform(), 100))
        both = ("train", "test") if row.role == "teacher" or pd.notna(row.teacher) else ()
        for split, pairs in itertools.product(both, ("all", "different")):
            matched = level["nl"] * 0.8 + more.normal(0, 0.1)
            vicinal.append((row.model_id, split, pairs, 0.0, 1.0, "nonlinearity_matched", matched, 100))
            if row.role == "student":
                weight = more.uniform(0, 0.2)
                vicinal.append((row.model_id, split, pairs, 0.0, 1.0, "imitation_weight", weight, 100))
        for name, value in geometry(row, more).items():
            vicinal.append((row.model_id, "test", "all", 0.0, 1.0, name, 3 * value if name == "nc1" else value, 100))
        for epoch in range(1, epochs + 1):
            measured = rng.uniform(0.2, 0.9) if epoch % 3 == 0 else np.nan
            history.append((row.model_id, epoch, 0.1, np.exp(-epoch / 3) + rng.uniform(0, 0.1), 0.1, measured))
    columns = {
        "metrics": (metrics, ["model_id", "split", "metric", "value"]),
        "reliability": (bins, ["model_id", "low", "high", "count", "confidence", "accuracy"]),
        "vicinal": (vicinal, ["model_id", "split", "pairs", "lam_low", "lam_high", "metric", "value", "count"]),
        "history": (history, ["model_id", "epoch", "lr", "loss", "seconds", "validation_accuracy"]),
    }
    tables = {}
    for name, (rows, names) in columns.items():
        table = models.merge(pd.DataFrame(rows, columns=names).astype({"model_id": models["model_id"].dtype}))
        texts = [column for column in ("split", "metric", "pairs") if column in names]
        tables[name] = table.astype(dict.fromkeys(texts, "category"))
    tables["projection"] = pd.concat([projected(id_) for id_ in models["model_id"]], ignore_index=True)
    tables["classes"] = pd.DataFrame({"label": range(4), "name": list("abcd"), "superclass": None})
    return tables


def projected(id_):
    """Return a model's points in the plane of three of four classes, from made-up features."""
    rng = np.random.default_rng(sum(map(ord, id_)))
    labels = np.arange(24) % 4
    pairs = vicinal_pairs(labels, 40, 0)
    clean = rng.normal(size=(24, 5)) + 3 * rng.normal(size=(4, 5))[labels]
    return projection_table(clean, rng.normal(size=(40, 5)), labels, pairs).assign(model_id=id_)


def parameters(name):
    """Return a made-up number of parameters of a network: the longer its name, the more."""
    return 10_000.0 * 3 ** len(name) + sum(map(ord, name))


def geometry(row, rng):
    """Return made-up measures of a model's features on one set of inputs."""
    return {"nc1": rng.uniform(0.4, 0.6)} | ({"cka_teacher": rng.uniform(0.5, 0.9)} if pd.notna(row.teacher) else {})


@cache
def usual():
    """Return the tables of a run with variants that no figure of the main comparison may show."""
    models = grid(teachers=("big", "bigger"))
    models += grid(methods=("kd_mixup", "ce_mixup"), temperatures=("2",), alphas=(0.2, 0.4), seeds=3)
    models += grid(methods=("kd_mixup",), temperatures=("2",), scales=(0.5, 2.0))
    models += grid(methods=("kd", "kd_mixup"), temperatures=("2",), weights=((0.9, 0.1),), seeds=3)
    models += grid(methods=("kd", "kd_mixup"), temperatures=("2",), teacher_alpha=1.0, seeds=3)
    return tables_of(models)


def module(name):
    return import_module(f"vicinal.analysis.figures.{name}")


def make(name, tables):
    figure = module(name)
    data = figure.data({table: tables[table] for table in figure.TABLES})
    return data, *drawn(figure, data)


@cache
def usual_figure(name):
    """Return a figure of the usual tables: data, figure and caption."""
    return make(name, usual())


def pixels(figure):
    """Return what a figure shows, at a low resolution."""
    with style.look(), io.BytesIO() as file:
        figure.savefig(file, format="rgba", dpi=60)
        return file.getvalue()


def words(figure):
    return [text.get_text() for text in figure.findobj(lambda artist: hasattr(artist, "get_text"))]


def line_of(ax, method):
    """Return the points of a method's line in a panel, all its lines joined."""
    lines = [line for line in ax.get_lines() if line.get_color() == style.COLOURS[method] and len(line.get_xdata()) > 0]
    return np.concatenate([np.column_stack([line.get_xdata(), line.get_ydata()]) for line in lines]).astype(float)


def all_axes(figure):
    return figure.findobj(Axes)


def panel(figure, title, label=None):
    """Return the panel with a title; with ``label`` that of its row that has this label at the y axis."""
    [ax] = [ax for ax in all_axes(figure) if title in (ax.get_title(), ax.get_title(loc="left"))]
    if label is None:
        return ax
    row = ax.get_subplotspec().rowspan
    [ax] = [own for own in all_axes(figure) if own.get_subplotspec().rowspan == row and own.get_ylabel() == label]
    return ax


def bars_of(ax, colour):
    """Return the error bars of a colour in a panel, shape (n, 2 ends, 2 axes)."""
    found = [lines for lines in ax.collections if isinstance(lines, LineCollection)]
    found = [np.array(lines.get_segments()) for lines in found if same_colour(lines.get_color()[0], colour)]
    return np.concatenate([np.empty((0, 2, 2)), *found])


def band_of(ax, colour):
    """Return lower and upper edge of the bands of a colour in a panel by x."""
    edges = {}
    for band in ax.collections:
        if isinstance(band, PolyCollection) and same_colour(band.get_facecolor()[0], colour):
            for x, y in np.concatenate([path.vertices for path in band.get_paths()]):
                edges.setdefault(round(x, 6), []).append(y)
    return {x: (min(y), max(y)) for x, y in edges.items()}


def same_colour(one, other):
    return np.allclose(to_rgb(tuple(one)), to_rgb(other))


def per_seed(table, **settings):
    """Return the values of one setting, one a seed, found without the code under test."""
    for name, wanted in settings.items():
        table = table[table[name].isna() if wanted is None else table[name].astype(object) == wanted]
    assert table["seed"].is_unique
    return table["value"].to_numpy()


def interval(values):
    """Return the 95 % t-interval of a mean."""
    return scipy.stats.t.interval(0.95, len(values) - 1, np.mean(values), scipy.stats.sem(values))


def main_kd(method, temperature, teacher="big"):
    return {
        "role": "student", "method": method, "teacher": teacher, "temperature": temperature, "logit_scale": 1.0,
        "kd_weight": 1.0, "teacher_mixup_alpha": None, "alpha": 1.0 if method == "kd_mixup" else None,
    }  # fmt: skip
