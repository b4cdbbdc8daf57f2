"""Requests that can be sent as they are, to TensorFlow Serving: REST, gRPC from Python, and the message as text."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from typing import Any

from funnel.serving.signatures import Described, Signature


def rest(model: str, signature: Signature) -> dict[str, Any]:
    """A request of TensorFlow Serving's REST interface: columns by name."""
    inputs = {one.name: _as_json(one.example) for one in signature.inputs}
    return {
        "method": "POST",
        "path": f"/v1/models/{model}:predict",
        "body": {"signature_name": signature.name, "inputs": inputs},
    }


def text_proto(model: str, signature: Signature) -> str:
    """A `tensorflow.serving.PredictRequest`, as protocol buffers' text."""
    lines = ["model_spec {", f'  name: "{model}"', f'  signature_name: "{signature.name}"', "}"]
    for one in signature.inputs:
        lines += ["inputs {", f'  key: "{one.name}"', "  value {", *(f"    {line}" for line in _tensor(one)), "  }", "}"]
    return "\n".join(lines) + "\n"


def python(model: str, signature: Signature) -> str:
    """A program that sends the request by gRPC."""
    lines = [
        "import grpc",
        "import tensorflow as tf",
        "from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc  # pip install tensorflow-serving-api",
        "",
        "inputs = {",
        *(f"    {one.name!r}: {_as_python(one)}," for one in signature.inputs),
        "}",
        "request = predict_pb2.PredictRequest()",
        f"request.model_spec.name = {model!r}",
        f"request.model_spec.signature_name = {signature.name!r}",
        "for name, (values, dtype) in inputs.items():",
        "    request.inputs[name].CopyFrom(tf.make_tensor_proto(values, dtype))",
        'with grpc.insecure_channel("localhost:8500") as channel:',
        "    answer = prediction_service_pb2_grpc.PredictionServiceStub(channel).Predict(request, timeout=1.0)",
        "for name, tensor in answer.outputs.items():",
        "    print(name, tf.make_ndarray(tensor))",
    ]
    return "\n".join(lines) + "\n"


def curl(request: dict[str, Any]) -> str:
    """A REST request for a shell."""
    body = json.dumps(request["body"], ensure_ascii=False).replace("'", "'\\''")
    return f"curl -X {request['method']} http://localhost:8501{request['path']} -d '{body}'\n"


def _as_json(value: Any) -> Any:
    """Bytes, as TensorFlow Serving wants them in JSON."""
    if isinstance(value, list):
        return [_as_json(one) for one in value]
    return {"b64": base64.b64encode(value).decode("ascii")} if isinstance(value, bytes) else value


def _as_python(one: Described) -> str:
    return f"({one.example!r}, tf.{one.dtype})"


def _tensor(one: Described) -> Iterator[str]:
    """A TensorProto's lines."""
    sizes, values = [len(one.example)], one.example
    if isinstance(values[0], list):
        sizes.append(len(values[0]))
        values = [value for row in values for value in row]
    yield f"dtype: {'DT_STRING' if one.dtype == 'string' else 'DT_FLOAT'}"
    yield f"tensor_shape {{ {' '.join(f'dim {{ size: {size} }}' for size in sizes)} }}"
    for value in values:
        yield f'string_val: "{_escaped(value)}"' if one.dtype == "string" else f"float_val: {value!r}"


def _escaped(value: str | bytes) -> str:
    raw = value.encode() if isinstance(value, str) else value
    plain = set(range(32, 127)) - set(b"\"'\\")
    return "".join(chr(byte) if byte in plain else f"\\{byte:03o}" for byte in raw)
