"""Multi-stage funnels: P(stage | the one before) and P(stage) for every impression, learnt over the entire space.

Names are resolved when first used: importing funnel does not import TensorFlow.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_WHERE = {
    "ablate": "funnel.ablation.ablate",
    "build": "funnel.api",
    "check": "funnel.doctor.check",
    "compare": "funnel.comparing",
    "dataset": "funnel.api",
    "draw": "funnel.reporting.draw",
    "evaluate": "funnel.api",
    "export": "funnel.api",
    "fit": "funnel.api",
    "importance": "funnel.api",
    "init": "funnel.proposal.init",
    "load": "funnel.api",
    "predict": "funnel.api",
    "prepare": "funnel.data.prepare",
    "report": "funnel.reports",
    "serve": "funnel.distribution.strategy",
    "verify": "funnel.verification.verify",
    "load_schema": "funnel.schema.reader",
    "simulate": "funnel.simulation",
    "tune_allocator": "funnel.training.process",
    "tune_threads": "funnel.training.process",
    "FunnelSchema": "funnel.schema.funnel_schema",
    "FunnelError": "funnel.errors",
    "ClusterError": "funnel.errors",
    "SchemaError": "funnel.errors",
    "DataError": "funnel.errors",
    "RunError": "funnel.errors",
    "DivergedError": "funnel.errors",
}
__all__ = [*_WHERE, "__version__"]  # noqa: PLE0604  # all are strings


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module 'funnel' has no attribute {name!r}")
    return getattr(import_module(_WHERE[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
