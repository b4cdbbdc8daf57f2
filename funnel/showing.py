"""What a notebook shows of an object: the object is asked, and what draws it stands far above it, and is loaded then."""

from __future__ import annotations

from importlib import import_module
from typing import Any


def html_of(value: Any) -> str:
    """The HTML of what has a look of its own: a schema, a run, a report, a checkup."""
    found: str = import_module("funnel.notebook.html").html(value)
    return found
