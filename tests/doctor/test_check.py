import json
import re
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

import funnel
from funnel.doctor.finding import Finding, sort
from tests import shop
from tests.doctor import clinic

SCHEMAS = Path(__file__).parents[2] / "schemas"


@pytest.fixture
def folder(tmp_path):
    return shop.write(tmp_path / "shop")


@pytest.fixture
def said(funnel):
    """Run `funnel check` in this process: its exit code, stdout and stderr."""
    return lambda *arguments: funnel("check", *arguments)


def leak(folder):
    """A copy of a label among the features."""
    made = pl.read_parquet(folder / "train.parquet").with_columns(hour=pl.col("click"))
    made.write_parquet(folder / "train.parquet")


def test_the_shipped_sample_has_no_errors():
    found = funnel.check(SCHEMAS / "aliccp.yaml")
    assert found.ok, found.findings
    assert found.rows == 29_999


@pytest.mark.parametrize("name", ["ecommerce", "credit_card", "esm2", "full_chain"])
def test_simulated_rows_have_no_errors(name, tmp_path):
    schema = funnel.load_schema(SCHEMAS / f"{name}.yaml")
    funnel.simulate(schema, tmp_path / "rows", 30_000)
    found = funnel.check(schema, tmp_path / "rows")
    assert found.ok, found.findings
    assert all("leak" not in finding.message for finding in found.findings)


def test_real_exposures_have_no_errors(kuairand):
    assert funnel.check(SCHEMAS / "kuairand.yaml", kuairand).ok


def test_whatever_is_given_as_data_is_checked_alike(folder, tmp_path):
    schema = folder / "schema.yaml"
    by_path = funnel.check(schema, folder)
    by_frames = funnel.check(schema, shop.frames(), test={**shop.frames(1, 300), "user": shop.frames()["user"]})
    store = funnel.prepare(schema, folder, tmp_path / "store")
    by_store, by_its_folder = funnel.check(schema, store), funnel.check(schema, tmp_path / "store")
    assert by_path.by_stage == by_frames.by_stage == by_store.by_stage == by_its_folder.by_stage
    assert by_path.findings == by_frames.findings == by_store.findings == by_its_folder.findings
    assert by_path.rows == shop.ROWS


def test_a_schema_error_still_raises(folder):
    with pytest.raises(funnel.SchemaError, match="epoch"):
        funnel.check(folder / "schema.yaml", folder, ["train.epoch=3"])


def test_overrides_are_heard(folder):
    found = funnel.check(folder / "schema.yaml", folder, ["train.batch_size=1"])
    assert found.by_stage["click"].per_batch < 1


BROKEN = {
    "no folder": (lambda f: f.rename(f.with_name("gone")), "no such folder"),
    "no file": (lambda f: (f / "train.parquet").unlink(), "no file for 'train.parquet'"),
    "empty file": (lambda f: (f / "train.parquet").write_bytes(b""), "cannot be read"),
    "missing column": (lambda f: change(f, lambda rows: rows.drop("price")), "no column 'price'"),
    "wrong type": (lambda f: change(f, lambda rows: rows.with_columns(item=pl.lit(1.5))), "a float cannot hold"),
    "no rows": (lambda f: change(f, lambda rows: rows.head(0)), "no rows"),
}


def change(folder, how):
    how(pl.read_parquet(folder / "train.parquet")).write_parquet(folder / "train.parquet")


@pytest.mark.parametrize("name", BROKEN)
def test_what_stops_the_reading_is_a_finding(name, folder):
    spoil, message = BROKEN[name]
    schema = (folder / "schema.yaml").read_text()
    (folder.parent / "schema.yaml").write_text(schema)
    spoil(folder)
    found = funnel.check(folder.parent / "schema.yaml", folder)
    finding = clinic.only(found)
    assert (finding.level, finding.about) == ("error", "data")
    assert message in finding.message
    assert found.rows == 0
    assert found.by_stage == {}
    assert json.loads(json.dumps(found.as_dict()))["positives"] == {}


def test_where_no_row_is_left_the_reason_is_told(folder):
    change(folder, lambda rows: rows.with_columns(click=pl.lit(2)))
    messages = [finding.message for finding in funnel.check(folder / "schema.yaml", folder).findings]
    assert any("no row can be used" in message for message in messages)
    assert any("got 2 as label, expected 0 or 1" in message for message in messages)


def test_broken_test_rows_do_not_hide_the_training_rows(folder):
    (folder / "test.parquet").write_bytes(b"nothing")
    leak(folder)
    found = funnel.check(folder / "schema.yaml", folder)
    assert found.rows == shop.ROWS
    assert "test.parquet" in clinic.about(found, "data", "error")[0].message
    assert "one thing wherever click happened" in clinic.about(found, "feature hour", "error")[0].message


def test_a_store_without_training_rows_is_a_finding(folder, tmp_path):
    funnel.prepare(folder / "schema.yaml", folder, tmp_path / "store")
    path = tmp_path / "store" / "manifest.json"
    manifest = json.loads(path.read_text())
    del manifest["splits"]["train"]
    path.write_text(json.dumps(manifest))
    assert "no training rows" in clinic.only(funnel.check(folder / "schema.yaml", tmp_path / "store")).message


def test_nothing_is_left_behind(folder, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    before = set(tmp_path.iterdir())
    assert funnel.check(folder / "schema.yaml", folder).rows == shop.ROWS
    assert set(tmp_path.iterdir()) == before


def test_errors_come_first_and_nothing_twice():
    note, warning, error = (Finding(level, "data", level) for level in ("note", "warning", "error"))
    assert sort([note, warning, error, note]) == (error, warning, note)


def test_json_holds_everything(folder, said):
    leak(folder)
    code, out, err = said(folder / "schema.yaml", "--data", folder, "--json")
    found = funnel.check(folder / "schema.yaml", folder)
    answer = json.loads(out)
    assert code == 1
    assert err == ""
    assert answer == json.loads(json.dumps(found.as_dict()))
    assert answer["ok"] is False
    assert answer["stages"] == ["click", "buy"]
    assert answer["features"] == 11
    assert answer["space"] == "impression"
    assert answer["rows"] == shop.ROWS
    assert answer["errors"] == sum(finding["level"] == "error" for finding in answer["findings"])
    assert answer["warnings"] == sum(finding["level"] == "warning" for finding in answer["findings"])
    assert answer["positives"] == {name: stage["positives"] for name, stage in answer["by_stage"].items()}
    assert set(answer["findings"][0]) == {"level", "about", "message"}


def test_the_table_can_be_read_and_the_last_line_counts(folder, said):
    leak(folder)
    code, out, err = said(folder / "schema.yaml", "--data", folder)
    lines = out.rstrip().splitlines()
    assert code == 1
    assert "Traceback" not in out + err
    assert "error:" not in err
    assert max(map(len, lines[2:])) <= 100  # the first two hold paths
    assert "feature hour" in out
    assert f"data: {folder}: 900 training rows" in out
    assert lines[-1].startswith("1 error, ")


def test_without_errors_the_exit_code_is_0(folder, said):
    code, out, _ = said(folder / "schema.yaml", "--data", folder)
    assert code == 0
    assert out.rstrip().splitlines()[-1].startswith("0 errors, ")


def test_markup_in_a_message_is_shown_as_it_is(folder, said):
    change(
        folder,
        lambda rows: rows.with_columns(item=pl.when(pl.int_range(pl.len()) == 5).then(pl.lit("x")).otherwise(pl.lit("[red]"))),
    )
    change(
        folder,
        lambda rows: rows.with_columns(
            price=pl.when(pl.int_range(pl.len()) == 5).then(pl.lit("[bold]")).otherwise(pl.lit("1"))
        ),
    )
    assert "[bold]" in said(folder / "schema.yaml", "--data", folder)[1]


def test_a_file_that_cannot_be_read_is_told_without_an_error_line(folder, said):
    (folder / "train.parquet").write_bytes(b"PAR1 nonsense")
    code, out, err = said(folder / "schema.yaml", "--data", folder)
    assert code == 1
    assert err == ""
    # Wherever a narrow table folds the path.
    assert "train.parquet" in re.sub(r"\s", "", out)


def test_checking_without_hashes_needs_no_tensorflow(tmp_path):
    clinic.frame(rows=500).write_parquet(tmp_path / "train.parquet")
    script = (
        "import json, sys, funnel\n"
        "tree = json.loads(sys.argv[1])\n"
        "assert funnel.check(tree, sys.argv[2]).rows == 500\n"
        "assert 'tensorflow' not in sys.modules and 'rich' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", script, json.dumps(clinic.tree()), str(tmp_path)], check=True)


def test_progress_is_told(folder):
    events = []
    funnel.check(folder / "schema.yaml", folder, watch=events.append)
    found = {event.what: (event.done, event.total) for event in events}
    assert found["reading facts"][0] > 0
    assert found["looking for leaks"] == found["comparing with the test rows"] == (11, 11)
