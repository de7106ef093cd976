"""Whatever text or values a config holds, there is nothing but a VicinalError."""

from configs import load
from hypothesis import example, given
from hypothesis import strategies as st

from vicinal.config import GRID_KEYS, SHORT_KEYS, parse_yaml
from vicinal.errors import VicinalError

TEXT = st.one_of(st.text(max_size=80), st.text("[]{}:,-?!&*<>|%@#='\"\\ \n\tabsx01.~_", max_size=80))
SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8), st.sampled_from(["std", "kd", "resnet8"])
)
NAMES = [
    *SHORT_KEYS,
    *GRID_KEYS,
    "name",
    "data",
    "recipe",
    "teacher_recipe",
    "loss",
    "grids",
    "execution",
    "experiments",
]
FIELDS = [*NAMES, "lr", "lr_by_model", "milestones", "limit_train", "model", "mixup_alpha", "kd_weight", "<<"]
KEYS = st.one_of(st.sampled_from(FIELDS), st.text(max_size=8))
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4), max_leaves=12
)


def only_vicinal_errors(function):
    """Return what the function returns, or None after an error; each line of its message says what it is about."""
    try:
        return function()
    except VicinalError as error:
        lines = str(error).splitlines()
        assert lines
        assert all(line.startswith(("file.yaml", "--set ", "no experiment ")) for line in lines)


@given(TEXT)
@example("2001-99-99")
@example("{{a: b}: c}")
@example("&a [*a]")
@example("&a {a: *a}")
@example("!!set [a]")
@example("!!omap [{a: 1}]")
def test_any_text_as_a_file(text):
    value = only_vicinal_errors(lambda: parse_yaml(text, "file.yaml"))
    if isinstance(value, dict):
        only_vicinal_errors(lambda: load(value))


@given(st.dictionaries(KEYS, VALUES, max_size=6), st.booleans())
@example({"experiments": {}}, False)
@example({"teachers": None, "grids": {"epochs": False, "\r": False}}, False)
@example({"Name": 1, "listing": 1}, True)
def test_any_values_as_a_config(changes, valid_otherwise):
    base = {"name": "x", "grids": [{"students": ["resnet8"], "methods": ["ce"]}]} if valid_otherwise else {}
    only_vicinal_errors(lambda: load({**base, **changes}))


@given(
    st.one_of(TEXT, st.builds("{}={}".format, st.lists(KEYS, min_size=1, max_size=3).map(".".join), TEXT)),
    st.sampled_from([None, {}, 3, "text", {"epochs": 2}]),
)
@example("epochs=2", 3)
@example("grids.²=1", None)
@example("grids.0.grids=x: 2001-13-01", None)
def test_any_text_as_an_override(text, teacher_recipe):
    config = {"name": "x", "grids": [{"students": ["resnet8"], "methods": ["ce"]}], "teacher_recipe": teacher_recipe}
    only_vicinal_errors(lambda: load(config, text))
