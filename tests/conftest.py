"""What several test files share."""

import copy
import signal

import pytest
from hypothesis import settings

# Other jobs may share the cores: no example is too slow.
settings.register_profile("vicinal", deadline=None)
settings.load_profile("vicinal")

# Started in the background a shell has Ctrl-C ignored, here and in all that the tests start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

CONFIG = {
    "name": "tiny",
    "data": {"name": "digits", "root": "data"},
    "recipe": {"epochs": 4, "lr": 0.1, "flip": False},
    "seeds": [0, 1],
    "grids": [
        {
            "teachers": ["resnet14", "resnet8"],
            "students": ["resnet8_narrow"],
            "methods": ["ce", "ce_mixup", "kd", "kd_mixup"],
            "alphas": [0.5, 1.0],
            "temperatures": [1, 4],
        },
    ],
}


@pytest.fixture
def config() -> dict:
    """Return a small, valid config that a test may change."""
    return copy.deepcopy(CONFIG)


def pytest_runtest_setup(item):
    if item.get_closest_marker("gpu") is None:
        return
    import torch

    if not torch.cuda.is_available():
        pytest.skip("needs a GPU: none that torch can use here")
