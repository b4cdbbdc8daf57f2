# What type checkers read in place of __init__.py, whose names are resolved when they are used.
from funnel.ablation.ablate import ablate as ablate
from funnel.api import build as build
from funnel.api import dataset as dataset
from funnel.api import evaluate as evaluate
from funnel.api import export as export
from funnel.api import fit as fit
from funnel.api import importance as importance
from funnel.api import load as load
from funnel.api import predict as predict
from funnel.comparing import compare as compare
from funnel.data.prepare import prepare as prepare
from funnel.distribution.strategy import serve as serve
from funnel.doctor.check import check as check
from funnel.errors import ClusterError as ClusterError
from funnel.errors import DataError as DataError
from funnel.errors import DivergedError as DivergedError
from funnel.errors import FunnelError as FunnelError
from funnel.errors import RunError as RunError
from funnel.errors import SchemaError as SchemaError
from funnel.proposal.init import init as init
from funnel.reporting.draw import draw as draw
from funnel.reports import report as report
from funnel.schema.funnel_schema import FunnelSchema as FunnelSchema
from funnel.schema.reader import load_schema as load_schema
from funnel.simulation import simulate as simulate
from funnel.training.process import tune_allocator as tune_allocator
from funnel.training.process import tune_threads as tune_threads
from funnel.verification.verify import verify as verify

__version__: str
