"""The report in a browser: headless Chromium, driven by its command line alone."""

import io
import json
import re
import shutil
import subprocess
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from vicinal.analysis.claims import CLAIMS
from vicinal.analysis.claims.verdict import COLUMNS
from vicinal.analysis.report import combined_context, context, read_inputs, render
from vicinal.analysis.report.context import OF_CLAIM
from vicinal.analysis.report.figures import Figure

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = [pytest.mark.long, pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")]
QUIET = (
    "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--hide-scrollbars", "--virtual-time-budget=3000",
)  # fmt: skip
CELL = "a_teacher_with_a_long_name → a_student_with_a_long_name, T = 2, vs ce_mixup"


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """A report with long names, a wide figure and one row a run."""
    folder = tmp_path_factory.mktemp("experiment")
    rows = []
    for claim in CLAIMS:
        row = dict.fromkeys(COLUMNS, np.nan) | {"claim": claim, "title": CLAIMS[claim].title, "cell": CELL, "n": 5}
        row |= {"sentence": CLAIMS[claim].sentence, "estimand": "ln(OE(ce) / OE(kd_mixup))", "warning": ""}
        row |= {"estimate": 0.1, "low": -0.1, "high": 0.3, "threshold": 0.0, "verdict": "inconclusive"}
        rows += [row | {"kind": kind, "reason": f"{CELL}: why"} for kind in ("verdict", "primary", "secondary")]
    pd.DataFrame(rows, columns=COLUMNS).to_parquet(folder / "claims.parquet")
    runs = []
    for seed, accuracy in enumerate([0.9, 0.1, 0.51, 1.0]):
        for method in ("ce", "ce_mixup"):
            own = {"model_id": f"{method}_s{seed}", "role": "student", "data": "digits", "model": "m", "method": method}
            own |= {"seed": seed, "teacher": None, "temperature": None, "logit_scale": np.nan}
            own |= {"teacher_mixup_alpha": np.nan, "kd_weight": 0.0, "ce_weight": 1.0}
            own |= {"alpha": 1.0 if method == "ce_mixup" else np.nan}
            own |= {"split": "test", "metric": "accuracy", "value": accuracy}
            runs += [own, own | {"metric": "aurc"}]
        for t in ("2", "20") if seed else ("2", "20", "std"):
            own = {"model_id": "kd_std" if t == "std" else f"kd_t{t}_s{seed}", "role": "student", "data": "digits"}
            own |= {"model": "m", "method": "kd", "seed": seed, "teacher": "m2", "temperature": t, "logit_scale": 1.0}
            own |= {"logit_scale": 2.0 if seed == 3 else 1.0, "teacher_mixup_alpha": np.nan, "kd_weight": 1.0}
            own |= {"ce_weight": 0.0, "alpha": np.nan, "split": "test", "metric": "accuracy", "value": accuracy}
            runs.append(own)
    pd.DataFrame(runs).to_parquet(folder / "metrics.parquet")
    (folder / "figures").mkdir()
    Image.new("RGB", (2400, 900), "white").save(folder / "figures" / "training.png")
    path = folder / "report.html"
    path.write_text(render(context(read_inputs(folder))), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def combined(page, tmp_path_factory):
    """The report of three experiments with a long name each."""
    inputs = []
    for name in ("first", "second", "third"):
        own = read_inputs(page.parent)
        own.name = f"the_{name}_experiment_with_a_long_name"
        inputs.append(own)
    path = tmp_path_factory.mktemp("combined") / "report.html"
    path.write_text(render(combined_context(inputs, "collection"), "combined.html.j2"), encoding="utf-8")
    return path


def chromium(tmp_path, page, *arguments):
    command = [CHROMIUM, *QUIET, f"--user-data-dir={tmp_path / 'profile'}", *arguments, page.as_uri()]
    result = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert result.returncode == 0, result.stderr
    return result.stdout


def ask(tmp_path, page, script, width=None):
    """Return what ``script``, the body of a function that runs in the page, answers; framed to ``width`` pixels."""
    probe, frame = tmp_path / "probe.html", tmp_path / "frame.html"
    asked = f"<script>parent.postMessage(JSON.stringify((() => {{ {script} }})()), '*')</script></body>"
    probe.write_text(page.read_text(encoding="utf-8").replace("</body>", asked), encoding="utf-8")
    frame.write_text(
        "<pre></pre><script>addEventListener('message', (e) => document.querySelector('pre').textContent = e.data)"
        f"</script><iframe src='probe.html' width='{width or 1200}' height='900'></iframe>",
        encoding="utf-8",
    )
    answer = re.search(r"<pre>(.*?)</pre>", chromium(tmp_path, frame, "--dump-dom"), re.DOTALL)
    return json.loads(answer[1])


def test_a_column_sorts_by_value_both_ways(tmp_path, page):
    script = """
      const button = [...document.querySelectorAll("#runs th button")].find((b) => b.textContent.includes("Accuracy"));
      const column = button.parentElement.cellIndex;
      const read = () => [...document.querySelectorAll("#runs tbody tr")].map((r) => r.cells[column].textContent);
      button.click(); const up = read(), sorted = button.parentElement.getAttribute("aria-sort");
      button.click(); return [up, read(), sorted];
    """
    up, down, sorted_ = ask(tmp_path, page, script)
    assert up == sorted(up, key=float) and set(up) == {"10.00", "51.00", "90.00", "100.00"}
    assert down == up[::-1]
    assert sorted_ == "ascending"


@pytest.mark.parametrize(
    ("words", "ids"),
    [
        ("ce", {f"ce_s{seed}" for seed in range(4)}),  # and not ce_mixup
        ("CE + mixup", {f"ce_mixup_s{seed}" for seed in range(4)}),
        ("method = CE + mixup", {f"ce_mixup_s{seed}" for seed in range(4)}),
        ("T=2", {f"kd_t2_s{seed}" for seed in range(4)}),  # and not T = 20, logit scale 2 or seed 2
        ("T = 2.0", {f"kd_t2_s{seed}" for seed in range(4)}),
        ("temperature=20", {f"kd_t20_s{seed}" for seed in range(4)}),
        ("T=std", {"kd_std"}),
        ("20 seed=1", {"kd_t20_s1"}),
        ("teacher=m2", {f"kd_t{t}_s{seed}" for t in (2, 20) for seed in range(4)} | {"kd_std"}),
        ("kd_t20_s3", {"kd_t20_s3"}),
        ("ce_mix seed=0", {"ce_mixup_s0"}),  # no entry is called so: it is looked for within
        ("CE_mixup seed=3", {"ce_mixup_s3"}),
        ("T=3", set()),
        ("colour=red", set()),
    ],
)
def test_a_word_of_the_filter_selects_what_it_says(tmp_path, page, words, ids):
    script = f"""
      const input = document.querySelector(".filter input");
      input.value = {json.dumps(words)}; input.dispatchEvent(new Event("input"));
      const rows = [...document.querySelectorAll("#runs tbody tr")].filter((r) => r.offsetHeight);
      return [rows.map((r) => r.lastElementChild.textContent), document.querySelector(".filter output").textContent];
    """
    shown, said = ask(tmp_path, page, script)
    assert set(shown) == ids
    assert said.endswith(f"{len(ids)} of 17 runs")


def test_the_filter_offers_the_entries_of_the_columns(tmp_path, page):
    script = 'return [...document.querySelectorAll("#choices option")].map((option) => option.value);'
    offered = ask(tmp_path, page, script)
    assert {"T=2", "T=20", "T=std", "Method=kd", "Teacher=m2", "logit_scale=2"} <= set(offered)


@pytest.mark.parametrize("width", [390, 768])
def test_the_first_column_stays_and_all_columns_come_when_asked_for(tmp_path, page, width):
    script = """
      const table = document.querySelector("#runs"), part = table.parentElement, first = table.rows[1].cells[0];
      const shown = () => [...table.rows[0].cells].filter((e) => e.offsetWidth).map((e) => e.textContent);
      const few = shown();
      document.querySelector(".all-columns").click();
      part.scrollLeft = 10000;
      const left = Math.round(first.getBoundingClientRect().left - part.getBoundingClientRect().left);
      return [few, shown(), part.scrollLeft, left, getComputedStyle(first).backgroundColor];
    """
    few, all_, moved, left, background = ask(tmp_path, page, script, width)
    assert few == ["Run", "Seed", "Accuracy, %"]
    assert all_ == [*few, "AURC", "Role", "Model", "Method", "Teacher", "T", "Logit scale", "Id"]
    assert moved > 50 and left == 1  # the border
    assert background == "rgb(252, 252, 250)"  # or what moves below it would be read with it


def test_a_figure_that_is_cut_says_so(tmp_path, page):
    script = """
      const card = document.querySelector(".card");
      return [card.scrollWidth > card.clientWidth, getComputedStyle(card, "::after").content];
    """
    cut, hint = ask(tmp_path, page, script, 390)
    assert cut and "swipe" in hint
    assert ask(tmp_path, page, script, 1280) == [False, "none"]


def test_what_is_printed(tmp_path, page):
    printed = tmp_path / "printed.html"
    html = page.read_text(encoding="utf-8")
    printed.write_text(re.sub("@media print", "@media all", html).replace("@media screen", "@media none"), "utf-8")
    script = """
      const lines = (e) => { const r = document.createRange(); r.selectNodeContents(e);
                             return new Set([...r.getClientRects()].map((box) => Math.round(box.bottom / 6))).size; };
      const heads = [...document.querySelectorAll("#runs thead th")].filter((e) => e.offsetWidth);
      const numbers = [...document.querySelectorAll("#runs td.n, .tests td.n")].filter((e) => e.offsetWidth);
      const broken = numbers.filter((e) => lines(e) > 1);
      const image = document.querySelector("figure img");
      return [heads.map((e) => e.textContent), broken.map((e) => e.textContent), image.getBoundingClientRect().width];
    """
    heads, broken, width = ask(tmp_path, printed, script, 700)
    assert heads == ["Run", "Seed", "Accuracy, %", "AURC"]
    assert broken == []
    assert width * 2.54 / 96 == pytest.approx(2400 / 300 * 2.54 * 0.64, abs=0.1)  # cm


@pytest.mark.parametrize("width", [390, 768, 1280])
@pytest.mark.parametrize("which", ["page", "combined"])
def test_the_page_is_never_wider_than_the_window_nor_a_table_of_a_claim_than_the_page(tmp_path, request, which, width):
    script = """
      document.querySelectorAll("details").forEach((d) => { d.open = true; });
      const parts = [...document.querySelectorAll(".scroll:has(.tests)")];
      return [document.documentElement.scrollWidth, innerWidth, parts.length,
              document.querySelectorAll("tr.note").length,
              parts.filter((e) => e.scrollWidth > e.clientWidth).map((e) => e.getAttribute("aria-label"))];
    """
    *widths, tables, notes, cut = ask(tmp_path, request.getfixturevalue(which), script, width)
    assert widths == [width, width]
    assert cut == [] or width < 1280
    # Primary and secondary; each experiment's primary.
    assert tables == notes == (2 if which == "page" else 3) * len(CLAIMS)


@pytest.mark.parametrize("width", [390, 1280])
def test_every_verdict_of_the_scorecard_names_its_experiment(tmp_path, combined, width):
    script = """
      const rows = [...document.querySelectorAll(".matrix tbody tr")];
      const heads = [...document.querySelectorAll(".matrix thead th")].filter((e) => e.offsetHeight);
      const cut = [...document.querySelectorAll(".matrix td")].filter((e) => e.scrollWidth > e.clientWidth);
      return [rows.map((r) => [...r.querySelectorAll(".whose")].filter((e) => e.offsetHeight).length),
              heads.map((e) => e.textContent), cut.length];
    """
    named, heads, cut = ask(tmp_path, combined, script, width)
    names = [f"the_{name}_experiment_with_a_long_name" for name in ("first", "second", "third")]
    assert named == [4 if width == 390 else 0] * len(CLAIMS)  # beside each verdict, and "Together"
    assert heads == ([] if width == 390 else ["Claim", "Together", *names])
    assert cut == 0


def test_the_page_may_load_nothing(tmp_path, page):
    asked = []

    class Server(BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            self.send_error(404)

        def log_message(self, *_):
            pass

    server = HTTPServer(("127.0.0.1", 0), Server)
    Thread(target=server.serve_forever, daemon=True).start()
    image = f"<img src='http://127.0.0.1:{server.server_port}/x.png'></body>"
    loads = page.read_text(encoding="utf-8").replace("</body>", image)
    free = re.sub(r"<meta http-equiv[^>]*>", "", loads)
    try:
        for name, html in (("kept.html", loads), ("free.html", free)):
            (tmp_path / name).write_text(html, encoding="utf-8")
            chromium(tmp_path, tmp_path / name, "--dump-dom")
            assert asked == ([] if name == "kept.html" else ["/x.png"])
    finally:
        server.shutdown()
        server.server_close()


def test_it_reads_without_its_script(tmp_path, page):
    bare = tmp_path / "bare.html"
    html, removed = re.subn(r"<script>.*?</script>", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    assert removed == 1
    bare.write_text(html, encoding="utf-8")
    script = """
      const shown = (selector) => [...document.querySelectorAll(selector)].filter((e) => e.offsetHeight).length;
      return [shown("#runs tbody tr"), shown(".filter"), shown("th button"), shown(".scores li"), shown("summary")];
    """
    assert ask(tmp_path, bare, script) == [17, 0, 0, len(CLAIMS), 1 + len(CLAIMS)]


def test_light_and_dark(tmp_path, page):
    brightness = []
    for scheme in (0, 1):  # Blink's numbers for dark and light
        shot = tmp_path / f"{scheme}.png"
        chromium(tmp_path, page, f"--blink-settings=preferredColorScheme={scheme}", f"--screenshot={shot}")
        with Image.open(shot) as image:
            brightness.append(image.convert("L").getpixel((2, 2)))
    assert brightness[0] < 60
    assert brightness[1] > 240


@pytest.mark.parametrize("which", ["page", "combined"])
def test_it_prints(tmp_path, request, which):
    chromium(tmp_path, request.getfixturevalue(which), f"--print-to-pdf={tmp_path / 'report.pdf'}")
    boxes = re.findall(rb"/MediaBox \[0 0 (\d+)[\d.]* (\d+)[\d.]*\]", (tmp_path / "report.pdf").read_bytes())
    a4, landscape = boxes.count((b"594", b"841")), boxes.count((b"841", b"594"))
    assert a4 + landscape == len(boxes) and a4 and landscape


def test_an_experiment_of_200_runs_prints_on_15_pages(tmp_path, page):
    inputs = read_inputs(page.parent)
    table = inputs.metrics.astype({"model_id": object})
    parts = [table.assign(model_id=table["model_id"] + f"_{i}", seed=table["seed"] + 4 * i) for i in range(12)]
    inputs.metrics = pd.concat(parts)
    assert inputs.metrics["model_id"].nunique() == 12 * 17
    picture = io.BytesIO()
    Image.new("RGB", (2067, 1170), "white").save(picture, "PNG")
    names = {name for names in OF_CLAIM.values() for name in names} | {"training", "projection"}
    inputs.figures = {name: Figure(name, picture.getvalue(), "What it shows. " * 50) for name in names}
    (tmp_path / "large.html").write_text(render(context(inputs)), encoding="utf-8")
    chromium(tmp_path, tmp_path / "large.html", f"--print-to-pdf={tmp_path / 'large.pdf'}")
    assert (tmp_path / "large.pdf").read_bytes().count(b"/MediaBox") <= 15
