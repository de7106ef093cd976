"""What several test files share."""

import copy
import ctypes
import gc
import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from filelock import FileLock

try:
    from hypothesis import settings
except ModuleNotFoundError:  # a machine with a GPU, torch and little else: the tests that need a GPU do without
    pass
else:
    # Other jobs may share the cores: no example is too slow.
    settings.register_profile("vicinal", deadline=None)
    settings.load_profile("vicinal")

# Started in the background a shell has Ctrl-C ignored, here and in all that the tests start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# What a test mounts is seen by the tests alone, and is gone when the last of their processes ends, however it ends.
LIBC = ctypes.CDLL(None)
CLONE_NEWNS, MS_REC, MS_PRIVATE = 0x20000, 0x4000, 0x40000
if LIBC.unshare(CLONE_NEWNS) == 0:
    LIBC.mount(b"none", b"/", None, MS_REC | MS_PRIVATE, None)

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
        }
    ],
}


@pytest.fixture
def config() -> dict:
    """Return a small, valid config that a test may change."""
    return copy.deepcopy(CONFIG)


@pytest.fixture(scope="module", autouse=True)
def hidden_from_the_garbage_collector() -> None:
    """Hide what is there, all that was imported above all: the collector would look through it in each of its turns."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def once(tmp_path_factory) -> Callable[[str, Callable[[Path], object]], Path]:
    """Return a function that makes a folder once a session, however many processes the tests have.

    It takes the name of the folder and what fills it. Nobody may change the folder afterwards: tests copy it.
    """
    base = tmp_path_factory.getbasetemp()
    base = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base

    def made(name: str, make: Callable[[Path], object]) -> Path:
        folder, finished = base / name, base / f"{name}.finished"
        with FileLock(base / f"{name}.lock"):
            if not finished.exists():
                shutil.rmtree(folder, ignore_errors=True)
                folder.mkdir()
                make(folder)
                finished.touch()
        return folder

    return made


def pytest_configure(config):
    config.addinivalue_line("markers", "long: takes minutes; ./run-tests leaves it out, ./run-tests --all does not")
    config.left_out = 0


def pytest_deselected(items):
    """Count the long tests that are left out."""
    for item in items:
        item.config.left_out += item.get_closest_marker("long") is not None


def pytest_sessionfinish(session):
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["left_out"] = session.config.left_out


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node):
    # Each process has collected all tests.
    node.config.left_out = max(node.config.left_out, getattr(node, "workeroutput", {}).get("left_out", 0))


def pytest_terminal_summary(terminalreporter, config):
    if config.left_out:
        terminalreporter.write_line(f"{config.left_out} long tests were left out: ./run-tests --all runs them too")


def pytest_runtest_setup(item):
    if item.get_closest_marker("gpu") is None:
        return
    import torch

    if not torch.cuda.is_available():
        pytest.skip("needs a GPU: none that torch can use here")
