from __future__ import annotations

from typing import Any

import pytest

from funnel.errors import SchemaError
from funnel.schema.reader import dump_schema, load_schema
from funnel.schema.training import Adagrad, Adam, Checkpoints, KerasOptimizer, RowWiseAdagrad, Sgd


def trained(tree: dict[str, Any], **train: Any) -> Any:
    return load_schema(tree | {"train": train}).train


def test_what_is_not_said_is_adagrad_for_tables_adam_for_the_rest_and_a_checkpoint_each_ten_minutes(tree) -> None:
    train = trained(tree)
    assert train.optimizer.embedding == Adagrad(kind="adagrad", learning_rate=0.05, initial_accumulator=0.1)
    assert train.optimizer.dense == Adam(kind="adam", learning_rate=0.001, beta_1=0.9, beta_2=0.999)
    assert train.checkpoint == Checkpoints(minutes=10.0, steps=None, keep=2)
    assert train.profile is False


@pytest.mark.parametrize(
    ("declared", "expected"),
    [
        ("adagrad", Adagrad(kind="adagrad")),
        ("rowwise_adagrad", RowWiseAdagrad(kind="rowwise_adagrad", learning_rate=0.05, initial_accumulator=0.1)),
        ("adam", Adam(kind="adam")),
        ("sgd", Sgd(kind="sgd", momentum=0.0)),
        (
            {"kind": "rowwise_adagrad", "learning_rate": 1, "initial_accumulator": 2},
            RowWiseAdagrad(kind="rowwise_adagrad", learning_rate=1.0, initial_accumulator=2.0),
        ),
        ({"kind": "adam", "beta_1": 0, "beta_2": 0.5}, Adam(kind="adam", beta_1=0.0, beta_2=0.5)),
    ],
)
def test_tables_take_each_row_sparse_optimiser(tree, declared: Any, expected: Any) -> None:
    assert trained(tree, optimizer={"embedding": declared}).optimizer.embedding == expected


def test_the_rest_takes_any_optimiser_of_keras_with_its_options(tree) -> None:
    dense = {"kind": "keras", "name": "AdamW", "learning_rate": 0.5, "options": {"weight_decay": 0.004, "amsgrad": True}}
    found = trained(tree, optimizer={"dense": dense}).optimizer.dense
    assert found == KerasOptimizer(**dense)
    assert found.options == {"weight_decay": 0.004, "amsgrad": True}
    assert found.options["amsgrad"] is True
    whole = trained(tree, optimizer={"dense": {"kind": "keras", "name": "X", "options": {"steps": 3}}}).optimizer.dense
    assert isinstance(whole.options["steps"], int)
    plain = trained(tree, optimizer={"dense": {"kind": "keras", "name": "Lion"}}).optimizer.dense
    assert (plain.learning_rate, plain.options) == (0.001, {})


@pytest.mark.parametrize(
    ("train", "said"),
    [
        (
            {"optimizer": {"embedding": "rowwise"}},
            r"train\.optimizer\.embedding: got `kind: rowwise`.*Did you mean 'rowwise_adagrad'",
        ),
        ({"optimizer": {"embedding": {"kind": "keras", "name": "Lion"}}}, r"train\.optimizer\.embedding: got `kind: keras`"),
        ({"optimizer": {"dense": "rowwise_adagrad"}}, r"train\.optimizer\.dense: got `kind: rowwise_adagrad`"),
        ({"optimizer": {"dense": "keras"}}, r"train\.optimizer\.dense.*: got nothing, expected a value: it is required"),
        ({"optimizer": {"dense": {"kind": "keras", "name": "Lion", "option": {}}}}, r"dense\.option: .*Did you mean 'options'"),
        ({"optimizer": {"dense": {"kind": "keras", "name": "Lion", "options": {"beta_1": "x"}}}}, r"dense\.options\.beta_1: "),
        ({"optimizer": {"dense": {"kind": "keras", "name": "Lion", "learning_rate": 0}}}, r"dense\.learning_rate: got 0"),
        ({"optimizer": {"embedding": {"kind": "adam", "beta_2": 1}}}, r"embedding\.beta_2: got 1, expected less than 1"),
        ({"optimizer": {"embedding": {"kind": "rowwise_adagrad", "initial_accumulator": 0}}}, r"initial_accumulator: got 0"),
        ({"checkpoint": {"minutes": 0}}, r"train\.checkpoint\.minutes: got 0, expected greater than 0"),
        ({"checkpoint": {"steps": 0}}, r"train\.checkpoint\.steps: got 0"),
        ({"checkpoint": {"keep": 0}}, r"train\.checkpoint\.keep: got 0"),
        ({"checkpoint": {"minute": 3}}, r"train\.checkpoint\.minute: got an unknown key .*Did you mean 'minutes'"),
        ({"profile": 3}, r"train\.profile: got 3"),
    ],
)
def test_what_cannot_be_is_refused_by_its_path(tree, train: dict[str, Any], said: str) -> None:
    with pytest.raises(SchemaError, match=said):
        trained(tree, **train)


@pytest.mark.parametrize(
    ("declared", "expected"),
    [
        (None, None),
        ({}, Checkpoints()),
        ({"minutes": None, "steps": 3}, Checkpoints(minutes=None, steps=3, keep=2)),
        ({"minutes": 0.5, "keep": 9}, Checkpoints(minutes=0.5, steps=None, keep=9)),
    ],
)
def test_checkpoints_go_by_the_clock_by_steps_by_both_or_are_not_written(tree, declared: Any, expected: Any) -> None:
    assert trained(tree, checkpoint=declared).checkpoint == expected


def test_all_of_it_is_dumped_and_read_back(tree, tmp_path) -> None:
    schema = load_schema(
        tree
        | {
            "train": {
                "optimizer": {
                    "embedding": {"kind": "rowwise_adagrad", "initial_accumulator": 0.3},
                    "dense": {"kind": "keras", "name": "Lion", "options": {"amsgrad": True, "beta_1": 0.8}},
                },
                "checkpoint": {"minutes": None, "steps": 7},
                "profile": True,
            }
        }
    )
    (tmp_path / "dump.yaml").write_text(dump_schema(schema), encoding="utf-8")
    assert load_schema(tmp_path / "dump.yaml") == schema


def test_overrides_reach_them(tree) -> None:
    overrides = ["train.optimizer.dense={kind: keras, name: Nadam}", "train.checkpoint.steps=5", "train.profile=true"]
    train = load_schema(tree, overrides).train
    assert (train.optimizer.dense.name, train.checkpoint.steps, train.profile) == ("Nadam", 5, True)
