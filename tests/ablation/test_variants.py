from __future__ import annotations

import pytest

import funnel.ablation.variants as module
from funnel.ablation.variants import DEFAULT, NAMES, PAPER, chosen
from funnel.errors import SchemaError
from funnel.schema.objective import CUMULATIVE, KINDS
from funnel.schema.reader import load_schema
from tests import shop


def declared(objective=None, **model):
    tree = shop.tree()
    tree["model"] |= model
    return load_schema(tree | ({} if objective is None else {"objective": objective}))


def test_the_usual_list_is_the_papers_and_what_came_after() -> None:
    variants, left_out = chosen(declared(), None)
    assert tuple(variant.name for variant in variants) == DEFAULT
    assert (
        DEFAULT[:7]
        == tuple(PAPER)
        == ("parent_space-ns", "aman-ns", "oversampling-ns", "unbias-ns", "division-ns", "esmm-ns", "esmm")
    )
    assert DEFAULT[7:] == ("ips", "dr", "dcmt")
    assert not left_out
    assert [variant.title for variant in variants[5:8]] == ["ESMM-NS (esmm-ns)", "ESMM (esmm)", "ips"]


@pytest.mark.parametrize("name", NAMES)
def test_a_name_says_the_objective_and_whether_embeddings_are_shared(name) -> None:
    ((variant,), _) = chosen(declared(share_embeddings=False), [name])
    assert variant.schema.objective.kind == name.removesuffix("-ns")
    assert variant.schema.model.share_embeddings is not name.endswith("-ns")
    assert variant.schema.model.embedding_dim == 4  # the rest is as declared
    assert len(NAMES) == 2 * len(KINDS)


def test_the_declared_objective_keeps_its_options_and_others_the_weights() -> None:
    schema = declared({"kind": "aman", "rate": 0.5, "weights": {"buy": 3.0}})
    aman, esmm, dr = (variant.schema.objective for variant in chosen(schema, ["aman-ns", "esmm", "dr"])[0])
    assert (aman.rate, aman.weights) == (0.5, {"buy": 3.0})
    assert esmm.weights == dr.weights == {"buy": 3.0}
    assert dr.clip is None
    kinds = [
        variant.schema.objective for variant in chosen(declared({"kind": "esmm", "weights": "uncertainty"}), ["esmm", "ips"])[0]
    ]
    assert [one.weights for one in kinds] == ["uncertainty", {}]


def test_weights_that_an_objective_refuses_are_left_aside() -> None:
    # In ESMM the cumulative of buy teaches click; divided by a propensity that nothing teaches, it would not do.
    schema = declared({"kind": "esmm", "weights": {"click": 0.0}})
    esmm, parent_space, ips = (variant.schema.objective for variant in chosen(schema, ["esmm", "parent_space", "ips"])[0])
    assert esmm.weights == {"click": 0.0}
    assert parent_space.weights == ips.weights == {}


def test_what_does_not_go_with_the_schema_is_left_out_unless_it_was_asked_for(monkeypatch) -> None:
    real = module._with

    def refusing(schema, objective, *, shared):
        if objective["kind"] in ("unbias", "dr"):
            raise SchemaError(f"schema objective: {objective['kind']!r} does not go with this.")
        return real(schema, objective, shared=shared)

    monkeypatch.setattr(module, "_with", refusing)
    variants, left_out = chosen(declared(), None)
    assert [variant.name for variant in variants] == [name for name in DEFAULT if name not in ("unbias-ns", "dr")]
    assert left_out == {
        "unbias-ns": "schema objective: 'unbias' does not go with this.",
        "dr": "schema objective: 'dr' does not go with this.",
    }
    with pytest.raises(SchemaError, match=r"--objectives: dr does not go with this schema: schema objective: 'dr'"):
        chosen(declared(), ["esmm", "dr"])
    monkeypatch.setattr(module, "DEFAULT", ("dr",))
    with pytest.raises(SchemaError, match="got none that goes with this schema"):
        chosen(declared(), None)


def test_a_misspelt_name_is_answered_with_all_of_them() -> None:
    with pytest.raises(SchemaError) as caught:
        chosen(declared(), ["esmm", "emss-ns"])
    message = str(caught.value)
    assert message.startswith("--objectives: 'emss-ns' is no objective (have: 'esmm', ")
    assert all(repr(kind) in message for kind in KINDS)
    assert message.endswith("each also as NAME-ns, without shared embeddings). Did you mean 'esmm-ns'?")
    with pytest.raises(SchemaError, match="Correct the name"):
        chosen(declared(), ["xyz"])
    with pytest.raises(SchemaError, match="none was named"):
        chosen(declared(), [])


def test_a_name_twice_is_one_row_and_repeats_count_seeds_up() -> None:
    variants, _ = chosen(load_schema(declared(), ["train.seed=7"]), ["esmm", "esmm-ns", "esmm"])
    assert [variant.name for variant in variants] == ["esmm", "esmm-ns"]
    assert [variants[1].seeded(repeat).train.seed for repeat in range(3)] == [7, 8, 9]
    assert variants[1].seeded(2).model.share_embeddings is False


@pytest.mark.parametrize("name", NAMES)
def test_what_does_nothing_under_another_objective_is_left_aside(name) -> None:
    kind = name.removesuffix("-ns")
    ((stopped,), _) = chosen(declared(transfer="stop_gradient"), [name])
    assert stopped.schema.model.transfer.kind == ("stop_gradient" if stopped.schema.objective.cumulative else "none")
    assert stopped.schema.objective.cumulative == (kind in CUMULATIVE)
    held = {"kind": "aitm", "units": 3, "calibrator": 0.6, "stop_gradient": "all"}
    ((told,), _) = chosen(declared("division", transfer=held), [name])
    assert told.schema.model.transfer.model_dump() == held | {"calibrator": 0.6 if kind == "division" else 0.0}


def test_a_layer_of_the_user_s_own_is_found_where_the_schema_found_it(tmp_path) -> None:
    (tmp_path / "own.py").write_text("import tf_keras\nOwn = tf_keras.layers.Dense\n")
    tree = shop.tree()
    tree["model"]["body"] = {"kind": "custom", "layer": "own.py:Own", "config": {"units": 3}}
    one, other = chosen(load_schema(tree, folders=[tmp_path]), ["esmm", "dr"])[0]
    assert one.seeded(2).model.folders == other.schema.model.folders == (tmp_path,)
