"""Made-up predictions of which several tests of the metrics take the measure."""

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

quick = settings(max_examples=60, deadline=None, derandomize=True)


def sample(n=400, k=7, scale=2.0, seed=0):
    rng = np.random.default_rng(seed)
    logits = scale * rng.normal(size=(n, k))
    return logits, rng.integers(0, k, size=n)


def with_confidence(confidence, k=3):
    """Rows whose largest entry is exactly the given confidence, at class 0 (it must exceed 1/k)."""
    confidence = np.asarray(confidence, dtype=np.float64)
    p = np.repeat(((1 - confidence) / (k - 1))[:, None], k, axis=1)
    p[:, 0] = confidence
    return p


SAMPLES = st.integers(1, 40)


def grid_logits(n=SAMPLES):
    # Multiples of 1/64, so that two logits that differ still differ after a temperature.
    shape = st.tuples(n, st.integers(2, 6))
    return shape.flatmap(lambda s: arrays(np.int64, s, elements=st.integers(-1200, 1200))).map(lambda x: x / 64)
