"""Runs that are killed, terminated or interrupted again and again end with the bytes of an undisturbed one.

``python tests/faults/storm.py --kills 100`` makes such a storm by hand.
"""

import signal

import pytest
from project import Project, make_project
from storm import START, Storm, Timing, aftermath, undisturbed

EPOCHS = 400
pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def calm(tmp_path_factory) -> tuple[Project, Timing]:
    folder = tmp_path_factory.mktemp("calm")
    (folder / "project").mkdir()
    project = make_project(folder / "project")
    return project, undisturbed(project, EPOCHS, folder / "log")


@pytest.mark.parametrize(
    ("numbers", "kills"),
    [([signal.SIGKILL], 100), ([signal.SIGTERM], 15), ([signal.SIGINT], 15)],
    ids=["KILL", "TERM", "INT"],
)
def test_storm(calm, tmp_path, numbers, kills):
    project, timing = calm
    (tmp_path / "project").mkdir()
    stormy, log = make_project(tmp_path / "project"), tmp_path / "log"
    storm = Storm(stormy, EPOCHS, timing, numbers, 1, log)
    storm.rage(kills, print)
    print(storm.table())
    assert len(storm.kills) == kills
    # Which phases are hit is left to chance and to the machine, but never few.
    assert len({phase for kill in storm.kills for phase in kill.hit}) >= (8 if kills == 100 else 6), storm.table()
    assert aftermath(project, stormy) == []
    for kill in storm.kills:
        # Before Snakemake runs there is nothing to stop, and nothing is said.
        if numbers != [signal.SIGKILL] and kill.hit != (START,):
            assert "Traceback" not in kill.said
            assert kill.said.splitlines()[-1] == "stopped; what is finished is kept, run again to go on"
