"""Templates made into pages, with their charts inside."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from funnel.reporting.canvas import Chart
from funnel.reporting.figures import counted
from funnel.reporting.ink import css_variables, inline


def render(name: str, charts: Sequence[Chart], version: str, **context: Any) -> str:
    """A page as text.

    Args:
        name: Of the template.
        charts: All that it shows.
        version: Of the library, that made what is shown.
        context: What the template speaks of.
    """
    keys = {chart.name: f"c{number}" for number, chart in enumerate(charts, start=1)}

    def svg(chart: Chart) -> Markup:
        # All of it is ours, or was escaped when the SVG was written.
        return Markup(inline(chart.figure, keys[chart.name], chart.label))  # noqa: S704

    environment = Environment(
        loader=PackageLoader("funnel.reporting", "."), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True, keep_trailing_newline=True,
    )  # fmt: skip
    light, dark = css_variables()
    template = environment.get_template(name)
    return template.render(svg=svg, light=light, dark=dark, counted=counted, version=version, **context)
