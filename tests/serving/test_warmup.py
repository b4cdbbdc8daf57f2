"""The warm-up file, read with TensorFlow Serving's own messages: what it plays are requests that are answered."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from funnel.model._keras import tf
from funnel.run import Run
from funnel.serving.warmup import prediction_log
from tests import shop
from tests.serving.exports import run_of, signatures

REASON = "NOT RUN: install the extra `test`, which has tensorflow-serving-api, to read the file with its messages"


@pytest.fixture(scope="module")
def run() -> Run:
    return run_of(shop.tree())


@pytest.fixture(scope="module")
def export(run: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run.export(tmp_path_factory.mktemp("warm") / "shop")


def records(folder: Path) -> list[bytes]:
    path = folder / "assets.extra" / "tf_serving_warmup_requests"
    return [record.numpy() for record in tf.data.TFRecordDataset(str(path))]


@pytest.fixture(scope="module")
def requests(export: Path) -> list[Any]:
    apis = pytest.importorskip("tensorflow_serving.apis.prediction_log_pb2", reason=REASON)
    logs = [apis.PredictionLog.FromString(record) for record in records(export)]
    assert {log.WhichOneof("log_type") for log in logs} == {"predict_log"}
    return [log.predict_log.request for log in logs]


def rows_of(request: Any, name: str) -> int:
    return int(request.inputs[name].tensor_shape.dim[0].size)


def test_every_signature_is_warmed_with_one_row_and_with_many(requests: list[Any]) -> None:
    one = {"serving_default": "hour", "predict": "hour", "rank": "hour", "examples": "examples"}
    found = Counter(
        (request.model_spec.signature_name, rows_of(request, one[request.model_spec.signature_name])) for request in requests
    )
    few, many = ({(name, count) for name in one if name != "rank"} for count in (1, 64))
    assert set(found) == few | many | {("rank", 1), ("rank", 100)}
    assert set(found.values()) == {1}
    assert {request.model_spec.name for request in requests} == {"shop"}
    assert {rows_of(request, "age") for request in requests if request.model_spec.signature_name == "rank"} == {1}


def test_they_are_answered(requests: list[Any], export: Path) -> None:
    served = signatures(export)
    for request in requests:
        inputs = {name: tf.constant(tf.make_ndarray(tensor)) for name, tensor in request.inputs.items()}
        outputs = served[request.model_spec.signature_name](**inputs)
        rows = max(rows_of(request, name) for name in request.inputs)
        for name, values in outputs.items():
            assert values.shape == [rows], name
            assert np.isfinite(values.numpy()).all(), name


def test_the_message_is_a_part_of_the_real_one() -> None:
    """Fields of the same names, numbers and types, so that what is not written down here is only left out."""
    apis = pytest.importorskip("tensorflow_serving.apis.prediction_log_pb2", reason=REASON)

    def same(ours: Any, real: Any) -> int:
        count = 0
        for field in ours.fields:
            other = real.fields_by_name[field.name]
            assert (field.number, field.type, field.is_repeated) == (other.number, other.type, other.is_repeated), (
                field.full_name
            )
            count += 1
            if field.message_type is not None and ours.full_name != "tensorflow.TensorProto":
                assert field.message_type.full_name == other.message_type.full_name
                count += same(field.message_type, other.message_type)
        return count

    assert same(prediction_log().DESCRIPTOR, apis.PredictionLog.DESCRIPTOR) > 8


def test_it_is_the_same_each_time(run: Run, export: Path, tmp_path: Path) -> None:
    assert records(run.export(tmp_path / "again")) == records(export)
