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
KEPT = ("user_id", "gender", "item_id")


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The schemas, and a sample of Ali-CCP, under the names that pages call them by.

    There are fewer rows and features, and the network is smaller: a fit takes seconds.
    """
    folder = tmp_path_factory.mktemp("checkout")
    shutil.copytree(ROOT / "schemas", folder / "schemas")
    text = (folder / "schemas" / "aliccp.yaml").read_text(encoding="utf-8")
    for there, smaller in SMALLER.items():
        assert there in text
        text = text.replace(there, smaller)
    lines = [line for line in text.splitlines() if "kind: " not in line or any(f"name: {name}," in line for name in KEPT)]
    text = "\n".join(lines) + "\n"
    (folder / "schemas" / "aliccp.yaml").write_text(text, encoding="utf-8")
    funnel.simulate(folder / "schemas" / "aliccp.yaml", folder / "examples" / "aliccp" / "sample", 2_000, 600)
    return folder
