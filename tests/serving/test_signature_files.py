"""What stands beside an export: the requests in it run as they stand, and it describes what the SavedModel is."""

from __future__ import annotations

import ast
import base64
import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, text_format
from tensorflow.core.framework import tensor_pb2

from funnel.model._keras import tf
from funnel.run import Run
from tests import shop
from tests.serving.exports import frames, run_of, signatures

SPECIAL = 'a "quoted"\\ \u00e9\'s id'


@pytest.fixture(scope="module")
def run() -> Run:
    tree = shop.tree() | {"scores": {"gmv": "buy * price", "old": "log(age) *\n buy"}}
    data = frames(0, 900)
    data["user"] = data["user"].with_columns(city=data["user"]["city"].replace("rome", SPECIAL))
    return run_of(tree, data)


@pytest.fixture(scope="module")
def folder(run: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run.export(tmp_path_factory.mktemp("files") / "shop")


@pytest.fixture(scope="module")
def served(folder: Path) -> Mapping[str, Any]:
    return signatures(folder)


@pytest.fixture(scope="module")
def described(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "assets.extra" / "signature.json").read_text(encoding="utf-8"))


def predict_request() -> Any:
    """TensorFlow Serving's message, of the same fields with the same numbers."""
    file = descriptor_pb2.FileDescriptorProto(name="predict_like.proto", package="t", syntax="proto3")
    file.dependency.append("tensorflow/core/framework/tensor.proto")
    spec = file.message_type.add(name="ModelSpec")
    spec.field.add(name="name", number=1, type=9, label=1)
    spec.field.add(name="signature_name", number=3, type=9, label=1)
    request = file.message_type.add(name="PredictRequest")
    request.field.add(name="model_spec", number=1, type=11, label=1, type_name=".t.ModelSpec")
    request.field.add(name="inputs", number=2, type=11, label=3, type_name=".t.PredictRequest.InputsEntry")
    entry = request.nested_type.add(name="InputsEntry")
    entry.options.map_entry = True
    entry.field.add(name="key", number=1, type=9, label=1)
    entry.field.add(name="value", number=2, type=11, label=1, type_name=".tensorflow.TensorProto")
    assert tensor_pb2.TensorProto.DESCRIPTOR.full_name == "tensorflow.TensorProto"  # in the same pool
    pool = descriptor_pool.Default()
    pool.AddSerializedFile(file.SerializeToString())
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("t.PredictRequest"))


def decoded(value: Any) -> Any:
    """A value of TensorFlow Serving's JSON."""
    if isinstance(value, list):
        return [decoded(one) for one in value]
    return base64.b64decode(value["b64"]) if isinstance(value, dict) else value


def test_it_describes_every_signature_that_there_is(described: dict[str, Any], served: Mapping[str, Any]) -> None:
    assert described["format"] == 1
    assert {*described["signatures"], *described["aliases"]} == set(served)
    for name, one in described["signatures"].items():
        specs = served[name].structured_input_signature[1]
        assert {field: (one["inputs"][field]["dtype"], len(one["inputs"][field]["shape"])) for field in one["inputs"]} == {
            field: (spec.dtype.name, len(spec.shape)) for field, spec in specs.items()
        }
        assert set(one["outputs"]) == set(served[name].structured_outputs)
    assert described["signatures"]["rank"]["inputs"]["age"]["shape"] == ["1"]
    assert described["signatures"]["rank"]["inputs"]["liked_weights"]["shape"] == ["1", "longest liked"]
    assert described["signatures"]["rank"]["inputs"]["item"]["shape"] == ["candidates"]
    assert described["signatures"]["predict"]["inputs"]["price"]["missing"] == "NaN: 1.5"
    assert described["signatures"]["predict"]["outputs"]["buy_given_click"]["meaning"] == "P(buy | click): the conditional"
    assert described["signatures"]["predict"]["outputs"]["old"]["meaning"].endswith("log(age) * buy; NaN where age is missing")
    assert "NaN" not in described["signatures"]["predict"]["outputs"]["gmv"]["meaning"]


@pytest.mark.parametrize("name", ["predict", "rank", "examples"])
def test_each_request_runs_as_it_stands_in_all_its_forms(
    described: dict[str, Any], served: Mapping[str, Any], name: str
) -> None:
    function, one = served[name], described["signatures"][name]
    assert one["rest"]["path"] == "/v1/models/shop:predict"
    assert one["rest"]["body"]["signature_name"] == name
    specs = function.structured_input_signature[1]
    by_rest = {field: tf.constant(decoded(value), specs[field].dtype) for field, value in one["rest"]["body"]["inputs"].items()}
    message = text_format.Parse(one["grpc"]["text_proto"], predict_request_class())
    assert (message.model_spec.name, message.model_spec.signature_name) == ("shop", name)
    by_grpc = {field: tf.constant(tf.make_ndarray(tensor)) for field, tensor in message.inputs.items()}
    found, other = function(**by_rest), function(**by_grpc)
    for column in function.structured_outputs:
        assert found[column].shape == (2,)
        assert np.isfinite(found[column]).all()
        np.testing.assert_array_equal(found[column], other[column])
    program = ast.parse(one["grpc"]["python"])
    stated = next(
        node.value for node in program.body if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "inputs"
    )
    values = {
        ast.literal_eval(key): ast.literal_eval(pair.elts[0]) for key, pair in zip(stated.keys, stated.values, strict=True)
    }
    for field, value in by_rest.items():
        np.testing.assert_array_equal(tf.constant(values[field], specs[field].dtype), value)


_CLASS: list[Any] = []


def predict_request_class() -> Any:
    if not _CLASS:
        _CLASS.append(predict_request())
    return _CLASS[0]()


def test_all_three_say_the_same_of_the_first_row(described: dict[str, Any], served: Mapping[str, Any]) -> None:
    first = {}
    for name, one in described["signatures"].items():
        specs = served[name].structured_input_signature[1]
        inputs = {f: tf.constant(decoded(value), specs[f].dtype) for f, value in one["rest"]["body"]["inputs"].items()}
        first[name] = {column: float(value[0]) for column, value in served[name](**inputs).items()}
    assert first["predict"] == pytest.approx(first["examples"], abs=1e-6)
    assert first["predict"] == pytest.approx(first["rank"], abs=1e-6)


def test_the_page_has_every_input_output_and_request(folder: Path, described: dict[str, Any]) -> None:
    page = (folder / "assets.extra" / "signature.md").read_text(encoding="utf-8")
    for name, one in described["signatures"].items():
        part = page.split(f"\n## {name}\n")[1].split("\n## ")[0]
        for field in [*one["inputs"], *one["outputs"], *one.get("parsed", ())]:
            assert f"| `{field}` |" in part
        assert one["grpc"]["python"] in part
        assert one["grpc"]["text_proto"] in part
        sent = part.split("-d '")[1].split("'\n```")[0].replace("'\\''", "'")
        assert json.loads(sent) == one["rest"]["body"]
    assert SPECIAL in json.loads(json.dumps(described["signatures"]["predict"]["rest"]["body"]["inputs"]["city"]))


def test_without_inputs_that_are_given_once_there_is_no_rank(tmp_path: Path) -> None:
    folder = run_of(shop.tree() | {"serving": {"once": []}}).export(tmp_path / "shop" / "3")
    assert folder == tmp_path / "shop" / "3"
    assert set(signatures(folder)) == {"serving_default", "predict", "examples"}
    assert "## rank" not in (folder / "assets.extra" / "signature.md").read_text()


def test_the_command_of_tensorflow_shows_and_runs_it(folder: Path, described: dict[str, Any], tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tensorflow.python.tools.saved_model_cli"]
    shown = subprocess.run([*command, "show", "--dir", folder, "--all"], capture_output=True, text=True, check=True).stdout
    for name in ("serving_default", "predict", "rank", "examples"):
        assert f"signature_def['{name}']" in shown
    inputs = described["signatures"]["rank"]["rest"]["body"]["inputs"]
    texts = [f"{name}={value!r}" for name, value in inputs.items()]
    arguments = ["--dir", folder, "--tag_set", "serve", "--signature_def", "rank", "--outdir", tmp_path]
    subprocess.run([*command, "run", *arguments, "--input_exprs", ";".join(texts)], capture_output=True, check=True)
    assert np.load(tmp_path / "buy.npy").shape == (2,)
