import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from funnel.data.packing import Packer
from funnel.model.packing import packed
from funnel.schema.layout import SIZES, layout
from funnel.schema.learnt import Learnt, Scale
from funnel.schema.reader import load_schema

BOUNDARIES = (-1.5, 0.1, 0.3, 2.0)
TREE = {
    "name": "packed",
    "stages": [{"name": "click", "label": "click"}],
    "data": {
        "facts": {"format": "parquet", "train": "a.parquet"},
        "dimensions": [{"name": "user", "key": "user", "format": "parquet", "files": "u.parquet"}],
    },
    "tables": {"items": {"dim": 2, "buckets": 6}},
    "features": [
        {"name": "city", "kind": "categorical", "source": "user", "buckets": 3, "dim": 2},
        {
            "name": "liked",
            "kind": "bag",
            "source": "user",
            "table": "items",
            "weighted": True,
            "weights": "w",
            "pooling": "sqrtn",
        },
        {"name": "item", "kind": "categorical", "table": "items"},
        {"name": "seen", "kind": "bag", "table": "items", "pooling": "mean"},
        {"name": "met", "kind": "bag", "table": "items", "weighted": True, "weights": "m", "pooling": "mean"},
        {"name": "tags", "kind": "bag", "buckets": 4, "dim": 3, "pooling": "sum"},
        {
            "name": "price",
            "kind": "numeric",
            "transform": {"kind": "bucketize", "boundaries": list(BOUNDARIES), "dim": 3},
        },
        {"name": "plain", "kind": "numeric", "transform": "none"},
    ],
}
SCHEMA = load_schema(TREE)
LEARNT = Learnt(
    rows={"city": 5, "items": 8, "tags": 6, "price": 7},
    scales={"price": Scale(boundaries=BOUNDARIES), "plain": Scale()},
    priors=(0.1,),
)
WIDTHS = layout(SCHEMA, LEARNT)
ROWS = {"city": 5, "liked": 8, "item": 8, "seen": 8, "met": 8, "tags": 6}
NUMBERS = [float("nan"), float("inf"), float("-inf"), *BOUNDARIES, np.float32(0.1) - np.float32(1e-8), 0.0, 5.0]


def batch_of(seed: int, facts: int, users: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    batch = {"index/user": rng.integers(0, users, facts).astype(np.int32)}
    for feature in SCHEMA.features:
        source, count = SCHEMA.source_of(feature), facts if SCHEMA.source_of(feature) == "facts" else users
        key = f"{source}/{feature.name}"
        if feature.kind == "numeric":
            batch[key] = rng.choice(np.array(NUMBERS, np.float32), count)
        elif feature.kind == "categorical":
            batch[key] = rng.integers(0, ROWS[feature.name], count).astype(np.int32)
        else:
            lengths = rng.integers(0, 4, count)
            batch[f"{key}/offsets"] = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
            batch[key] = rng.integers(0, ROWS[feature.name], lengths.sum()).astype(np.int32)
            if feature.weighted:
                batch[f"{key}/weights"] = rng.choice(np.array([1, -1, 0.5, 2], np.float32), lengths.sum())
    return batch


def matrices(batch) -> list[np.ndarray]:
    """By width: what each lookup takes of each row, as a dense matrix."""
    found = []
    for width in WIDTHS:
        sizes = dict(zip(SCHEMA.sources, np.asarray(batch[SIZES]), strict=True))
        matrix = np.zeros([sum(int(sizes[s]) * len(found) for s, found in width.lookups.items()), width.rows])
        unique = np.asarray(batch[width.unique_key])
        assert len(np.unique(unique)) == len(unique)
        entries, weights = np.asarray(batch[width.entries_key]), np.asarray(batch[width.weights_key])
        np.add.at(matrix, (entries[:, 0], unique[entries[:, 1]]), weights)
        found.append(matrix)
    return found


def slowly(batch: dict[str, np.ndarray]) -> list[np.ndarray]:
    """The same, by loops."""
    found = []
    for width in WIDTHS:
        lines = []
        for source, lookups in width.lookups.items():
            for row in range(len(batch["index/user"]) if source == "facts" else len(batch["user/city"])):
                for lookup in lookups:
                    line = np.zeros(width.rows)
                    values, weights = batch[lookup.key], None
                    if lookup.scale is not None:
                        number = values[row]
                        place = 0 if np.isnan(number) else 2 + sum(np.float32(b) <= number for b in BOUNDARIES)
                        ids, weights = [place], [1.0]
                    elif lookup.pooling is None:
                        ids, weights = [values[row]], [1.0]
                    else:
                        begin, end = batch[f"{lookup.key}/offsets"][row : row + 2]
                        ids = list(values[begin:end])
                        w = batch.get(f"{lookup.key}/weights", np.ones(len(values)))[begin:end].astype(float)
                        total = {"sum": 1.0, "mean": w.sum(), "sqrtn": np.sqrt((w * w).sum())}[lookup.pooling]
                        weights = w / total if total else w * 0
                    for one, weight in zip(ids, weights, strict=True):
                        line[lookup.offset + one] += weight
                    lines.append(line)
        found.append(np.array(lines).reshape(-1, width.rows))
    return found


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 9), st.integers(1, 5))
def test_packed_lookups_are_those_of_a_slow_reader_in_numpy_and_in_the_graph(seed: int, facts: int, users: int) -> None:
    batch = batch_of(seed, facts, users)
    expected = slowly(batch)
    for found in (Packer(SCHEMA, LEARNT)(batch), packed(SCHEMA, WIDTHS, batch)):
        for mine, theirs in zip(matrices(found), expected, strict=True):
            np.testing.assert_allclose(mine, theirs, atol=1e-6)


def test_a_packed_batch_holds_sorted_rows_numbers_and_indices_and_no_ids() -> None:
    batch = batch_of(0, 5, 2)
    found = Packer(SCHEMA, LEARNT)(batch)
    lookups = {key for width in WIDTHS for key in (width.unique_key, width.entries_key, width.weights_key)}
    assert set(found) == {"facts/plain", "index/user", SIZES} | lookups
    assert all((np.diff(found[width.unique_key]) > 0).all() for width in WIDTHS)
    assert all((np.diff(found[width.entries_key][:, 1]) >= 0).all() for width in WIDTHS)
    assert found[SIZES].tolist() == [5, 2]


def test_a_packed_batch_is_not_packed_again() -> None:
    found = Packer(SCHEMA, LEARNT)(batch_of(0, 5, 2))
    assert packed(SCHEMA, WIDTHS, found) is found


@pytest.mark.parametrize("width", WIDTHS, ids=lambda width: str(width.dim))
def test_tables_of_a_width_stand_one_under_another(width) -> None:
    begin = 0
    for first, rows in width.tables.values():
        assert first == begin
        begin += rows
    assert width.rows == begin


def test_weights_that_cancel_out_but_for_rounding_give_zeros() -> None:
    batch = batch_of(0, 1, 1)
    weights = np.array([0.1, 0.2, -0.3], np.float32)
    assert weights.astype(float).sum() != 0
    batch |= {"facts/met": np.array([2, 3, 4], np.int32), "facts/met/offsets": np.array([0, 3], np.int32)}
    batch["facts/met/weights"] = weights
    (width,) = (width for width in WIDTHS if width.dim == 2)
    places = [lookup.name for lookup in width.lookups["facts"]]
    for found in (Packer(SCHEMA, LEARNT)(batch), packed(SCHEMA, WIDTHS, batch)):
        matrix = matrices(found)[WIDTHS.index(width)]
        assert not matrix[places.index("met")].any()


def test_a_packed_batch_by_hand() -> None:
    schema = load_schema(
        TREE | {"features": [TREE["features"][3], TREE["features"][2], TREE["features"][5]]}  # seen, item; tags
    )
    learnt = Learnt(rows={"items": 8, "tags": 6}, scales={}, priors=(0.1,))
    batch = {
        "index/user": np.array([0, 0], np.int32),
        "facts/item": np.array([7, 3], np.int32),
        "facts/seen": np.array([3, 7, 3], np.int32),
        "facts/seen/offsets": np.array([0, 0, 3], np.int32),
        "facts/tags": np.array([5], np.int32),
        "facts/tags/offsets": np.array([0, 1, 1], np.int32),
    }
    found = Packer(schema, learnt)(batch)
    # Lookups of width 2: seen and item of the first row, then of the second; entries by their row of the variable.
    third = np.float32(1) / np.float32(3)
    assert found["lookups/2/unique"].tolist() == [3, 7]
    assert found["lookups/2/entries"].tolist() == [[2, 0], [2, 0], [3, 0], [2, 1], [1, 1]]
    assert found["lookups/2/weights"].tolist() == [third, third, 1.0, third, 1.0]
    assert found["lookups/3/unique"].tolist() == [5]
    assert found["lookups/3/entries"].tolist() == [[0, 0]]
    assert found[SIZES].tolist() == [2, 0]
