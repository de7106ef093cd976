"""./reproduce --slurm on a real cluster, and what may happen to its jobs. Without Slurm these tests are skipped."""

import itertools
from collections import Counter

import pytest
from cluster_runs import MEMORY
from project import SHORT

pytestmark = pytest.mark.long


def test_the_default_experiment_shortened(cluster, fresh_project, hooks):
    settings = [*SHORT, *MEMORY, "seeds=[0,1]", "methods=[kd_mixup]", "temperatures=[4]"]
    result = fresh_project.reproduce("--slurm", settings=settings, library=hooks, warm=False)
    assert result.returncode == 0, result.stdout + result.stderr
    assert result.stderr == ""
    assert "cluster: the default partition; each job at first: 6 minutes, 2000 MB; 100 jobs at a time" in result.stdout
    assert "| grep vicinal-digits-" in result.stdout
    assert (fresh_project.results / "digits/report.html").exists()
    seen = [line.split() for line in (fresh_project.folder / "seen.txt").read_text().splitlines()]
    scripts = Counter(script.split("/")[-1] for script, *_ in seen)
    assert scripts == {"train_teacher.py": 2, "distill.py": 2, "evaluate.py": 2}
    assert {node for _, _, node, *_ in seen} <= {*cluster.nodes}
    # of each two jobs that ran at the same time, where
    together = [
        (one[2:4], other[2:4])
        for one, other in itertools.combinations(seen, 2)
        if float(one[4]) < float(other[5]) and float(other[4]) < float(one[5])
    ]
    assert together
    assert all(one != other for one, other in together)
