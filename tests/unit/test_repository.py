"""The files by which others find, cite, check and package this repository: valid, and in agreement with each other."""

import json
import re
import tomllib
from pathlib import Path

import pytest
import yaml

from vicinal import __version__
from vicinal.analysis.claims import CLAIMS

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
CITATION = yaml.safe_load((ROOT / "CITATION.cff").read_text())
ZENODO = json.loads((ROOT / ".zenodo.json").read_text())
PAPER = "2606.12171"


def test_there_is_one_version():
    assert PROJECT["project"]["dynamic"] == ["version"]
    assert CITATION["version"] == ZENODO["version"] == __version__
    assert f"## {__version__}" in (ROOT / "CHANGELOG.md").read_text()


def test_there_is_one_licence():
    text = (ROOT / "LICENSE").read_text()
    assert text.startswith("MIT License\n")
    assert "the Vicinal authors" in text
    assert CITATION["license"] == ZENODO["license"] == PROJECT["project"]["license"] == "MIT"


def test_software_and_paper_can_be_cited():
    assert {"cff-version", "message", "title", "authors"} <= CITATION.keys()
    assert CITATION["title"] == ZENODO["title"]
    [paper] = CITATION["references"]
    assert paper["title"] in (ROOT / "README.md").read_text()
    assert [author["family-names"] for author in paper["authors"]] == ["Medina", "Honeine", "Bensrhair", "Hadachi"]
    assert paper["url"].endswith(PAPER)
    assert ZENODO["related_identifiers"][0]["identifier"] == f"arXiv:{PAPER}"


def test_continuous_integration_runs_what_developers_run():
    workflow = yaml.safe_load((ROOT / ".github/workflows/tests.yml").read_text())
    job = workflow["jobs"]["tests"]
    assert [step["run"].split()[0] for step in job["steps"] if "run" in step] == ["./run-tests"]
    low, high = re.findall(r"\d+\.(\d+)", PROJECT["project"]["requires-python"])
    assert job["strategy"]["matrix"]["python"] == [f"3.{minor}" for minor in range(int(low), int(high))]
    [cache] = [step["with"] for step in job["steps"] if "cache@" in step.get("uses", "")]
    assert cache["path"] == ".venv"
    assert {"requirements.lock", "pyproject.toml"} <= set(re.findall(r"'([\w.]+)'", cache["key"]))


def test_pre_commit_runs_the_tools_of_run_tests():
    [local] = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    lint = (ROOT / "run-tests").read_text()
    for hook in local["hooks"]:
        tool = hook["entry"].removeprefix(".venv/bin/").split()[0]
        assert re.search(rf"^{tool}\b", lint, re.M), tool


def test_the_container_holds_the_lock_like_that_of_apptainer():
    own, other = (ROOT / "Containerfile").read_text(), (ROOT / "envs/apptainer.def").read_text()
    assert re.findall(r"python:\S+", own) == re.findall(r"python:\S+", other)
    [install] = re.findall(r"\S+ -m pip install .*", other)
    assert install in own
    assert re.search(r"^COPY (\S+) (\S+)$", own, re.M).groups() == ("requirements.lock", install.split()[-1])
    assert re.search(r"PATH=(\S+)/bin:", own)[1] == install.split("/bin/")[0]


def test_the_catalogue_names_a_config_and_ways_to_deploy_that_exist():
    usage = yaml.safe_load((ROOT / ".snakemake-workflow-catalog.yml").read_text())["usage"]
    assert (ROOT / usage["mandatory-flags"]["flags"].split()[-1]).is_file()
    assert usage["report"] is True
    assert usage["software-stack-deployment"]["conda"] is (ROOT / "envs/vicinal.yaml").is_file()
    assert usage["software-stack-deployment"]["apptainer"] is (ROOT / "envs/apptainer.def").is_file()


@pytest.mark.parametrize(
    "path", [ROOT / "config.yaml", *sorted((ROOT / "experiments").glob("*.yaml"))], ids=lambda path: path.stem
)
def test_every_config_names_its_schema(path):
    found = re.match(r"# yaml-language-server: \$schema=(\S+)\n", path.read_text())
    assert (path.parent / found[1]).resolve() == ROOT / "workflow/config.schema.json"


def test_the_index_has_every_page():
    pages = {path.name for path in (ROOT / "workflow/docs").glob("*.md")} - {"README.md"}
    text = (ROOT / "workflow/docs/README.md").read_text()
    assert set(re.findall(r"\]\(([\w-]+\.md)\)", text)) == pages


@pytest.mark.parametrize(
    "page",
    [*ROOT.glob("*.md"), *(ROOT / "workflow/docs").glob("*.md")],
    ids=lambda path: f"{path.parent.name}/{path.name}",
)
def test_links_lead_to_files_and_headings(page):
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.M | re.S)
    for target in re.findall(r"\]\((?!https?:)([^)\s]+)\)", text):
        name, _, heading = target.partition("#")
        file = (page.parent / name).resolve() if name else page
        assert file.exists(), target
        if heading:
            titles = re.findall(r"^#+ (.*)$", file.read_text(), re.M)
            assert heading in {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}, target


def test_the_verdicts_of_the_readme_are_those_that_are_published():
    """If this fails: copy the first table of the page that the README names to it."""
    readme = (ROOT / "README.md").read_text()
    [name] = re.findall(r"<!-- The first table of (\S+/claims\.md)\. -->", readme)
    page = (ROOT / name).read_text()
    table = page[page.index("| Claim | Verdict |") :].partition("\n\n")[0]
    assert len(table.splitlines()) == 2 + len(CLAIMS)
    assert f"{name}. -->\n{table}\n\n" in readme


def test_what_is_published_names_no_folder_of_a_machine():
    records = sorted((ROOT / "results/published").rglob("*.json"))
    commands = [command for path in records for command in re.findall(r'"command": "([^"]*)"', path.read_text())]
    assert commands
    assert not [command for command in commands if re.search(r"(^|[ =])/", command)]
