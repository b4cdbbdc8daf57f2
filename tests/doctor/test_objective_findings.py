import pytest

from tests.doctor import clinic


@pytest.mark.parametrize("kind", ["parent_space", "ips", "division"])
def test_an_objective_that_has_nothing_to_choose_from_is_a_warning(kind: str) -> None:
    found = clinic.check(clinic.frame(), stages=[{"name": "click", "label": "click"}], objective=kind)
    (finding,) = clinic.about(found, "objective")
    assert finding.level == "warning"
    assert f"no stage is given another, so that '{kind}' is the same as 'esmm'" in finding.message


@pytest.mark.parametrize("kind", ["unbias", "ips", "dr", "dcmt"])
def test_a_clip_above_the_mean_propensity_is_a_warning(kind: str) -> None:
    found = clinic.check(clinic.frame(), objective={"kind": kind, "clip": 0.4})
    (finding,) = clinic.about(found, "stage buy")
    assert finding.level == "warning"
    # About a quarter of the rows are clicked.
    assert "of the rows are of click, fewer than objective.clip of 0.4" in finding.message


@pytest.mark.parametrize("objective", ["esmm", "ips", {"kind": "ips", "clip": 0.1}, {"kind": "dr"}])
def test_others_are_silent(objective: object) -> None:
    assert clinic.check(clinic.frame(), objective=objective).findings == ()
