"""Layers of the user's own from the schema to the server, as `docs/networks.md` prints one."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ruamel.yaml import YAML

import funnel
from funnel.errors import RunError
from funnel.schema.custom import UnusableError
from funnel.schema.reader import dump_schema, load_schema
from funnel.schema.recorded import find_again, record
from funnel.training.warm_start import take_over
from tests import shop
from tests.test_readme import blocks

PAGE = (Path(__file__).parents[1] / "docs" / "networks.md").read_text(encoding="utf-8")
SECTION = PAGE.partition("## Your own layer in 20 lines")[2].partition("\n## ")[0]


@pytest.fixture(scope="module")
def printed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with rows, the layer, and the schema, as printed."""
    folder = shop.write(tmp_path_factory.mktemp("printed") / "a")
    (code,), (model,) = blocks(SECTION, "python"), blocks(SECTION, "yaml")
    assert len([line for line in code.splitlines() if line]) <= 20
    (folder / "layers.py").write_text(code)
    tree = shop.tree() | YAML(typ="safe").load(model)
    tree["train"] |= {"epochs": 1, "checkpoint": {"steps": 4}}
    (folder / "schema.yaml").write_text(dump_schema(load_schema(tree, layers=False)))
    return folder


@pytest.fixture(scope="module")
def run(printed: Path) -> Any:
    return funnel.fit(printed / "schema.yaml", printed, out=printed.parent / "run")


def test_the_page_is_a_fit_whose_run_says_the_same_elsewhere(run: Any, printed: Path) -> None:
    body = run.model.network.bottoms[0].body
    assert next(name for name, _, _ in run.model.network.layers()) == "body/0/custom"
    seeds = [layer.kernel.numpy() for layer in (body.parts[0].layer.values, body.parts[0].layer.gate)]
    assert np.abs(seeds[0]).max() > 0
    again = funnel.load(printed.parent / "run")
    data = shop.frames(3, 50)
    expected, found = run.predict(data), again.predict(data)
    for name, column in expected.items():
        np.testing.assert_array_equal(found[name], column)


def test_a_run_keeps_the_source(run: Any, printed: Path) -> None:
    kept = printed.parent / "run" / "layers"
    assert (kept / "layers.py").read_text() == (printed / "layers.py").read_text()
    said = json.loads((kept / "layers.json").read_text())["layers.py:GatedUnits"]
    assert said["source"] == "layers.py"
    assert said["folder"] == str(printed)
    assert said["package"] is said["version"] is None
    assert len(said["sha256"]) == 64


def test_a_run_elsewhere_says_where_the_source_lies_and_what_has_changed(
    run: Any, tmp_path: Path, printed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = tmp_path / "there"
    shutil.copytree(printed.parent / "run", there)
    record = there / "layers" / "layers.json"
    record.write_text(record.read_text().replace(str(printed), str(tmp_path / "gone")))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(RunError, match=r"layers\.py: no such file .* keeps its source in .*there/layers/layers\.py: put it"):
        funnel.load(there)
    (tmp_path / "layers.py").write_text((printed / "layers.py").read_text() + "# another one\n")
    with pytest.warns(UserWarning, match=r"layers\.py:GatedUnits: its source .* is other than .*there/layers/layers\.py"):
        funnel.load(there)
    shutil.copy(there / "layers" / "layers.py", tmp_path)
    funnel.load(there)
    # A report needs neither the layer nor TensorFlow.
    (tmp_path / "layers.py").unlink()
    funnel.report(there, out=tmp_path / "report.html")
    assert (tmp_path / "report.html").is_file()


def test_its_export_answers_in_a_process_that_has_tensorflow_alone(run: Any, printed: Path, tmp_path: Path) -> None:
    found = funnel.verify(run.export(tmp_path / "served" / "1"), run, printed, rows=100)
    assert found.passed
    assert found.rows == 100


def test_a_warm_start_takes_it_over_where_the_same_inputs_enter(run: Any, printed: Path) -> None:
    def started(schema: Any) -> Any:
        store = funnel.prepare(schema, shop.frames(), base=run.base_for(schema))
        model = funnel.build(schema, store)
        model.create_variables()
        return model, take_over(model, store.vocabulary, run.model, run.vocabulary, accumulators=False)

    model, told = started(load_schema(printed / "schema.yaml", ["train.seed=5"]))
    assert told.fresh == ()
    own, theirs = (one.network.bottoms[0].body.parts[0].layer for one in (model, run.model))
    for mine, other in zip(own.variables, theirs.variables, strict=True):
        if mine.dtype.is_floating:
            np.testing.assert_array_equal(mine, other)
    _, told = started(load_schema(printed / "schema.yaml", ["model.body.0.config.units=33"]))
    assert "body/0/custom" in told.fresh
    # As many numbers, of which two have changed their places: what it has learnt means something else.
    schema = load_schema(printed / "schema.yaml")
    tree = schema.model_dump(mode="json")
    tree["features"].reverse()
    cross = tree["features"].pop(0)
    turned = load_schema(tree | {"features": [*tree["features"], cross]}, layers=False)
    (printed / "turned.yaml").write_text(dump_schema(turned))
    _, told = started(load_schema(printed / "turned.yaml"))
    assert "body/0/custom" in told.fresh


def test_a_fit_does_not_go_on_with_another_source(run: Any, printed: Path, tmp_path: Path) -> None:
    from tests.training.fits import Halt, stop_after  # noqa: PLC0415

    shutil.copytree(printed, tmp_path / "b")
    with pytest.raises(Halt):
        funnel.fit(tmp_path / "b" / "schema.yaml", tmp_path / "b", out=tmp_path / "run", watch=stop_after(4))
    before = (tmp_path / "b" / "layers.py").read_text()
    (tmp_path / "b" / "layers.py").write_text(before + "# another one\n")
    with pytest.raises(RunError, match=r"the source of 'layers\.py:GatedUnits' is other than it was begun with"):
        funnel.fit(tmp_path / "b" / "schema.yaml", tmp_path / "b", out=tmp_path / "run", resume=True)
    (tmp_path / "b" / "layers.py").write_text(before)
    assert funnel.fit(tmp_path / "b" / "schema.yaml", tmp_path / "b", out=tmp_path / "run", resume=True).manifest["steps"] > 4


PACKAGE = {
    "its_package/__init__.py": "from its_package.inside import Own\n",
    "its_package/inside.py": "import tf_keras\nclass Own(tf_keras.layers.Dense):\n    pass\n",
    "its_package-1.2.dist-info/METADATA": "Metadata-Version: 2.1\nName: its-package\nVersion: 1.2\n",
    "its_package-1.2.dist-info/top_level.txt": "its_package\n",
}


def test_of_a_package_a_run_keeps_the_version_and_the_module_that_it_is_written_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, text in PACKAGE.items():
        (tmp_path / "site" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "site" / name).write_text(text)
    monkeypatch.syspath_prepend(tmp_path / "site")
    tree = shop.tree()
    tree["model"]["body"] = {"kind": "custom", "layer": "its_package:Own", "config": {"units": 3}}
    record(load_schema(tree), tmp_path / "layers")
    said = json.loads((tmp_path / "layers" / "layers.json").read_text())["its_package:Own"]
    assert (said["package"], said["version"], said["module"]) == ("its-package", "1.2", "its_package.inside")
    assert said["folder"] == str(tmp_path / "site")
    assert (tmp_path / "layers" / said["source"]).read_text() == PACKAGE["its_package/inside.py"]
    # Elsewhere it is not installed.
    monkeypatch.syspath_prepend(tmp_path)
    for name in ("its_package", "its_package.inside"):
        monkeypatch.delitem(sys.modules, name)
    (tmp_path / "site").rename(tmp_path / "gone")
    with pytest.raises(UnusableError, match=r"no module 'its_package' .* of the package its-package 1\.2\. The run keeps"):
        list(find_again(load_schema(tree, layers=False), tmp_path / "layers"))
