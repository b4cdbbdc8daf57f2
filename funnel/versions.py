"""What is installed, as a report of a problem should say it. TensorFlow is asked of its package, and not imported."""

from __future__ import annotations

import platform
from importlib import metadata

import funnel

BENEATH = ("tensorflow", "tf-keras", "tensorflow-recommenders")


def versions() -> dict[str, str]:
    """The versions by name: of funnel, of what it stands on, or `not installed`, and of Python with its platform."""
    return {
        "funnel": funnel.__version__,
        **{name: _installed(name) for name in BENEATH},
        "Python": f"{platform.python_version()} on {platform.system()} {platform.machine()}",
    }


def _installed(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "not installed"
