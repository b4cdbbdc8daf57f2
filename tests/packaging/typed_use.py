"""What a user's own code may look like: a type checker must find every call typed. It is checked, and never run."""

from pathlib import Path
from typing import assert_type

import funnel
from funnel.evaluation.importance import Importance
from funnel.evaluation.report import Report
from funnel.locations.location import Location
from funnel.run import Run
from funnel.schema.funnel_schema import FunnelSchema


def use(schema: FunnelSchema, folder: Path) -> None:
    assert_type(funnel.__version__, str)
    assert_type(funnel.load_schema("schema.yaml"), FunnelSchema)
    assert_type(schema.stage_names, tuple[str, ...])
    run = funnel.fit(schema, folder, out=folder / "run")
    assert_type(run, Run)
    assert_type(funnel.load(folder), Run)
    assert_type(run.evaluate(), Report)
    assert_type(run.evaluate().conditional["buy"].auc, float)
    assert_type(funnel.importance(run), Importance)
    assert_type(funnel.export(folder, "serving"), Location)
    try:
        funnel.check(schema)
    except funnel.SchemaError as error:
        assert_type(error, funnel.SchemaError)
    funnel.fit(schema, folder, epochs=3)  # type: ignore[call-arg]  # an unknown argument is found
