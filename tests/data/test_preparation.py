from __future__ import annotations

import hashlib
import json
import time
from pathlib import Path

import numpy as np
import oracle
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

import funnel
from funnel.data import codes, parallel, shards, split_reader
from funnel.data.codes import CollisionError
from funnel.data.known import Known
from funnel.data.origin import Origin
from funnel.data.prepare import make_store
from funnel.data.progress import Progress
from funnel.errors import DataError
from funnel.schema.funnel_schema import FunnelSchema
from funnel.schema.reader import load_schema


def stars(store, split="train"):
    return list(store.shards(split))


@pytest.mark.parametrize("form", oracle.FORMS)
def test_every_form_of_the_same_rows_gives_the_same_star(tmp_path, form):
    schema, origin = oracle.placed(form, tmp_path, oracle.FACTS, oracle.USERS)
    (star,) = stars(oracle.store_of(schema, origin, tmp_path))
    assert oracle.joined(star) == oracle.expected(oracle.FACTS, oracle.USERS)
    facts, users = star.sources["facts"], star.sources["user"]
    assert len(users["city"]) == 3  # one is used by no fact
    assert star.labels.dtype == np.uint8
    assert facts["tags/weights"].dtype == facts["price"].dtype == users["age"].dtype == np.float32
    assert facts["item_id"].dtype == facts["tags"].dtype == facts["city_item"].dtype == users["city"].dtype == np.int32


@pytest.mark.parametrize("form", ["parquet", "csv", "feature_list", "polars", "pandas"])
@pytest.mark.parametrize("size", [1, 40, 1000])
def test_rows_read_in_small_pieces_are_the_same(tmp_path, form, size, monkeypatch):
    monkeypatch.setattr("funnel.data.pieces.PIECE_BYTES", size)
    schema, origin = oracle.placed(form, tmp_path, oracle.FACTS * 3, oracle.USERS)
    assert oracle.joined(*stars(oracle.store_of(schema, origin, tmp_path))) == oracle.expected(oracle.FACTS * 3, oracle.USERS)


ids = st.text("ab1é,\"' ", min_size=1, max_size=2)
weights = st.integers(-8, 8).map(lambda quarter: quarter / 4)
lists = st.lists(st.tuples(ids, weights), max_size=3)
numbers = st.none() | weights


@st.composite
def rows(draw, least=1):
    keys = draw(st.lists(ids, min_size=1, max_size=4, unique=True))
    users = [{"user_id": key, "city": draw(st.none() | ids), "age": draw(numbers), "history": draw(lists)} for key in keys]
    fact = st.fixed_dictionaries(
        {
            "user_id": st.sampled_from(keys),
            "click": st.just(1),
            "bought": st.integers(0, 1),
            "item_id": st.none() | ids,
            "shop": st.none() | ids,
            "price": numbers,
            "tags": lists,
        }
    )
    facts = draw(st.lists(fact, min_size=least, max_size=8))
    return facts, users


def with_numbers(facts, users, training):
    """Scales need one number each."""
    first = facts[training[0]]
    first["price"], next(user for user in users if user["user_id"] == first["user_id"])["age"] = 1.0, 2.0


@given(drawn=rows(), form=st.sampled_from(["polars", "pandas", "csv", "feature_list", "parquet"]))
def test_any_rows_are_encoded_as_the_slow_way_does(tmp_path_factory, drawn, form):
    facts, users = drawn
    with_numbers(facts, users, [0])
    folder = tmp_path_factory.mktemp("rows")
    schema, origin = oracle.placed(form, folder, facts, users)
    assert oracle.joined(*stars(oracle.store_of(schema, origin, folder))) == oracle.expected(facts, users)


@given(
    drawn=rows(least=2), by=st.sampled_from(["row", "user"]), seed=st.integers(0, 9), shard_rows=st.sampled_from([1, 3, 100])
)
def test_rows_held_out_teach_nothing(tmp_path_factory, drawn, by, seed, shard_rows):
    facts, users = drawn
    folder = tmp_path_factory.mktemp("rows")
    schema, origin = oracle.placed("polars", folder, facts, users)
    data = schema.data.model_dump() | {
        "shard_rows": shard_rows,
        "validation": {"kind": "fraction", "fraction": 0.4, "seed": seed, "by": by},
    }
    schema = FunnelSchema.model_validate(schema.model_dump() | {"data": data})
    if by == "user" and len({fact["user_id"] for fact in facts}) == 1:
        with pytest.raises(DataError, match="would be on one side"):
            oracle.store_of(schema, origin, folder)
        return
    # Which rows are held out depends on the keys alone: with numbers in every row, a first store says which.
    held = oracle.read(schema, origin).held_out(oracle.facts_of(oracle.read(schema, origin)))
    training = np.flatnonzero(~held).tolist()
    with_numbers(facts, users, training)
    origin = Origin(frames={"facts": oracle.polars_frame(facts), "user": oracle.polars_frame(users)})
    store = oracle.store_of(schema, origin, folder)
    wanted = oracle.expected(facts, users, training)
    for split, places in (("train", training), ("validation", np.flatnonzero(held).tolist())):
        assert oracle.placed_rows(stars(store, split)) == [(place, wanted[place]) for place in places]


def test_other_splits_are_encoded_with_what_the_training_rows_taught(tmp_path):
    _, origin = oracle.placed("csv", tmp_path, oracle.FACTS, oracle.USERS)
    other = [{**oracle.FACTS[0], "item_id": "new"}, {**oracle.FACTS[1], "tags": [("new", 1.0), ("x", 3.0)]}]
    frames = {"facts": oracle.polars_frame(other), "user": oracle.polars_frame(oracle.USERS)}
    tree = oracle.mapping("csv")
    tree["data"]["facts"]["test"] = "more.csv"
    tree["data"]["dimensions"][0]["test"] = "users.csv"
    oracle.write(tmp_path, "more.csv", oracle.csv_text(other))
    store = make_store(load_schema(tree), {"train": origin, "test": origin}, tmp_path / "store")
    # The new fact rows stand behind the training rows, so that the slow way may learn from those alone.
    wanted = oracle.expected([*oracle.FACTS, *other], oracle.USERS, list(range(5)))
    assert oracle.joined(*stars(store)) == wanted[:5]
    assert oracle.joined(*stars(store, "test")) == wanted[5:]
    known = Known(store.learnt, store.vocabulary)
    again = make_store(load_schema(oracle.mapping("parquet")), {"test": Origin(frames=frames)}, tmp_path / "again", known=known)
    assert oracle.joined(*stars(again, "test")) == wanted[5:]
    assert again.manifest["splits"]["test"]["read"] == 2


def test_without_labels_there_are_none(tmp_path):
    schema, origin = oracle.placed("polars", tmp_path, oracle.FACTS, oracle.USERS)
    learnt = oracle.store_of(schema, origin, tmp_path)
    frames = {**origin.frames, "facts": origin.frames["facts"].drop("click", "bought")}
    known = Known(learnt.learnt, learnt.vocabulary)
    store = make_store(schema, {"test": Origin(frames=frames)}, tmp_path / "bare", labels=False, known=known)
    (star,) = stars(store, "test")
    assert star.labels is None
    wanted = [
        {key: value for key, value in row.items() if key != "labels"} for row in oracle.expected(oracle.FACTS, oracle.USERS)
    ]
    assert oracle.joined(star) == wanted
    assert store.manifest["splits"]["test"]["stages"] == {}


RESERVED = ["position", "labels", "bucket", "index", "groups", "facts", "time", "row", "key", "code", "label"]


@pytest.mark.parametrize("name", RESERVED)
def test_a_feature_may_have_any_name(tmp_path, name):
    features = [{"name": name, "kind": "categorical", "min_count": 1}, {"name": "other", "kind": "numeric", "column": name}]
    tree = {"name": "a", "stages": [{"name": "s", "label": "y"}], "features": features, "evaluate": {"group_by": name}}
    tree["data"] = {"facts": {"format": "parquet", "train": "x"}, "validation": {"fraction": 0.3}}
    frame = pl.DataFrame({name: [5, 6, 5, 9, None, 6, 5], "y": [0, 1] * 3 + [1]})
    schema = load_schema(tree)
    store = make_store(schema, {"train": Origin(frames={"facts": frame})}, tmp_path / "store")
    rows = oracle.placed_rows([*stars(store), *stars(store, "validation")])
    assert [place for place, _ in rows] == list(range(7))
    assert [row["facts/other"] for _, row in rows] == frame[name].cast(pl.Float64).to_list()
    assert [row["labels"] for _, row in rows] == [[label] for label in frame["y"]]
    terms = store.vocabulary.terms[name].to_list()
    wanted = [oracle.row_of(None if one is None else str(one), terms) for one in frame[name]]
    assert [row[f"facts/{name}"] for _, row in rows] == wanted


@pytest.mark.parametrize("name", ["position", "labels", "groups", "bucket", "user", "x", "work", "path"])
def test_a_dimension_a_table_and_a_feature_may_have_one_name(tmp_path, name):
    features = [
        {"name": name, "kind": "categorical", "source": name, "column": "city", "min_count": 1},
        {"name": "tags", "kind": "bag", "source": name, "table": "other"},
    ]
    tree = {"name": "a", "stages": [{"name": "s", "label": "y"}], "features": features, "evaluate": {"group_by": name}}
    dimension = {"name": name, "key": "k", "format": "parquet", "files": "u"}
    tree["data"] = {"facts": {"format": "parquet", "train": "x"}, "dimensions": [dimension], "validation": None}
    tree["tables"] = {"other": {"min_count": 1}}
    frames = {
        "facts": pl.DataFrame({"k": ["b", "a", "b", "c"], "y": [0, 1, 1, 0]}),
        name: pl.DataFrame({"k": list("abc"), "city": ["A", "B", "A"], "tags": [["t"], [], ["u", "t"]]}),
    }
    store = make_store(load_schema(tree), {"train": Origin(frames=frames)}, tmp_path / "store")
    (star,) = stars(store)
    assert store.vocabulary.terms[name].to_list() == ["A", "B"]
    rows = oracle.joined(star)
    assert [row[f"{name}/{name}"] for row in rows] == [3, 2, 3, 2]
    assert [row[f"{name}/tags"] for row in rows] == [[], [2], [], [3, 2]]
    assert [row["labels"] for row in rows] == [[0], [1], [1], [0]]
    groups = star.fact_groups[np.argsort(star.position)].tolist()
    assert groups[0] == groups[2] != groups[1] == groups[3]


@pytest.mark.parametrize("name", ["labels", "position", "groups", "facts", "path", "self"])
def test_a_table_may_have_any_name(tmp_path, name):
    features = [{"name": "x", "kind": "categorical", "table": name}]
    frame = pl.DataFrame({"x": list("aabc"), "y": [1, 0, 0, 1]})
    tree = {"name": "a", "stages": [{"name": "s", "label": "y"}], "features": features, "tables": {name: {"min_count": 1}}}
    tree["data"] = {"facts": {"format": "parquet", "train": "x"}, "validation": None}
    store = make_store(load_schema(tree), {"train": Origin(frames={"facts": frame})}, tmp_path / "store")
    rows = oracle.joined(*stars(store))
    assert [(row["facts/x"], row["labels"]) for row in rows] == [(2, [1]), (2, [0]), (3, [0]), (4, [1])]


def test_many_cores_at_once_write_what_one_does(tmp_path, monkeypatch):
    """Shards are written side by side: none may take another's place."""
    facts = pl.DataFrame({"x": range(3000), "y": np.arange(3000) % 2})
    tree = {
        "name": "a",
        "stages": [{"name": "s", "label": "y"}],
        "features": [{"name": "x", "kind": "categorical", "min_count": 1}],
    }
    tree["data"] = {"facts": {"format": "parquet", "train": "x", "test": "y"}, "validation": None, "shard_rows": 5}
    schema = load_schema(tree)
    origin = Origin(frames={"facts": facts})
    real = shards.encode

    def slower(schema, condensed, *others):
        if condensed.star.position[0] % 3 == 0:
            time.sleep(0.003)
        return real(schema, condensed, *others)

    monkeypatch.setattr("funnel.data.preparation.encode", slower)
    contents = []
    for cores in (1, 8):
        monkeypatch.setattr(parallel, "cores", lambda cores=cores: cores)
        store = make_store(schema, {"train": origin, "test": origin}, tmp_path / str(cores))
        for split in ("train", "test"):
            found = oracle.placed_rows(store.shards(split).once())
            assert [place for place, _ in found] == list(range(3000))
            assert [row["labels"][0] for _, row in found] == facts["y"].to_list()
        contents.append([shard["sha256"] for split in ("train", "test") for shard in store.manifest["splits"][split]["shards"]])
    assert contents[0] == contents[1]
    assert len(contents[0]) > 200


def narrow(bits, only=None):
    """The codes' hash, with so few bits that texts collide under some seeds."""

    def hashed(text: pl.Series, seed: int = 0) -> np.ndarray:
        if only is not None and seed not in only:
            return real(text, seed)
        return -1 - ((-1 - real(text, seed)) >> (63 - bits))

    real = codes.hashed_text
    return hashed


FULL_ROWS = [
    {**fact, "user_id": f"u{row % 7}", "item_id": f"i{row % 5}", "tags": [(f"t{row % 3}", 1.0), (f"t{row % 4}", 0.5)]}
    for row, fact in enumerate(oracle.FACTS * 6)
]
FULL_USERS = [
    {"user_id": f"u{row}", "city": f"c{row % 4}", "age": row / 2, "history": [(f"i{row}", 1.0), (f"h{row}", 2.0)]}
    for row in range(8)
]


@pytest.mark.parametrize("bad_seeds", [{0}, {0, 1, 2}])
def test_texts_that_collide_start_the_work_again_and_change_nothing(tmp_path, monkeypatch, bad_seeds):
    schema, origin = oracle.placed("csv", tmp_path, FULL_ROWS, FULL_USERS)
    plain = oracle.store_of(schema, origin, tmp_path / "plain")
    monkeypatch.setattr(codes, "hashed_text", narrow(2, bad_seeds))
    with pytest.raises(CollisionError):
        oracle.read(schema, origin).require_injective({})
    seeds = []
    read = split_reader.read

    def watched(*args, **options):
        seeds.append(options["seed"])
        return read(*args, **options)

    monkeypatch.setattr("funnel.data.preparation.read", watched)
    again = oracle.store_of(schema, origin, tmp_path / "again")
    assert seeds == [*sorted(bad_seeds), max(bad_seeds) + 1]
    assert oracle.joined(*stars(again)) == oracle.joined(*stars(plain)) == oracle.expected(FULL_ROWS, FULL_USERS)
    assert {table: terms.to_list() for table, terms in again.vocabulary.terms.items()} == {
        table: terms.to_list() for table, terms in plain.vocabulary.terms.items()
    }
    assert again.learnt == plain.learnt
    assert not (again.path / "work").exists()


def test_texts_that_collide_under_every_seed_are_said_to(tmp_path, monkeypatch):
    schema, origin = oracle.placed("csv", tmp_path, FULL_ROWS, FULL_USERS)
    monkeypatch.setattr(codes, "hashed_text", narrow(1))
    with pytest.raises(DataError, match="two ids have one hash, whatever its seed"):
        oracle.store_of(schema, origin, tmp_path / "again")
    assert not list((tmp_path / "again").iterdir())


def test_an_id_of_other_rows_that_collides_with_a_known_one_starts_the_work_again(tmp_path, monkeypatch):
    """It would be taken for the id of the vocabulary."""
    features = [{"name": "x", "kind": "categorical", "min_count": 1}]
    tree = {"name": "a", "stages": [{"name": "s", "label": "y"}], "features": features}
    tree["data"] = {"facts": {"format": "parquet", "train": "x", "test": "z"}, "validation": None}
    schema = load_schema(tree)
    train, test = (Origin(frames={"facts": pl.DataFrame({"x": [one], "y": [1]})}) for one in ("known", "stranger"))
    real = codes.hashed_text
    monkeypatch.setattr(codes, "hashed_text", lambda text, seed=0: np.full(len(text), -7) if seed == 0 else real(text, seed))
    store = make_store(schema, {"train": train, "test": test}, tmp_path / "store")
    assert [row["facts/x"] for row in oracle.joined(*stars(store, "test"))] == [1]
    again = make_store(schema, {"test": test}, tmp_path / "again", known=Known(store.learnt, store.vocabulary))
    assert [row["facts/x"] for row in oracle.joined(*stars(again, "test"))] == [1]


def test_progress_tells_how_far_each_part_is(tmp_path):
    schema, origin = oracle.placed("csv", tmp_path, FULL_ROWS, FULL_USERS)
    events = []
    make_store(schema, {"train": origin}, tmp_path / "store", watch=events.append)
    assert all(isinstance(event, Progress) for event in events)
    size = {"user": ["users.csv"], "facts": ["facts_1.csv", "facts_2.csv"]}
    for source, names in size.items():
        own = [event for event in events if event.what == f"reading {source}"]
        assert {event.total for event in own} == {sum((tmp_path / name).stat().st_size for name in names)}
        assert [event.done for event in own] == sorted(event.done for event in own)
        assert own[-1].done == own[-1].total
    for what in ("grouping rows", "encoding"):
        own = [event for event in events if event.what == what]
        assert own[-1].done == own[-1].total
        assert {event.unit for event in own} == {"shards"}


def everything(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != "manifest.json"
    }


@pytest.mark.parametrize("shard_rows", [1, 7, 1000])
def test_a_store_does_not_depend_on_the_format_or_the_pieces(tmp_path, monkeypatch, shard_rows):
    found = {}
    for form in oracle.FORMS:
        for size in (16 << 20, 300):
            monkeypatch.setattr("funnel.data.pieces.PIECE_BYTES", size)
            folder = tmp_path / f"{form}-{size}"
            folder.mkdir()
            schema, origin = oracle.placed(form, folder, FULL_ROWS, FULL_USERS)
            data = schema.data.model_dump() | {"shard_rows": shard_rows}
            schema = FunnelSchema.model_validate(schema.model_dump() | {"data": data})
            found[form, size] = everything(oracle.store_of(schema, origin, folder).path)
    first = next(iter(found.values()))
    assert all(other == first for other in found.values()), {key: other == first for key, other in found.items()}


def test_the_manifest_says_what_is_there(tmp_path):
    schema, origin = oracle.placed("csv", tmp_path, FULL_ROWS, FULL_USERS)
    store = oracle.store_of(schema, origin, tmp_path)
    manifest = json.loads((store.path / "manifest.json").read_text())
    assert manifest == store.manifest
    train = manifest["splits"]["train"]
    assert (train["rows"], train["read"]) == (len(FULL_ROWS), len(FULL_ROWS))
    assert train["stages"] == {"click": sum(row["click"] for row in FULL_ROWS), "buy": sum(row["bought"] for row in FULL_ROWS)}
    assert train["skipped"]["facts"] == {"rows": 0, "of": len(FULL_ROWS), "reasons": {}, "examples": {}}
    for shard in train["shards"]:
        path = store.path / shard["file"]
        assert path.stat().st_size == shard["bytes"]
        assert hashlib.sha256(path.read_bytes()).hexdigest() == shard["sha256"]
    assert sorted(path.name for path in store.path.iterdir()) == sorted(
        ["learnt.json", "manifest.json", "vocabulary", *(shard["file"] for shard in train["shards"])]
    )


def test_a_store_without_training_rows_needs_what_was_learnt(tmp_path):
    schema, origin = oracle.placed("polars", tmp_path, oracle.FACTS, oracle.USERS)
    with pytest.raises(ValueError, match="got neither training rows nor what was learnt from some"):
        make_store(schema, {"test": origin}, tmp_path / "store")


def test_sampled_rows_are_counted_as_they_are_and_for_all_that_they_stand_for(tmp_path):
    tree = oracle.mapping("parquet") | {"sampling": {"impression": 0.25, "click": 0.5}}
    frames = {"facts": oracle.polars_frame(oracle.FACTS), "user": oracle.polars_frame(oracle.USERS)}
    store = make_store(load_schema(tree), {"train": Origin(frames=frames)}, tmp_path / "store")
    # Two that did not click, two that did, one that bought: 8 + 4 + 1.
    assert store.manifest["splits"]["train"]["spaces"] == {
        "click": {"rows": 5, "positives": 3, "unknown": 0, "unsampled": {"rows": 13.0, "positives": 5.0}},
        "buy": {"rows": 3, "positives": 1, "unknown": 0, "unsampled": {"rows": 5.0, "positives": 1.0}},
    }
    again = tree | {"sampling": tree["sampling"] | {"click": 1}}
    with pytest.raises(DataError, match=r"another sampling"):
        funnel.prepare(again, store)
    tree["sampling"] = {"rates": {"impression": 0.25, "click": 0.5}, "test": True}
    assert funnel.prepare(tree, store).path == store.path
