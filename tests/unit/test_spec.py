import hashlib
import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vicinal.spec import NEUTRAL, artefact_id, canonical, digest, exact_number, normalise

STUDENT = {
    "stage": "student",
    "model": {"family": "cifar_resnet", "depth": 8, "widths": [32, 64, 128, 256]},
    "recipe": {"optimizer": "sgd", "epochs": 240, "lr": 0.05, "milestones": [0.625, 0.75, 0.875], "nesterov": False},
    "alpha": 1.0,
    "temperature": 4.0,
    "logit_scale": 1.0,
    "loss": {"kd_weight": 1.0, "ce_weight": 0.0},
    "teacher": None,
    "seed": 0,
}

SCALARS = st.one_of(st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), st.text(max_size=5))
KEYS = st.text(max_size=4).filter(lambda key: key not in NEUTRAL)
SPECS = st.recursive(
    st.none() | SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4)
)


def without_none(value):
    """Remove the None of mappings, in another way than the code under test."""
    if isinstance(value, list):
        return [without_none(entry) for entry in value]
    if isinstance(value, dict):
        return {key: without_none(value[key]) for key in value if value[key] is not None}
    return value


def shuffled(value, random):
    if isinstance(value, list):
        return [shuffled(entry, random) for entry in value]
    if isinstance(value, dict):
        keys = list(value)
        random.shuffle(keys)
        return {key: shuffled(value[key], random) for key in keys}
    return value


# The ids of all finished work hang on these: if this test fails, the code is wrong and not the test.
def test_canonical_form_and_digest_are_frozen():
    text = (
        '{"alpha":1,"loss":{"kd_weight":1},"model":{"depth":8,"family":"cifar_resnet","widths":[32,64,128,256]},'
        '"recipe":{"epochs":240,"lr":0.05,"milestones":[0.625,0.75,0.875],"optimizer":"sgd"},"seed":0,'
        '"stage":"student","temperature":4}'
    )
    assert canonical(STUDENT) == text
    assert digest(STUDENT) == hashlib.sha256(text.encode()).hexdigest()
    assert digest(STUDENT) == "0451ac2b356d6678766923645287cf464f0bd70e45c5852133cd47fee0f39125"
    assert artefact_id("resnet8x4_s0", STUDENT) == "resnet8x4_s0-0451ac2b"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"temperature": 4}, {"temperature": 4.0}),
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}),
        ({"a": {"x": 1, "y": [{"p": 1, "q": 2}]}}, {"a": {"y": [{"q": 2, "p": 1}], "x": 1}}),
        ({"a": 1}, {"a": 1, "alpha": None}),
        ({"a": (1, 2)}, {"a": [1, 2]}),
        ({"zero": 0.0}, {"zero": -0.0}),
        ({"large": 2.0**70}, {"large": 2**70}),
        ({}, {"ce_weight": 0, "kd_weight": 0.0, "logit_scale": 1.0, "nesterov": False}),
        ({"recipe": {"lr": 0.1}}, {"recipe": {"lr": 0.1, "nesterov": False}}),
    ],
)
def test_same_spec(one, other):
    assert canonical(one) == canonical(other)
    assert digest(one) == digest(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"temperature": 4}, {"temperature": 4.5}),
        ({"temperature": 4}, {"temperature": "4"}),
        ({"lr": 0.1}, {"lr": math.nextafter(0.1, 1)}),
        ({"a": [1, 2]}, {"a": [2, 1]}),
        ({"a": [1, None]}, {"a": [1]}),
        ({"flag": True}, {"flag": 1}),
        ({"flag": False}, {"flag": None}),
        ({"logit_scale": 1}, {"logit_scale": 2}),
        ({"nesterov": False}, {"nesterov": True}),
        ({"other": 0}, {}),
        ({"a": {}}, {}),
        ({"a": {"b": 1}}, {"a.b": 1}),
    ],
)
def test_other_spec(one, other):
    assert canonical(one) != canonical(other)
    assert digest(one) != digest(other)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("place", [lambda x: x, lambda x: {"a": x}, lambda x: {"a": [1, {"b": x}]}])
def test_not_a_number_is_refused(value, place):
    with pytest.raises(ValueError, match=r"(nan|inf) cannot be part of a spec"):
        canonical(place(value))


def test_neutral_values_are_left_out_at_any_depth_and_only_they():
    assert normalise({"loss": {"kd_weight": 0.9, "ce_weight": 0.0}}) == {"loss": {"kd_weight": 0.9}}
    assert normalise([{"logit_scale": 1.0, "b": 1.0}, None]) == [{"b": 1}, None]


def test_input_is_left_as_it_is():
    spec = json.loads(json.dumps(STUDENT))
    normalise(spec)
    assert spec == STUDENT
    assert list(spec) == list(STUDENT)


@given(SPECS)
def test_canonical_form_reads_back_as_the_same_spec(spec):
    text = canonical(spec)
    assert json.loads(text) == without_none(spec)
    assert canonical(json.loads(text)) == text
    assert text.isascii()


@given(SPECS, st.randoms(use_true_random=False))
def test_order_of_keys_does_not_matter(spec, random):
    assert canonical(shuffled(spec, random)) == canonical(spec)


@given(SPECS)
def test_normalising_twice_changes_nothing(spec):
    assert canonical(normalise(spec)) == canonical(spec)
    assert json.dumps(normalise(normalise(spec))) == json.dumps(normalise(spec))


@given(st.integers(-(2**53), 2**53))
def test_whole_numbers_are_the_same_as_floats(value):
    assert canonical({"a": value}) == canonical({"a": float(value)}) == f'{{"a":{value}}}'


@given(st.dictionaries(KEYS, SCALARS, max_size=4), st.dictionaries(KEYS, SCALARS, max_size=4))
def test_specs_that_differ_have_other_digests(one, other):
    same = json.dumps(normalise(one), sort_keys=True) == json.dumps(normalise(other), sort_keys=True)
    assert (digest(one) == digest(other)) == same


@pytest.mark.parametrize(
    ("value", "text"),
    [(4.0, "4"), (4, "4"), (0.5, "0.5"), ("std", "std"), (0.2, "0.2"), (16, "16"), (0.625, "0.625"), (0, "0")],
)
def test_number_in_a_slug(value, text):
    assert exact_number(value) == text


# Tables compare temperatures by this text.
@given(st.floats(min_value=1e-6, max_value=1e6))
def test_number_loses_nothing(value):
    assert float(exact_number(value)) == value


@pytest.mark.parametrize("value", [1234567, 2**53 + 1, 2**62 + 3])
def test_whole_number_loses_nothing(value):
    assert int(exact_number(value)) == value


def test_a_huge_number_stays_short_in_ids():
    assert exact_number(1e300) == "1e300"
    assert exact_number(2.0**53 - 1) == "9007199254740991"
