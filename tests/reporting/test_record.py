import json
from pathlib import Path

import pytest

from funnel.errors import RunError, SchemaError
from funnel.reporting.record import read_record
from tests.reporting import made


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return made.write(tmp_path / "run", made.shipped("esm2"), {})


def test_probabilities_are_named_for_predictions_formulas_and_sentences(run: Path) -> None:
    found = {p.name: (p.formula, p.words, p.space) for p in read_record(run).probabilities}
    assert found["click"] == ("P(click)", "click", "impression")
    assert found["buy"] == ("P(buy)", "buy", "impression")
    assert found["buy_other_given_click_not_direct"] == (
        "P(buy_other | click, not direct)", "buy_other given click and not direct", "click without direct",
    )  # fmt: skip
    assert len(found) == 9


def test_steps_and_ends(run: Path) -> None:
    record = read_record(run)
    assert [p.name for p in record.steps()][:2] == ["click", "direct_given_click"]
    assert record.ends() == ("buy",)
    assert record.path_in_words == "impression → click, direct, buy_direct, buy_other, buy"


def test_a_chain_in_words(tmp_path: Path) -> None:
    record = read_record(made.write(tmp_path / "run", made.shipped("aliccp"), {}))
    assert record.path_in_words == "impression → click → buy"
    assert record.split is None
    assert record.report == {}


def test_the_test_rows_come_before_those_held_out(tmp_path: Path) -> None:
    both = {"validation": {"rows": 1, "truth": None}, "test": {"rows": 2, "truth": None}}
    record = read_record(made.write(tmp_path / "run", made.shipped("aliccp"), both))
    assert (record.split, record.report["rows"], record.simulated) == ("test", 2, False)
    del both["test"]
    record = read_record(made.write(tmp_path / "other", made.shipped("aliccp"), both, manifest={"simulated": True}))
    assert (record.split, record.report["rows"], record.simulated) == ("validation", 1, True)


@pytest.mark.parametrize("name", ["schema.yaml", "learnt.json", "history.json", "metrics.json", "manifest.json"])
def test_a_part_that_lacks(run: Path, name: str) -> None:
    (run / name).unlink()
    with pytest.raises(RunError, match=rf"run: lacks {name}, expected a run that `funnel fit` wrote"):
        read_record(run)


def test_no_folder(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="is no folder, expected a run"):
        read_record(tmp_path / "nothing")


@pytest.mark.parametrize("name", ["learnt.json", "history.json", "metrics.json", "manifest.json", "health.json"])
def test_a_part_that_is_cut_off(run: Path, name: str) -> None:
    (run / name).write_text('{"a": ')
    with pytest.raises(RunError, match=rf"{name}: cannot be read: .*The run is not whole: fit again"):
        read_record(run)


def test_a_schema_that_is_none(run: Path) -> None:
    (run / "schema.yaml").write_text("name: 1\n")
    with pytest.raises(SchemaError):
        read_record(run)


@pytest.mark.parametrize(("metrics", "got"), [({"test": {}}, "none"), ({"format": 2, "splits": {}}, "2")])
def test_figures_of_another_format(run: Path, metrics: object, got: str) -> None:
    (run / "metrics.json").write_text(json.dumps(metrics))
    with pytest.raises(RunError, match=rf"metrics.json: format: got {got}, expected 1.*Fit again"):
        read_record(run)


def test_nothing_was_evaluated(run: Path) -> None:
    (run / "metrics.json").write_text("{}")
    assert read_record(run).splits == {}


def test_text_is_made_fit_to_be_shown(run: Path) -> None:
    (run / "manifest.json").write_text(json.dumps({"a\x00": ["b\n", {"c": "\ud800"}], "n": 1}))
    assert read_record(run).manifest == {"a\ufffd": ["b\ufffd", {"c": "\ufffd"}], "n": 1}
