"""The report on corrupted images: the figure where they were measured, one line where not, nothing where not asked."""

import io
import json

import pandas as pd
import pytest
from PIL import Image
from report_tables import write_experiment

from vicinal.analysis.report.context import context
from vicinal.analysis.report.figures import Figure
from vicinal.analysis.report.inputs import read_inputs
from vicinal.analysis.report.page import render

LEFT_OUT = {"available": False, "reason": "data/<b>.tar: not there"}
MEASURED = {"available": True, "file": "CIFAR-10-C.tar", "md5": "5" * 32}


@pytest.fixture
def page(tmp_path):
    """Return a function that returns the page, given what the record of the tables says."""
    folder = write_experiment(tmp_path)
    buffer = io.BytesIO()
    Image.new("RGB", (30, 20)).save(buffer, "PNG")

    def render_page(record, **more):
        own = json.loads((folder / "provenance.json").read_text())
        own.pop("corruptions", None)
        (folder / "provenance.json").write_text(
            json.dumps(own if record == "silent" else {**own, "corruptions": record})
        )
        inputs = read_inputs(folder)
        inputs.figures["corruptions"] = Figure("corruptions", buffer.getvalue(), "A caption.")
        return render(context(inputs))

    render_page.folder = folder
    return render_page


def test_where_they_were_measured_the_figure_has_a_section_of_its_own(page):
    text = page(MEASURED)
    assert text.count('id="figure-corruptions"') == 1
    section = text.partition('<section id="corruptions"')[2].partition("</section>")[0]
    assert 'id="figure-corruptions"' in section
    assert f"corrupted test images in CIFAR-10-C.tar (MD5 {'5' * 32})." in section
    assert '<a href="#corruptions">' in text


def test_where_they_were_not_there_one_line_says_why(page):
    text = page(LEFT_OUT)
    assert "Corrupted images are left out: data/&lt;b&gt;.tar: not there." in text
    assert 'id="figure-corruptions"' not in text


@pytest.mark.parametrize("record", [None, "silent"])
def test_where_nobody_asked_nothing_is_said(page, record):
    text = page(record)
    assert "orrupted images" not in text
    assert 'id="figure-corruptions"' not in text


def test_tables_without_a_record_tell_by_their_rows(page):
    pd.DataFrame({"value": [0.5]}).to_parquet(page.folder / "corruptions.parquet")
    text = page("silent")
    assert "Measured on the published corrupted test images." in text
    assert text.count('id="figure-corruptions"') == 1
