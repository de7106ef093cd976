"""From a report's context to HTML: the templates in workflow/report, everything escaped."""

import re
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from vicinal.files import WORKFLOW
from vicinal.words import duration, number, p_value

TEMPLATES = WORKFLOW / "report"


def render(context: dict[str, Any], template: str = "report.html.j2") -> str:
    """Return the page: one HTML file that loads no other.

    Args:
        context: of ``vicinal.analysis.report.context``, or of ``combined_context`` for ``combined.html.j2``.
        template: a file in workflow/report.
    """
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,  # select_autoescape would not know the ending .j2
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "number": number,
        "p_value": p_value,
        "minus": minus,
        "duration": duration,
        "revision": revision,
    }
    assets = {name: Markup((TEMPLATES / name).read_text(encoding="utf-8")) for name in ("report.css", "report.js")}
    page = environment.get_template(template).render(context, style=assets["report.css"], behaviour=assets["report.js"])
    return page.encode("utf-8", "replace").decode("utf-8")  # JSON can hold halves of letters, which UTF-8 cannot


def minus(text: str) -> str:
    """Return a text with true minus signs before its numbers; hyphens within words and ids stay."""
    return re.sub(r"(?<![\w-])-(?=\.?\d)", "−", text)


def revision(name: str) -> str:
    """Return a git revision in short, with what follows its hash."""
    return re.sub(r"^([0-9a-f]{12})[0-9a-f]{28}", r"\1", name)
