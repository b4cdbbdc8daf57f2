from __future__ import annotations

import copy
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ruamel.yaml import YAML

from funnel.errors import SchemaError
from funnel.schema.funnel_schema import FunnelSchema
from funnel.schema.reader import dump_schema, load_schema

TEXT = """\
name: shop
stages:
  - {name: click, label: click}
  - {name: cart, label: cart, given: click}
  - {name: buy, label: bought}
data:
  facts:
    format: csv
    train: facts.csv
  dimensions:
    - {name: user, key: user_id, format: parquet, files: users.parquet}
tables:
  item: {dim: 4}
features:
  - name: item_id
    kind: categorical
    table: item
  - {name: history, kind: bag, source: user, table: item}
  - {name: price, kind: numeric}
  - {name: shop, kind: categorical, buckets: 10}
  - {name: shop_item, kind: cross, of: [shop, item_id], buckets: 100}
model:
  body: shared_bottom
train:
  epochs: 2
"""


@pytest.fixture
def read(tmp_path):
    """Reads a text as a schema file, with some of it replaced."""

    def read_text(*changes: tuple[str, str], text: str = TEXT) -> FunnelSchema:
        for old, new in changes:
            assert old in text
            text = text.replace(old, new, 1)
        path = tmp_path / "a.yaml"
        path.write_bytes(text.encode())
        return load_schema(path)

    return read_text


def refused(read, *changes, text=TEXT) -> str:
    with pytest.raises(SchemaError) as caught:
        read(*changes, text=text)
    message = str(caught.value)
    assert "pydantic" not in message
    assert "http" not in message
    assert caught.value.__cause__ is None
    return re.sub(r"\S*a\.yaml", "a.yaml", message)


def test_the_whole_file_is_a_funnel(read):
    schema = read()
    assert schema.stage_names == ("click", "cart", "buy")
    assert schema.train.epochs == 2


# Each: what is changed, and parts of the one message: its place first, then what it must say.
MISTAKES = {
    "unknown key at the top": (("train:\n", "trian:\n"), "a.yaml:24 trian: ", "unknown key", "Did you mean 'train'?"),
    "unknown key of a feature": (
        ("    table: item\n", "    tabel: item\n"),
        "a.yaml:17 features[0].tabel: ",
        "unknown key",
        "Did you mean 'table'?",
    ),
    "unknown key of a stage": (("label: cart", "lable: cart"), "a.yaml:4 stages[1].lable: got an unknown key", "'label'?"),
    "unknown key of a dimension": (("key: user_id", "key: user_id, kee: x"), "a.yaml:11 data.dimensions[0].kee: ", "'key'?"),
    "unknown key beside a short body": (
        ("body: shared_bottom", "body: {kind: shared_bottom, unit: [3]}"),
        "a.yaml:23 model.body.unit: ",
        "Did you mean 'units'?",
    ),
    "unknown key in train": (("epochs", "epoch"), "a.yaml:25 train.epoch: ", "Did you mean 'epochs'?"),
    "unknown feature kind": (
        ("kind: categorical\n", "kind: categorial\n"),
        "a.yaml:15 features[0]: got `kind: categorial`",
        "Did you mean 'categorical'?",
    ),
    "no feature kind": (("    kind: categorical\n", ""), "a.yaml:15 features[0]: got no `kind`", "Add it"),
    "unknown format": (("format: csv", "format: cvs"), "a.yaml:7 data.facts: got `format: cvs`", "Did you mean 'csv'?"),
    "unknown short kind": (
        ("body: shared_bottom", "body: shared_botom"),
        "a.yaml:23 model.body",
        "`kind: shared_botom`",
        "'shared_bottom'",
    ),
    "unknown literal": (
        ("kind: bag,", "kind: bag, pooling: summ,"),
        "a.yaml:18 features[1].pooling: got 'summ'",
        "Did you mean 'sum'?",
    ),
    "unknown policy": (
        ("name: shop\n", "name: shop\ninconsistent_labels: drp\n"),
        "a.yaml:2 inconsistent_labels: got 'drp'",
        "Did you mean 'drop'?",
    ),
    "a stage given a later one": (("given: click", "given: buy"), "a.yaml:4 stages[1].given: 'buy' comes later", "'click'"),
    "a stage given itself": (("given: click", "given: cart"), "a.yaml:4 stages[1].given: 'cart' comes later or is the stage"),
    "a stage given nothing there is": (
        ("given: click", "given: clik"),
        "a.yaml:4 stages[1].given: 'clik' is not a stage above it",
        "(have: 'impression', 'click')",
        "Did you mean 'click'?",
    ),
    "two stages of one name": (("name: buy", "name: cart"), "a.yaml:5 stages[2].name: ", "'cart'", "stages[1]"),
    "two stages of one label": (("label: bought", "label: cart"), "a.yaml:5 stages[2].label: ", "'cart'", "stages[1]"),
    "a stage called as the space": (("name: click", "name: impression"), "a.yaml:3 stages[0].name: 'impression' is the name"),
    "a stage called as a conditional": (
        ("{name: buy, label: bought}", "{name: buy, label: bought}\n  - {name: cart_given_click, label: x, given: impression}"),
        "a.yaml:6 stages[3].name: 'cart_given_click'",
        "Rename the stage",
    ),
    "a label among the features": (
        ("{name: price, kind", "{name: price, column: bought, kind"),
        "a.yaml:19 features[2].column: 'bought' is the label of stage 'buy'",
    ),
    "a feature called as a label": (("name: price", "name: bought"), "a.yaml:19 features[2].name: 'bought' is the label"),
    "two features of one name": (("name: price", "name: shop"), "a.yaml:20 features[3].name: ", "features[2]"),
    "an unknown source": (("source: user", "source: usr"), "a.yaml:18 features[1].source: 'usr'", "Did you mean 'user'?"),
    "an unknown table": (("table: item\n", "table: itm\n"), "a.yaml:17 features[0].table: 'itm'", "Did you mean 'item'?"),
    "a table beside its dim": (
        ("    table: item\n", "    table: item\n    dim: 3\n"),
        "a.yaml:18 features[0].dim: got `dim` beside `table: item`",
        "tables.item",
    ),
    "an unused table": (("  item: {dim: 4}\n", "  item: {dim: 4}\n  user: {}\n"), "a.yaml:14 tables.user: ", "used: 'item'"),
    "buckets beside min_count": (("{dim: 4}", "{buckets: 4, min_count: 2}"), "a.yaml:13 tables.item.buckets: ", "`min_count`"),
    "buckets beside max_rows": (("buckets: 10}", "buckets: 9, max_rows: 3}"), "a.yaml:20 features[3].buckets: ", "`max_rows`"),
    "a feature called as a table": (
        ("name: shop, kind", "name: item, kind"),
        "a.yaml:20 features[3].name: 'item' is also a table",
    ),
    "a cross called as a table": (("name: shop_item", "name: item"), "a.yaml:21 features[4].name: 'item' is also a table"),
    "a cross of a number": (("of: [shop,", "of: [price,"), "a.yaml:21 features[4].of[0]: 'price' is not a categorical feature"),
    "a cross of one": (("of: [shop, item_id]", "of: [shop]"), "a.yaml:21 features[4].of: ", "at least 2"),
    "a weighted bag without weights": (
        ("kind: bag,", "kind: bag, weighted: true,"),
        "a.yaml:18 features[1].weights: got no column",
        "expected the one with the weights",
    ),
    "weights of an unweighted bag": (("kind: bag,", "kind: bag, weights: w,"), "a.yaml:18 features[1].weights: got `weights`"),
    "a bag in CSV without separator": (
        ("  - {name: price, kind: numeric}", "  - {name: tags, kind: bag}"),
        "a.yaml:19 features[2].separator: got none for a bag in CSV",
        "`separator: '|'`",
    ),
    "an empty separator": (
        ("kind: bag,", "kind: bag, separator: '',"),
        "a.yaml:18 features[1].separator: got ''",
        "at least 1 character",
    ),
    "a separator of two bytes": (
        ("format: csv\n", "format: csv\n    separator: é\n"),
        "a.yaml:9 data.facts.separator: got 'é'",
        "ASCII",
    ),
    "text for a number": (("epochs: 2", "epochs: two"), "a.yaml:25 train.epochs: got 'two'", "whole number"),
    "zero epochs": (("epochs: 2", "epochs: 0"), "a.yaml:25 train.epochs: got 0", "greater than or equal to 1"),
    "half an epoch": (("epochs: 2", "epochs: 1.5"), "a.yaml:25 train.epochs: got 1.5", "expected"),
    "a mapping for a list": (
        ("of: [shop, item_id]", "of: {shop: 1}"),
        "a.yaml:21 features[4].of: got a mapping with 'shop'",
    ),
    "a list for a mapping": (("  item: {dim: 4}\n", "  - item\n"), "a.yaml:12 tables: got a list of 1", "mapping"),
    "a weight below zero": (("train:\n", "objective: {weights: {click: -1}}\ntrain:\n"), "a.yaml:24 objective", "got -1"),
    "unknown key of a table": (("{dim: 4}", "{dmi: 4}"), "a.yaml:13 tables.item.dmi: ", "Did you mean 'dim'?"),
    "unknown key where the kind is left out": (
        ("train:\n", "train:\n  optimizer: {dense: {learning_rat: 1}}\n"),
        "a.yaml:25 train.optimizer.dense.learning_rat: ",
        "Did you mean 'learning_rate'?",
    ),
    "an infinite number": (("kind: numeric", "kind: numeric, transform: {kind: log1p, mean: .inf}"), "a.yaml:19 ", "finite"),
    "a prior of 1": (("given: click", "prior: 1.0"), "a.yaml:4 stages[1].prior: got 1.0", "less than 1"),
    "a name with a space": (("name: price", "name: the price"), "a.yaml:19 features[2].name: got 'the price'", "underscores"),
    "no label": (("{name: buy, label: bought}", "{name: buy}"), "a.yaml:5 stages[2].label: got nothing", "Name it"),
    "files beside train": (
        ("    train: facts.csv\n", "    train: facts.csv\n    files: x\n"),
        "a.yaml:10 data.facts.files: got `files` beside `train`",
    ),
    "boundaries that descend": (
        ("kind: numeric", "kind: numeric, transform: {kind: bucketize, boundaries: [2, 1]}"),
        "features[2].transform.boundaries: got [2.0, 1.0]",
        "Sort them",
    ),
    "a text filled into numbers": (
        ("kind: numeric", "kind: numeric, missing: {fill: none}"),
        "a.yaml:19 features[2].missing.fill: got 'none', expected a number",
    ),
    "an unknown stage that decides": (
        ("epochs: 2", "early_stopping: {stages: [bye]}"),
        "a.yaml:25 train.early_stopping.stages[0]: 'bye' is not a stage",
        "Did you mean 'buy'?",
    ),
    "an unknown weight": (
        ("train:\n", "objective: {kind: esmm, weights: {by: 2}}\ntrain:\n"),
        "a.yaml:24 objective.weights.by: 'by' is not a stage",
    ),
    "groups by a number": (
        ("train:\n", "evaluate: {group_by: price}\ntrain:\n"),
        "a.yaml:24 evaluate.group_by: 'price' is not a categorical feature",
    ),
    "validation by no dimension": (
        ("  facts:\n", "  validation: {kind: fraction, by: usr}\n  facts:\n"),
        "a.yaml:7 data.validation.by: 'usr'",
        "Did you mean 'user'?",
    ),
    "a dimension called facts": (("name: user,", "name: facts,"), "a.yaml:11 data.dimensions[0].name: 'facts'"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_one_clear_line(read, mistake):
    change, place, *said = MISTAKES[mistake]
    message = refused(read, change)
    assert place in message
    for parts in said:
        assert any(part in message for part in parts.split("|")), message
    # A misspelt key that is required is missing, too.
    assert len(message.splitlines()) == 1


def test_every_mistake_has_its_own_line(read):
    message = refused(read, ("epochs: 2", "epochs: 0"), ("kind: bag,", "kind: bag, pooling: summ,"))
    assert [line.split(": ")[0] for line in message.splitlines()] == ["a.yaml:18 features[1].pooling", "a.yaml:25 train.epochs"]


def test_a_required_part_is_named(read):
    message = refused(read, text="name: shop\nstages: [{name: click, label: click}]\ndata: {facts: {format: csv}}\n")
    assert message == "a.yaml:1 features: got nothing, expected a value: it is required. Add it."


def test_columns_of_a_feature_list_are_checked(read):
    facts = "format: feature_list\n    columns: [id, click, entries]\n    list: entires"
    message = refused(read, ("format: csv", facts))
    assert message == (
        "a.yaml:10 data.facts.list: 'entires' is not among the columns ['id', 'click', 'entries']. Name one of them."
    )


LIST = ("format: csv", "format: feature_list\n    columns: [id, click, cart, bought, entries]\n    list: entries")


def test_the_list_of_a_feature_list_is_no_feature(read):
    message = refused(read, LIST, ("name: price, kind: numeric", "name: price, column: entries, kind: categorical"))
    assert "a.yaml:21 features[2].column: 'entries' is the list itself" in message


def test_a_weighted_bag_beside_the_list_is_refused(read):
    bag = "name: price, column: id, kind: bag, weighted: true, separator: '|'"
    assert "features[2].column: 'id' is a column beside" in refused(read, LIST, ("name: price, kind: numeric", bag))


def test_a_weights_column_for_a_feature_list_is_refused(read):
    bag = "name: price, kind: bag, weighted: true, weights: w"
    assert "features[2].weights: got a column for a feature list" in refused(read, LIST, ("name: price, kind: numeric", bag))


def test_a_key_given_twice_is_refused_where_it_comes_again(read):
    message = refused(read, ("  epochs: 2\n", "  epochs: 2\n  seed: 1\n  epochs: 3\n"))
    assert message == "a.yaml:27 got the key 'epochs' twice, expected it once. Remove one."


def test_tabs_are_pointed_at(read):
    message = refused(read, ("  epochs: 2", "\tepochs: 2"))
    assert message.startswith("a.yaml:25 is not YAML")
    assert "spaces, not tabs" in message


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", "an empty file"),
        ("# nothing\n", "an empty file"),
        ("- name: shop\n- stages\n", "a list of 2"),
        ("shop\n", "'shop'"),
        ("3\n", "3"),
    ],
)
def test_something_else_than_a_mapping_is_refused(read, text, found):
    assert refused(read, text=text).startswith(f"a.yaml:1 got {found}, expected `name`, `stages`, `data`, `features`.")


@pytest.mark.parametrize(
    "text",
    [
        "a: [1\n",
        "a: b: c\n",
        "{",
        "a: 'b\n",
        "a: \x01\n",
        "a: *b\n",
        "a: 1\n---\nb: 2\n",
        "a: &x [*x]\n",
        "%YAML\n",
        "a: 0o9\n",
        "? [1, {2: 3}]\n: 4\n",
        "a: !!set {b, c}\n",
        "name: !ruby/object {}\n",
        "a: 2001-99-99\n",
        "[" * 1000,
    ],
)
def test_odd_yaml_is_a_schema_error(read, text):
    assert refused(read, text=text).startswith("a.yaml")


def test_a_missing_file_suggests_its_neighbour(tmp_path):
    (tmp_path / "schema.yaml").write_text(TEXT)
    with pytest.raises(SchemaError, match=r"shcema\.yaml: no such file .*Did you mean '.*schema\.yaml'\?"):
        load_schema(tmp_path / "shcema.yaml")
    with pytest.raises(SchemaError, match=r"no such file \(have: none\)"):
        load_schema(tmp_path / "none" / "schema.yaml")


@pytest.mark.parametrize("content", [b"\xff\xfe\x00", b"name: \xe9\n"])
def test_a_file_that_is_no_text_is_refused(tmp_path, content):
    path = tmp_path / "a.yaml"
    path.write_bytes(content)
    with pytest.raises(SchemaError, match="cannot be read as text"):
        load_schema(path)


def test_a_folder_is_refused(tmp_path):
    with pytest.raises(SchemaError, match="cannot be read"):
        load_schema(tmp_path)


@pytest.mark.parametrize(
    "written", ["no", "on", "y", "101", "110_14", "0101", "0x10", "1:30", "2024-01-02", "+5", "a b", "'1e-3'", "'true'", "é"]
)
def test_a_column_is_called_as_it_is_written(read, written):
    schema = read(("{name: price, kind", f"{{name: price, column: {written}, kind"))
    assert schema.feature("price").column == written.strip("'")


def test_a_word_that_older_yaml_takes_for_a_truth_value_is_a_name(read):
    schema = read(("name: price", "name: no"), ("name: shop, kind", "name: on, kind"), ("of: [shop,", "of: [on,"))
    assert [feature.name for feature in schema.features[2:4]] == ["no", "on"]


@pytest.mark.parametrize(("written", "number"), [("1e-3", 0.001), ("1E-3", 0.001), ("0.5", 0.5), (".5", 0.5), ("1_0e-3", 0.01)])
def test_fractions_are_read_as_people_mean(read, written, number):
    assert read(("given: click", f"prior: {written}")).stages[1].prior == number


@pytest.mark.parametrize(("written", "number"), [("1_000_000", 1_000_000), ("'3'", 3), ("1e3", 1000), ("007", 7), ("4.0", 4)])
def test_whole_numbers_are_read_as_people_mean(read, written, number):
    buckets = read(("buckets: 100", f"buckets: {written}")).feature("shop_item").buckets
    assert buckets == number
    assert type(buckets) is int


def test_a_filled_number_with_underscores_is_a_number(read):
    fill = read(("kind: numeric", "kind: numeric, missing: {fill: 1_000}")).feature("price").missing.fill
    assert fill == 1000
    assert type(fill) is int


def test_anchors_and_merges_are_followed(read):
    schema = read(
        ("  item: {dim: 4}\n", "  item: &t {dim: 4}\n  other: {<<: *t, min_count: 3}\n"), ("table: item}", "table: other}")
    )
    assert (schema.tables["other"].dim, schema.tables["other"].min_count) == (4, 3)


def test_a_table_with_nothing_after_it_has_the_defaults(read):
    assert read(("item: {dim: 4}", "item:")).tables["item"].dim is None


def test_a_byte_order_mark_and_windows_lines_change_nothing(read):
    assert read(text="\ufeff" + TEXT.replace("\n", "\r\n")) == read()


def test_a_mapping_reads_as_its_file_does(read):
    mapping = YAML(typ="safe", pure=True).load(TEXT)
    assert load_schema(mapping) == read()
    with pytest.raises(SchemaError, match=r"^schema stages\[0\]\.labl: got an unknown key"):
        load_schema(mapping | {"stages": [{"name": "click", "label": "click", "labl": 1}]})


def test_a_schema_is_returned_as_it_is(read):
    schema = read()
    assert load_schema(schema) is schema


OVERRIDES = {
    "train.epochs=3": lambda s: s.train.epochs == 3,
    "stages.buy.prior=1e-3": lambda s: s.stages[2].prior == 0.001,
    "stages.1.prior=0.5": lambda s: s.stages[1].prior == 0.5,
    "model.body.units=[4]": lambda s: s.model.body.units == (4,),
    "model.body.dropout=.5": lambda s: (s.model.body.kind, s.model.body.dropout) == ("shared_bottom", 0.5),
    "model.tower.units=[]": lambda s: s.model.tower.units == (),
    "train.optimizer.embedding.learning_rate=1": lambda s: s.train.optimizer.embedding.learning_rate == 1,
    "train.optimizer.dense=sgd": lambda s: s.train.optimizer.dense.kind == "sgd",
    "tables.item.dim=1_000": lambda s: s.tables["item"].dim == 1000,
    "features.price.column=110_14": lambda s: s.feature("price").column == "110_14",
    "features.shop_item.of.0=item_id": lambda s: s.feature("shop_item").of == ("item_id", "item_id"),
    "data.validation=null": lambda s: s.data.validation is None,
    "data.validation={kind: time, column: ts}": lambda s: s.data.validation.column == "ts",
    "data.facts.train=a=b.csv": lambda s: s.data.facts.train == "a=b.csv",
    "name= other ": lambda s: s.name == "other",
    " train.seed =7": lambda s: s.train.seed == 7,
}


@pytest.mark.parametrize("override", OVERRIDES)
@pytest.mark.parametrize("form", ["file", "mapping", "schema"])
def test_an_override_sets_its_value(read, tmp_path, override, form):
    schema = read()
    source = {"file": tmp_path / "a.yaml", "mapping": YAML(typ="safe").load(TEXT), "schema": schema}[form]
    before = copy.deepcopy(source)
    assert OVERRIDES[override](load_schema(source, [override]))
    assert source == before


def test_later_overrides_win(read, tmp_path):
    read()
    assert load_schema(tmp_path / "a.yaml", ["train.epochs=3", "train.epochs=4"]).train.epochs == 4


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("train.epochs", "expected one such as `train.epochs=3`"),
        ("=3", "expected one such as"),
        ("", "expected one such as"),
        ("train.epoch=3", "^--set train.epoch=3 train.epoch: got an unknown key .* Did you mean 'epochs'"),
        ("trian.epochs=3", "trian: got an unknown key .* Did you mean 'train'"),
        ("train.epochs=many", "train.epochs: got 'many', expected a whole number"),
        ("train.epochs=", "train.epochs: got nothing"),
        ("stages.by.prior=1", "'by' is not in the list .*Did you mean 'buy'"),
        ("stages.9.prior=1", "'9' is not in the list"),
        ("stages.-1.prior=1", "'-1' is not in the list"),
        ("features.shop_item.of.0.x=1", "'x' leads into 'shop', expected a mapping or a list"),
        ("name.x=1", "name: got a mapping"),
        ("train..epochs=1", "unknown key"),
        ("train.epochs=[1", "train.epochs: got '\\[1'"),
        ("train.epochs=0o9", "train.epochs: got '0o9'"),
        ("train.optimizer.embedding.learning_rate=-1", r"train\.optimizer\.embedding\.learning_rate: got -1, expected greater"),
        ("data.facts={}", "data.facts: got no `format`"),
        ("data.test=[1]", "^--set data.test=.1. data.test: got a list of 1, expected a mapping with some of .*'fraction'"),
    ],
)
def test_a_bad_override_is_a_schema_error(read, tmp_path, override, said):
    read()
    with pytest.raises(SchemaError, match=said):
        load_schema(tmp_path / "a.yaml", [override])


def test_a_dump_is_complete_and_reads_back(tmp_path, read, tree):
    for schema in (read(), load_schema(tree)):
        path = tmp_path / "dump.yaml"
        path.write_text(dump_schema(schema), encoding="utf-8")
        again = load_schema(path)
        assert again == schema
        assert again.model_dump() == schema.model_dump()
        assert dump_schema(again) == dump_schema(schema)
        assert "batch_size: 2048" in path.read_text(encoding="utf-8")


names = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=6) | st.sampled_from(
    [
        "no",
        "null",
        "~",
        "1e-3",
        "110_14",
        "0101",
        "2024-01-01",
        "a: b",
        "- x",
        "#",
        "\x01",
        "\r",
        "\u2028",
        "\x85",
        "\x7f",
        "'\"",
    ]
)


@given(
    columns=st.lists(names, min_size=3, max_size=5, unique=True),
    separator=st.characters(max_codepoint=127, exclude_characters='"\r\n'),
    others=st.lists(st.characters(exclude_categories=["Cs"]), min_size=3, max_size=3),
    bag=names,
)
def test_any_text_survives_a_dump(tmp_path_factory, columns, separator, others, bag):
    entry, field, value = others
    schema = load_schema(
        {
            "name": "a",
            "stages": [{"name": "click", "label": columns[0]}],
            "data": {
                "facts": {
                    "format": "feature_list",
                    "train": columns[1],
                    "columns": columns,
                    "list": columns[2],
                    "separator": separator,
                    "entry_separator": entry,
                    "field_separator": field,
                    "value_separator": value,
                }
            },
            "features": [{"name": "b", "kind": "bag", "column": "field", "separator": bag}],
        }
    )
    path = tmp_path_factory.mktemp("dump") / "a.yaml"
    path.write_bytes(dump_schema(schema).encode())
    assert load_schema(path) == schema


def leaves(node, path=()):
    """The paths of all parts."""
    yield path
    if isinstance(node, dict):
        for key, value in node.items():
            yield from leaves(value, (*path, key))
    elif isinstance(node, list):
        for position, value in enumerate(node):
            yield from leaves(value, (*path, position))


WORDS = ["click", "buy", "user", "item", "kind", "name", "csv", "feature_list", "bag", "cross", "fraction", "", "a\nb", "101"]
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.sampled_from(WORDS) | st.text(max_size=3) | st.dates(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(WORDS) | st.integers(), inner, max_size=3),
    max_leaves=5,
)


def mutated(tree, draw):
    tree = copy.deepcopy(tree)
    for _ in range(draw(st.integers(1, 3))):
        *path, last = draw(st.sampled_from([path for path in leaves(tree) if path]))
        node = tree
        for part in path:
            node = node[part]
        match draw(st.sampled_from(["set", "delete", "add", "twin"])):
            case "set":
                node[last] = draw(values)
            case "delete":
                del node[last]
            case "add" if isinstance(node, dict):
                node[draw(st.sampled_from([*WORDS, "source", "table", "weights", "missing", "buckets"]))] = draw(values)
            case _:
                if isinstance(node, list):
                    node.append(copy.deepcopy(node[last]))
    return tree


@pytest.mark.parametrize(
    "text", ["\x85", "\u2028", "\u2029", "\ufeff", "\xa0", "a\x85b", "\n", "\r\n", " a ", "\x00", "😀", "no", "1e-3", "~"]
)
def test_odd_text_survives_a_dump(tmp_path, tree, text):
    tree["features"][0]["column"] = text
    tree["data"]["dimensions"][0]["key"] = text
    schema = load_schema(tree)
    path = tmp_path / "a.yaml"
    path.write_bytes(dump_schema(schema).encode())
    assert load_schema(path).feature("item_id").column == text
    assert load_schema(path) == schema


@given(data=st.data())
def test_a_random_change_gives_a_funnel_or_a_clear_error(tmp_path_factory, data):
    base = YAML(typ="safe", pure=True).load(TEXT)
    tree = mutated(base, data.draw)
    path = tmp_path_factory.mktemp("mutated") / "a.yaml"
    yaml = YAML(typ="safe", pure=True)
    with path.open("w", encoding="utf-8") as file:
        yaml.dump(tree, file)
    for source in (tree, path):
        try:
            assert isinstance(load_schema(source), FunnelSchema)
        except SchemaError as error:
            assert str(error)  # noqa: PT017  # either outcome is right; an error has to be a clear one
            assert "pydantic" not in str(error)  # noqa: PT017
            assert "http" not in str(error)  # noqa: PT017
            start = f"{path}:" if isinstance(source, Path) else "schema"
            assert all(line.startswith(start) for line in str(error).splitlines())  # noqa: PT017
