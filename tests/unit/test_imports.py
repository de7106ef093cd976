"""What is needed at once, also where nothing is to be done, loads no package that takes long to load."""

import subprocess
import sys
from pathlib import Path

import pytest

import vicinal

HEAVY = {"torch", "torchvision", "pandas", "scipy", "sklearn", "matplotlib", "seaborn", "snakemake", "pydantic"}
LIGHT = {
    "vicinal.analysis.claims": {"pandas", "scipy"},
    "vicinal.analysis.figures": set(),
    "vicinal.commands.report": set(),
    "vicinal.data.catalogue": set(),
    "vicinal.evaluation.metrics": set(),
    "vicinal.evaluation.pairs": set(),
    "vicinal.models.pretrained": set(),
    "vicinal.models.registry": set(),
}


@pytest.mark.parametrize("module", LIGHT)
def test_importing_loads_nothing_heavy(module):
    code = f"import sys, {module}; print(*sys.modules)"
    environment = {"PYTHONPATH": str(Path(vicinal.__file__).parents[1])}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    assert set(done.stdout.split()) & HEAVY <= LIGHT[module]
