"""A program in C, built against the headers of TensorFlow's wheel, gets from an export what the run predicts."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tensorflow.core.protobuf import saved_model_pb2

from funnel.model._keras import tf
from funnel.run import Run
from tests import shop
from tests.serving.exports import ESM2, Rows, columns_of, frames, ranked, repeated, run_of

SOURCE = Path(__file__).with_name("conformance.c")


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    compiler = shutil.which("gcc")
    if compiler is None:
        pytest.skip("NOT RUN: install gcc to build a program against TensorFlow's C API")
    built = tmp_path_factory.mktemp("conformance") / "conformance"
    library = tf.sysconfig.get_lib()
    libraries = ["-l:libtensorflow_cc.so.2", "-l:libtensorflow_framework.so.2", f"-Wl,-rpath,{library}"]
    warnings = ["-std=c11", "-Wall", "-Wextra", "-Werror"]
    include = ["-isystem", tf.sysconfig.get_include()]
    done = subprocess.run(
        [compiler, *warnings, "-O1", *include, str(SOURCE), "-o", str(built), f"-L{library}", *libraries],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    return built


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, Path]:
    run = run_of(shop.tree() | {"stages": ESM2, "scores": {"gmv": "buy * price", "by_age": "log(1 + age) * click"}})
    return run, run.export(tmp_path_factory.mktemp("exported") / "shop")


def signature_of(export: Path, name: str) -> Any:
    model = saved_model_pb2.SavedModel.FromString((export / "saved_model.pb").read_bytes())
    return model.meta_graphs[0].signature_def[name]


def written(signature: Any, rows: Rows, path: Path) -> Path:
    """The request, as the program reads it."""
    with path.open("wb") as file:
        for name, tensor in signature.inputs.items():
            text = tensor.dtype == tf.string.as_datatype_enum
            values = np.array(rows[name], object if text else np.float32)
            sizes = " ".join(map(str, [values.ndim, *values.shape]))
            file.write(f"input {tensor.name} {'string' if text else 'float'} {sizes}\n".encode())
            for value in values.ravel().tolist():
                one = value.encode() if text else value.hex().encode()
                file.write(b"%d %s\n" % (len(one), one) if text else one + b"\n")
        for name, tensor in signature.outputs.items():
            file.write(f"output {tensor.name} {name}\n".encode())
    return path


def asked(program: Path, export: Path, request: Path) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"}
    return subprocess.run(
        [str(program), str(export), str(request)], capture_output=True, text=True, check=False, env=environment
    )


def answer(program: Path, export: Path, name: str, rows: Rows, folder: Path) -> Mapping[str, np.ndarray]:
    done = asked(program, export, written(signature_of(export, name), rows, folder / "request.txt"))
    assert done.returncode == 0, done.stderr[-2000:]
    lines = done.stdout.split("\n")
    found = {}
    while lines[0]:
        output, count = lines[0].split()
        values, lines = lines[1 : 1 + int(count)], lines[1 + int(count) :]
        found[output] = np.array([float.fromhex(value) for value in values])
    return found


def test_a_program_in_c_gets_what_the_run_predicts(program: Path, exported: tuple[Run, Path], tmp_path: Path) -> None:
    run, export = exported
    data = frames(1, 300)
    data["facts"] = data["facts"].with_columns(hour=data["facts"]["hour"].replace(3, 1003))  # never seen
    expected = run.predict({source: data[source] for source in run.schema.sources})
    found = answer(program, export, "predict", columns_of(run.schema, data), tmp_path)
    assert set(found) == set(expected)
    assert len({round(float(value), 4) for value in expected["buy"]}) > 100
    assert np.isnan(expected["by_age"]).any()
    for name, values in expected.items():
        np.testing.assert_allclose(found[name], values, atol=1e-6, rtol=1e-6, err_msg=name)


def test_it_ranks_too(program: Path, exported: tuple[Run, Path], tmp_path: Path) -> None:
    run, export = exported
    rows = columns_of(run.schema, frames(2, 50))
    plain = answer(program, export, "predict", repeated(run.schema, rows, 7), tmp_path)
    for name, values in answer(program, export, "rank", ranked(run.schema, rows, 7), tmp_path).items():
        np.testing.assert_allclose(values, plain[name], atol=1e-6, rtol=1e-6, err_msg=name)


def test_a_request_that_is_not_right_gets_the_message(program: Path, exported: tuple[Run, Path], tmp_path: Path) -> None:
    run, export = exported
    rows = columns_of(run.schema, frames(2, 50))
    request = written(signature_of(export, "predict"), rows | {"hour": rows["hour"][:49]}, tmp_path / "request.txt")
    done = asked(program, export, request)
    assert done.returncode == 1
    assert "hour 49" in done.stderr
    assert done.stdout == ""
