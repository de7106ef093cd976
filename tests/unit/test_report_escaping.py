"""Whatever text the data, the config or a record holds, the reports show it as text, not as a tag or a script."""

from functools import cache

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from report_tables import Page, claims_table, metrics_table, png, record

from vicinal.analysis.published import read_published
from vicinal.analysis.report.combined import combined_context
from vicinal.analysis.report.context import Inputs, context
from vicinal.analysis.report.figures import Figure
from vicinal.analysis.report.page import render

FRAGMENTS = [
    "<script>alert(1)</script>", "</script>", "</style>", "<style>*{}</style>", "<img src=x onerror=alert(1)>", '">',
    "'>", '" onload="alert(1)', "' onload='alert(1)", "<!--", "-->", "]]>", "<![CDATA[", "<svg/onload=alert(1)>",
    "&lt;b&gt;", "&#60;", "javascript:alert(1)", "{{ 7 * 7 }}", "{% raw %}", "{#", "<base href=//x>", "<a href=//x>",
    "<meta http-equiv=refresh content=0>", "</title>", "<", ">", '"', "'", "&", "\0", "\n", "\ud800", "\u2028", "`",
    "=", "-1", "é", "x",
]  # fmt: skip
HOSTILE = st.one_of(st.lists(st.sampled_from(FRAGMENTS), min_size=1, max_size=4).map("".join), st.text(max_size=20))
LINKS = ("#", "https://arxiv.org/abs/2606.12171", "a/report.html")


def inputs(text: str, name: str = "name") -> Inputs:
    """Return what a report is made of, with a text in every place that data, config or records fill."""
    # Parquet holds no halves of letters; JSON does.
    cell = text.encode("utf-8", "replace").decode()
    claims = claims_table(title=cell, cell=cell)
    claims["verdict"] = claims["verdict"].where(claims["claim"] != "C7", cell)
    metrics = metrics_table(model=cell, data=cell)
    metrics["recipe_schedule"] = cell
    odd = record(cpu=text, git=text, packages={text: text}, command=text, device=text, python=text, gpu=text, cuda=text)
    figures = {figure: Figure(figure, png(), text, odd) for figure in ("training", "temperature", text)}
    records = {"training": [odd, record()], "tables": [odd]}
    return Inputs(name, claims, metrics, read_published(), figures, records, {"name": text}, config=text)


def shape(page: Page) -> set:
    return {(tag, tuple(sorted(attributes))) for tag, attributes in page.tags}


@cache
def plain_report() -> str:
    return render(context(inputs("plain text")))


def check(html: str, plain: str) -> None:
    """Check a page with hostile text against the same page with plain text."""
    page, clean = Page(html), Page(plain)
    assert shape(page) <= shape(clean)
    for tag in ("script", "style", "meta", "title", "a", "img", "input", "h2", "section"):
        assert page.count(tag) == clean.count(tag), tag
    for tag, attributes in page.tags:
        assert not any(name.startswith("on") for name in attributes), (tag, attributes)
        assert attributes.get("href", "#").startswith(LINKS)
        assert attributes.get("src", "data:image/png;base64,").startswith("data:image/png;base64,")
    html.encode("utf-8")


@settings(max_examples=15)
@given(text=HOSTILE)
@example(text='"><script>alert(1)</script><img src=x onerror="alert(1)')
@example(text="\ud800")
@example(text="</style></script></title>")
def test_a_report_shows_any_text_as_text(text):
    html = render(context(inputs(text)))
    check(html, plain_report())


@cache
def combined_page(text: str) -> str:
    found = [inputs(text, name=text), inputs(text, name="other")]
    links = {text: "a/report.html", "other": "a/report.html"}
    return render(combined_context(found, text, links), "combined.html.j2")


@settings(max_examples=8)
@given(text=HOSTILE)
@example(text='" onclick="alert(1)')
def test_a_combined_report_shows_any_text_as_text(text):
    check(combined_page(text), combined_page("plain text"))


@pytest.mark.parametrize("text", ["<b>bold</b>", "{{ 7 * 7 }}", "a & b", "'quoted'"])
def test_the_text_is_there_as_it_was_given(text):
    assert Page(render(context(inputs(text)))).text.count(text) > 50


def test_the_check_finds_what_is_not_escaped():
    plain = plain_report()
    for hostile in ("<script>1</script>", "<b onclick='x'>plain</b>", "<a href='javascript:x'>plain</a>"):
        with pytest.raises(AssertionError):
            check(plain.replace("plain text", hostile, 1), plain)
