from pathlib import Path

from funnel.schema.differences import differences
from funnel.schema.reader import load_schema

ALICCP = Path(__file__).parents[2] / "schemas" / "aliccp.yaml"


def test_equal_schemas_differ_in_nothing():
    assert differences([load_schema(ALICCP)] * 3) == []


def test_each_key_that_differs_is_there_with_every_value():
    one = load_schema(ALICCP)
    other = load_schema(
        ALICCP, ["objective.kind=parent_space", "train.epochs=7", "data.root=elsewhere", "model.tower.units=[8]"]
    )
    assert sorted(differences([one, other, one])) == [
        ("model.tower.units", ["[200, 80]", "[8]", "[200, 80]"]),
        ("objective.kind", ["esmm", "parent_space", "esmm"]),
        ("train.epochs", ["5", "7", "5"]),
    ]


def test_what_one_lacks_is_a_dash():
    tree = {
        "name": "shop",
        "stages": [{"name": "click", "label": "c"}],
        "data": {"facts": {"format": "parquet", "train": "a.parquet"}},
        "features": [{"name": "tab", "kind": "categorical", "buckets": 5}, {"name": "price", "kind": "numeric"}],
    }
    fewer = tree | {"features": tree["features"][:1], "stages": [*tree["stages"], {"name": "buy", "label": "b"}]}
    found = dict(differences([load_schema(tree), load_schema(fewer)]))
    assert found["features.price"][1] == found["stages.buy"][0] == "\u2013"
    assert "kind: numeric" in found["features.price"][0]
    assert set(found) == {"features.price", "stages.buy"}
