from pathlib import Path

from funnel.reporting import tables
from funnel.reporting.record import read_record
from tests.reporting import made


def test_the_funnel(tmp_path: Path) -> None:
    step = {"stage": "buy", "given": "click", "observed": 184.0, "predicted": 190.2, "observed_rate": 0.0184}
    step |= {"predicted_rate": 0.019, "observed_step": 0.0919, "predicted_step": None}
    found = tables.passage_table("impression", [step], 9999)
    assert found.heads == ["", "rows", "of all impression rows", "of the stage before"]
    assert [[cell.replace("\u00a0", " ") for cell in row] for row in found.rows] == [
        ["impression", "9,999", "", ""],
        ["buy", "184\n190.2", "1.84 %\n1.90 %", "9.19 %\n\u2013"],
    ]


def test_all_figures_of_a_stage(tmp_path: Path) -> None:
    record = read_record(made.run(tmp_path / "run", made.shipped("aliccp"), 2000, rate=0.15))
    probabilities = [p for p in record.probabilities if p.stage == "buy"]
    scores = [dict(record.report[p.kind]["buy"]) for p in probabilities]
    found = tables.figures_table(probabilities, scores, "user_id")
    assert found.heads == ["", "P(buy)", "P(buy | click)"]
    assert "group AUC" not in [row[0] for row in found.rows], "no groups were declared"
    assert all(len(row) == 3 for row in found.rows)
    assert len(found.notes) == len(found.rows)
    for one in scores:
        one |= {"group_auc": 0.61, "groups": 57, "auc": None}
    rows = {row[0]: row[1] for row in tables.figures_table(probabilities, scores, "user_id").rows}
    assert rows["group AUC"] == "0.610\n57 with both"
    assert rows["AUC"] == "\u2013"
    assert rows["calibration error"].endswith("by chance")
    notes = tables.figures_table(probabilities, scores, "user_id").notes
    assert any("one user_id" in note for note in notes)


def test_slices_and_overview_have_a_cell_for_each_head(tmp_path: Path) -> None:
    record = read_record(made.run(tmp_path / "run", made.shipped("esm2"), 2000))
    slices = record.report["slices"]["tab"]
    found = tables.slices_table("tab", record.steps()[1], slices)
    assert found.title == "P(direct | click)"
    assert [row[0] for row in found.rows] == [one["value"] for one in slices]
    assert {len(row) for row in found.rows} == {len(found.heads)}
    overview = tables.overview_table(record, record.report)
    assert [row[0] for row in overview.rows] == [p.formula for p in record.probabilities]
    truth = tables.truth_table(record, record.report["truth"])
    assert truth.rows[1][0] == "P(direct | click)"
    assert {len(row) for row in truth.rows} == {len(truth.heads)}


def test_what_is_missing_or_unknown_is_marked_where_it_grew() -> None:
    features = {
        "train": {"user": {"missing": 0.01, "oov": 0.0}, "price": {"missing": 0.0}},
        "test": {"user": {"missing": 0.02, "oov": 0.4857}, "price": {"missing": 0.5}},
    }
    found = tables.health_table(features)
    assert found.groups == [("", 1), ("missing", 2), ("unknown ids", 2)]
    assert [[cell.replace("\u00a0", " ") for cell in row] for row in found.rows] == [
        ["user", "1.0 %", "2.0 %", "0.0 %", "48.6 %"],
        ["price", "0.0 %", "50.0 %", "", ""],
    ]
    assert found.marks == {(0, 4): "drifted", (1, 2): "drifted"}
