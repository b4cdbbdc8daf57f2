from pathlib import Path
from typing import Any

import pytest

from funnel.reporting import words
from funnel.reporting.record import Record, read_record
from tests.reporting import made


def scores(**changed: Any) -> dict[str, Any]:
    intervals = {"auc": [0.544, 0.629], "predicted_over_observed": [0.94, 1.21], "calibration_error": None}
    usual = {"rows": 2003, "positives": 184, "auc": 0.5866, "predicted_over_observed": 1.07}
    usual |= {"calibration_error": 0.012, "calibration_error_by_chance": 0.01}
    return usual | {"intervals": intervals | changed.pop("intervals", {})} | changed


def record(folder: Path, schema: Any = None, **parts: Any) -> Record:
    return read_record(made.write(folder / "run", schema or made.shipped("aliccp"), parts.pop("splits", {}), **parts))


def step(stage: str, observed: float | None) -> dict[str, Any]:
    return {"stage": stage, "observed": observed, "predicted": observed}


def a_slice(value: str, rows: int, **lost: list[dict[str, Any]]) -> dict[str, Any]:
    return {"value": value, "rows": rows, "lost": lost}


def plain(text: str) -> str:
    return text.replace("\u00a0", " ")


def test_a_headline(tmp_path: Path) -> None:
    conditional = record(tmp_path).probabilities[-1]
    assert words.headline(conditional, scores()) == (
        "AUC 0.587 (0.544 to 0.629) on 2,003 click rows with 184 positives; predicted / observed 1.07 (0.94 to 1.21): "
        "calibrated, as far as so many positives can tell."
    )
    assert words.headline(conditional, scores(auc=None, positives=0, predicted_over_observed=None)) == (
        "On 2,003 click rows with 0 positives, no AUC is defined."
    )
    assert "not surely better than chance; " in words.headline(conditional, scores(intervals={"auc": [0.49, 0.6]}))
    one = scores(intervals={"auc": None, "predicted_over_observed": None})
    assert words.headline(conditional, one) == "AUC 0.587 on 2,003 click rows with 184 positives; predicted / observed 1.07."


def test_calibration_in_words() -> None:
    assert plain(words.calibrated(scores(intervals={"predicted_over_observed": [1.01, 1.1]}))) == "too high, by 7.0 %"
    low = scores(predicted_over_observed=0.8, intervals={"predicted_over_observed": [0.7, 0.9]})
    assert plain(words.calibrated(low)) == "too low, by 20 %"
    uneven = scores(intervals={"calibration_error": [0.011, 0.02]})
    assert (
        plain(words.calibrated(uneven)) == "calibrated on the whole, but not evenly (off by 1.2 % on average, 1.0 % by chance)"
    )
    assert words.calibrated(scores(predicted_over_observed=None)) == ""


def test_a_slice_that_is_worse(tmp_path: Path) -> None:
    entry = {"column": "tab", "value": "4", "probability": "buy_given_click", "stage": "buy", "kind": "conditional"}
    entry |= {"measure": "auc", "score": 0.51, "whole": 0.6, "low": 0.42, "high": 0.58, "rows": 300, "positives": 20}
    found = record(tmp_path)
    assert words.worst(found, entry) == (
        "tab = 4: AUC of buy given click 0.51 (0.42 to 0.58), 0.60 over all rows; 300 rows, 20 positives"
    )
    first = entry | {"stage": "click", "measure": "predicted_over_observed", "low": None, "high": None}
    assert words.worst(found, first).startswith("tab = 4: predicted / observed of click 0.510, 0.600 over all rows")


# log 0.42 = -0.868: 70 % of it at click, 30 % at buy
LOSS = [step("click", -0.6073), step("buy", -0.2602)]


def test_where_rows_are_lost() -> None:
    (said,) = words.losses("tab", "buy", [a_slice("4", 1000, buy=LOSS)], {"observed_rate": 0.05})
    assert plain(said) == (
        "tab = 4: P(buy) is 0.42 times that of all rows, about 29 fewer than at the rate of all rows; "
        "of that, 70 % is lost at click, 30 % at buy"
    )


def test_where_rows_are_gained() -> None:
    gain = [step("click", 0.3466), step("buy", 0.3466)]
    (said,) = words.losses("tab", "buy", [a_slice("1", 1000, buy=gain)], {"observed_rate": 0.05})
    assert plain(said).endswith("about 50 more than at the rate of all rows; of that, 50 % is gained at click, 50 % at buy")


def test_steps_of_opposite_signs_have_no_shares() -> None:
    assert words.apart([step("click", 0.4055), step("buy", -1.0)]) == (
        "it is lost at buy (\u00d7 0.37), but gained at click (\u00d7 1.50)"
    )
    assert words.apart([step("a", 1.0), step("b", -0.2), step("c", 0.5), step("d", 0.0)]) == (
        "it is gained at a (\u00d7 2.72) and c (\u00d7 1.65), but lost at b (\u00d7 0.82)"
    )


def test_a_step_without_any_says_so() -> None:
    none = [step("click", -0.1), step("buy", None)]
    (said,) = words.losses("tab", "buy", [a_slice("4", 1000, buy=none)], {"observed_rate": 0.05})
    assert said == ("tab = 4: none of its rows reached buy, so P(buy) is 0; about 50 fewer than at the rate of all rows")


def test_one_step_is_not_taken_apart() -> None:
    (said,) = words.losses("tab", "click", [a_slice("4", 1000, click=LOSS[:1])], {"observed_rate": 0.05})
    assert said == "tab = 4: P(click) is 0.54 times that of all rows, about 23 fewer than at the rate of all rows"


def test_what_chance_may_make_is_not_told() -> None:
    whole = {"observed_rate": 0.05}
    assert words.losses("tab", "buy", [a_slice("4", 40, buy=LOSS)], whole) == []  # 2 expected
    assert words.losses("tab", "buy", [a_slice("4", 1000)], whole) == []
    assert words.losses("tab", "buy", [a_slice("4", 1000, buy=LOSS)], {"observed_rate": 0.0}) == []


def test_the_costliest_slices_come_first() -> None:
    slices = [a_slice(str(n), 1000 * n, buy=LOSS) for n in range(1, 6)]
    found = words.losses("tab", "buy", slices, {"observed_rate": 0.05})
    assert [said[:8] for said in found] == ["tab = 5:", "tab = 4:", "tab = 3:"]


@pytest.mark.parametrize("name", ["aliccp", "esm2", "full_chain"])
def test_what_the_figures_cannot_tell(tmp_path: Path, name: str) -> None:
    said = words.unobservable(record(tmp_path, made.shipped(name)))
    assert said.startswith("What the figures cannot tell: P(")
    assert said.endswith("no log can show.")


def test_of_one_stage_there_is_less_to_tell(tmp_path: Path) -> None:
    one = record(tmp_path, made.small([{"name": "click", "label": "c"}]))
    assert words.unobservable(one).startswith("The figures are of the rows that were logged")


def test_the_objective(tmp_path: Path) -> None:
    described, spaces = words.objective(record(tmp_path, made.shipped("esm2")))
    assert described.startswith("esmm: Cross-entropy of each stage's cumulative label over all rows")
    assert spaces == ["click: over all rows", "direct: over all rows", "buy: over all rows"]
