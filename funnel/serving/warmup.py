"""Requests that TensorFlow Serving plays to a version before it serves it, so that nobody's first request is slow.

The file is `assets.extra/tf_serving_warmup_requests`: a TFRecord of `tensorflow.serving.PredictionLog`. The package
tensorflow-serving-api has that message; of it no more is needed than is written down here, with the numbers of its fields in
`tensorflow_serving/apis/{model,predict,prediction_log}.proto` (version 2.21; fields keep their numbers).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from tensorflow.core.framework import resource_handle_pb2, tensor_pb2, tensor_shape_pb2, types_pb2

from funnel.model._keras import tf
from funnel.serving.inputs import Field
from funnel.serving.module import EXAMPLES, RANK
from funnel.serving.signatures import example_of

FILE = "tf_serving_warmup_requests"
ROWS, CANDIDATES = (1, 64), (1, 100)  # rows and candidates of the requests: what a batch's size brings about is done for both

_TEXT, _MESSAGE = descriptor_pb2.FieldDescriptorProto.TYPE_STRING, descriptor_pb2.FieldDescriptorProto.TYPE_MESSAGE
_ONE, _MANY = descriptor_pb2.FieldDescriptorProto.LABEL_OPTIONAL, descriptor_pb2.FieldDescriptorProto.LABEL_REPEATED
_PACKAGE = "tensorflow.serving"


def write_warmup(path: Path, model: str, fields: Sequence[Field], names: Sequence[str]) -> None:
    """Write the file.

    Args:
        path: Where.
        model: What the model is called.
        fields: The inputs, with values for examples.
        names: The signatures.
    """
    with tf.io.TFRecordWriter(str(path)) as writer:
        for name in names:
            for inputs in _requests(name, fields):
                writer.write(_log(model, name, inputs))


def _requests(signature: str, fields: Sequence[Field]) -> Iterator[dict[str, Any]]:
    """The inputs of each request: tensors as `tensorflow.TensorProto`."""
    for rows in CANDIDATES if signature == RANK else ROWS:
        if signature == EXAMPLES:
            yield {EXAMPLES: tf.make_tensor_proto([example_of(fields, row % 2) for row in range(rows)], tf.string, [rows])}
        else:
            once = 1 if signature == RANK else rows
            yield {field.name: _tensor(field, once if field.once else rows) for field in fields}


def _tensor(field: Field, rows: int) -> Any:
    return tf.make_tensor_proto([field.examples[row % len(field.examples)] for row in range(rows)], field.dtype)


def _log(model: str, signature: str, inputs: dict[str, Any]) -> bytes:
    log = prediction_log()()
    request = log.predict_log.request
    request.model_spec.name, request.model_spec.signature_name = model, signature
    for name, tensor in inputs.items():
        # The same message, of another pool.
        request.inputs[name].MergeFromString(tensor.SerializeToString())
    return bytes(log.SerializeToString(deterministic=True))


@cache
def prediction_log() -> Any:
    """The class of the message.

    It is in a pool of its own: in the common one it would be in the way of tensorflow-serving-api.
    """
    pool = descriptor_pool.DescriptorPool()
    for module in (types_pb2, tensor_shape_pb2, resource_handle_pb2, tensor_pb2):
        pool.AddSerializedFile(module.DESCRIPTOR.serialized_pb)
    pool.AddSerializedFile(_file().SerializeToString())
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{_PACKAGE}.PredictionLog"))


def _file() -> descriptor_pb2.FileDescriptorProto:
    file = descriptor_pb2.FileDescriptorProto(name="funnel/warmup.proto", package=_PACKAGE, syntax="proto3")
    file.dependency.append(tensor_pb2.DESCRIPTOR.name)
    spec = file.message_type.add(name="ModelSpec")
    spec.field.add(name="name", number=1, type=_TEXT, label=_ONE)
    spec.field.add(name="signature_name", number=3, type=_TEXT, label=_ONE)
    request = file.message_type.add(name="PredictRequest")
    _add_message(request, "model_spec", 1, "ModelSpec")
    _add_message(request, "inputs", 2, "PredictRequest.InputsEntry", label=_MANY)
    entry = request.nested_type.add(name="InputsEntry")
    entry.options.map_entry = True
    entry.field.add(name="key", number=1, type=_TEXT, label=_ONE)
    entry.field.add(
        name="value", number=2, type=_MESSAGE, label=_ONE, type_name=f".{tensor_pb2.TensorProto.DESCRIPTOR.full_name}"
    )
    _add_message(file.message_type.add(name="PredictLog"), "request", 1, "PredictRequest")
    _add_message(file.message_type.add(name="PredictionLog"), "predict_log", 6, "PredictLog")
    return file


def _add_message(to: Any, name: str, number: int, of: str, *, label: Any = _ONE) -> None:
    to.field.add(name=name, number=number, type=_MESSAGE, label=label, type_name=f".{_PACKAGE}.{of}")
