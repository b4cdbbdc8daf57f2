"""A folder to try the pages in."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

import funnel
from tests.documentation.pages import ROOT

SMALLER = {
    "embedding_dim: 18, tower: {units: [200, 80], activation: prelu}": "embedding_dim: 2, tower: {units: [4]}",
    "batch_size: 2048, epochs: 5": "batch_size: 1024, epochs: 1",
}


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The schemas, and a sample of Ali-CCP, under the names that pages call them by; rows are fewer, networks smaller."""
    folder = tmp_path_factory.mktemp("checkout")
    shutil.copytree(ROOT / "schemas", folder / "schemas")
    text = (folder / "schemas" / "aliccp.yaml").read_text(encoding="utf-8")
    for there, smaller in SMALLER.items():
        assert there in text
        text = text.replace(there, smaller)
    (folder / "schemas" / "aliccp.yaml").write_text(text, encoding="utf-8")
    funnel.simulate(folder / "schemas" / "aliccp.yaml", folder / "examples" / "aliccp" / "sample", 2_000, 600)
    return folder
