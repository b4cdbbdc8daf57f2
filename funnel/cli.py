"""The command line: each verb reads its flags, calls the library, and says what happened. Only this and `terminal` print."""

from __future__ import annotations

import json
import os
import shlex
import signal
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from funnel import completion
from funnel.errors import FunnelError
from funnel.locations.location import Location, location
from funnel.proposal_screen import asker, show_proposal
from funnel.report_screen import show_importance, show_report
from funnel.terminal import Screen, show_checkup, show_cost, show_part, show_store
from funnel.verification_screen import show_verification

if TYPE_CHECKING:
    from funnel.evaluation.report import Report
    from funnel.schema.funnel_schema import FunnelSchema

app = typer.Typer(
    help="Model the steps people take: P(buy | click) and P(buy) for every impression, declared in one YAML file. "
    "Wherever a path is taken, so is a URL: s3://bucket/logs.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

SchemaFile = Annotated[
    str,
    typer.Argument(metavar="SCHEMA", help="The YAML file that declares the funnel.", autocompletion=completion.schema_files),
]
RunFolder = Annotated[
    str, typer.Argument(metavar="RUN", help="A folder that `funnel fit` wrote.", autocompletion=completion.run_folders)
]
DataFolder = Annotated[str | None, typer.Option("--data", metavar="DIR", help="Folder with the data, in place of data.root.")]
Overrides = Annotated[list[str] | None, typer.Option("--set", metavar="PATH=VALUE", help="Override the schema: train.epochs=3")]
AsJson = Annotated[bool, typer.Option("--json", help="Answer in JSON, for machines.")]
StoreFolder = Annotated[
    str | None, typer.Option("--store", metavar="STORE", help="Folder for the encoded rows [stores/NAME-...].")
]
Slices = Annotated[
    list[str] | None,
    typer.Option(
        "--slice",
        metavar="FEATURE",
        help="Judge the rows of each of its values, too; repeat.",
        # What stands before the option whose value is asked for is not told apart yet.
        autocompletion=lambda ctx, incomplete: completion.features(ctx.args, incomplete),
    ),
]
TruthFile = Annotated[
    str | None, typer.Option("--truth", metavar="FILE", help="Parquet of true probabilities, as `simulate` writes it.")
]


def _split_flag(about: str) -> Any:
    return typer.Option("--split", metavar="train|test", help=about, autocompletion=completion.splits)


SplitName = Annotated[str, _split_flag("Which rows of the folder.")]


INTERRUPTED = 130  # what Typer makes of Ctrl-C


class Stopped(SystemExit):
    """A command was interrupted, and has said what it left."""


def main() -> None:
    """Run a command; a user's mistake becomes one message and the exit code 1."""
    try:
        app(prog_name="funnel")  # also as `python -m funnel`
    except FunnelError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)
    except SystemExit as exit_:
        if exit_.code == INTERRUPTED and not isinstance(exit_, Stopped):
            print("stopped; nothing was left behind", file=sys.stderr)
        raise
    except BrokenPipeError:
        # Whoever read our answer has left: also when the interpreter closes the stream.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)


def _say_versions(asked: bool) -> None:
    if asked:
        from funnel.versions import versions

        print("\n".join(f"{name} {version}" for name, version in versions().items()))
        raise typer.Exit


@app.callback()
def options(
    _version: Annotated[
        bool,
        typer.Option("--version", callback=_say_versions, is_eager=True, help="Say which versions are installed, and exit."),
    ] = False,
) -> None:
    """What comes before a verb."""


@app.command()
def init(
    data: Annotated[
        list[str] | None, typer.Option("--data", metavar="FILES", help="Files or folders with the rows: csv, tsv, parquet.")
    ] = None,
    more: Annotated[list[str] | None, typer.Argument(metavar="[FILES]...", help="More of them.", show_default=False)] = None,
    stages: Annotated[
        str | None, typer.Option("--stages", metavar="A,B,...", help="The columns of 0 and 1 that are the stages, in order.")
    ] = None,
    name: Annotated[
        str | None, typer.Option("--name", metavar="NAME", help="What the funnel is called [the files' name].")
    ] = None,
    out: Annotated[str, typer.Option("--out", metavar="SCHEMA", help="The YAML file to write.")] = "schema.yaml",
    yes: Annotated[bool, typer.Option("--yes", help="Ask nothing: take what is proposed.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace the file where it is there.")] = False,
) -> None:
    """Propose a schema for files. It is checked on their rows; on a terminal, what is not sure is asked."""
    given = [*(data or ()), *(more or ())]
    if not given:
        raise typer.BadParameter("got no files, expected some with rows", param_hint="--data")
    from funnel.proposal.asking import silent
    from funnel.proposal.init import init as init_

    screen = Screen(quiet=False)
    ask = silent if yes or not (sys.stdin.isatty() and sys.stdout.isatty()) else asker(screen)
    named = None if stages is None else [stage.strip() for stage in stages.split(",") if stage.strip()]
    with screen:
        found = init_(given, named, name=name, out=out, force=force, ask=ask, watch=screen.watch)
    show_proposal(found)
    print(f"{out}: {_headline(out, found.schema).partition(': ')[2]}; read it through, then: funnel fit {shlex.quote(out)}")


@app.command()
def check(
    schema: SchemaFile,
    data: DataFolder = None,
    draw: Annotated[
        str | None,
        typer.Option("--draw", metavar="FILE", help="Draw the schema into an .svg file; rows are read only with --data."),
    ] = None,
    overrides: Overrides = None,
    as_json: AsJson = False,
) -> None:
    """Look for what is wrong with the rows. Before any training; the exit code is 1 where there are errors."""
    if draw is not None:
        from funnel.reporting.draw import draw as draw_

        drawn = draw_(schema, draw, overrides or ())
        if data is None:
            text = f"drawn: {drawn}; no rows were looked at: for that, give `--data DIR`"
            print(json.dumps({"drawn": str(drawn)}) if as_json else text)
            return
        print(f"drawn: {drawn}", file=sys.stderr if as_json else sys.stdout)
    from funnel.doctor.check import check as check_
    from funnel.schema.learnt import hashes
    from funnel.schema.reader import load_schema

    declared = load_schema(schema, overrides or ())
    if hashes(declared):
        _load_tensorflow()
    screen = Screen(quiet=as_json)
    screen.say(_headline(schema, declared))
    with screen:
        found = check_(schema, data, overrides or (), watch=screen.watch)
    if as_json:
        print(json.dumps(found.as_dict(), indent=1))
    else:
        validation = declared.data.validation
        held = ", those held out for validation among them" if validation is not None and validation.kind != "file" else ""
        print(f"data: {found.data}{_simulated(found.data)}: {found.rows:,} training rows{held}")
        show_checkup(found)
    if not found.ok:
        raise typer.Exit(1)


@app.command()
def prepare(
    schema: SchemaFile,
    data: DataFolder = None,
    out: Annotated[str | None, typer.Option("--out", metavar="STORE", help="Folder for the store [stores/NAME-...].")] = None,
    verify: Annotated[
        bool, typer.Option("--verify", help="Compare the files' whole content, not size, time and a sample.")
    ] = False,
    shard: Annotated[
        str | None,
        typer.Option(
            "--shard", metavar="I/N", help="On one of N machines: read the I-th portion, into --out [STORE.parts]/I-of-N."
        ),
    ] = None,
    merge: Annotated[
        list[str] | None,
        typer.Option(
            "--merge", metavar="PARTS", help="Make the store of all N parts: the folder around them, or each; repeat."
        ),
    ] = None,
    overrides: Overrides = None,
    as_json: AsJson = False,
) -> None:
    """Encode the rows into a store. A fit then finds it; nothing is done where one is there already."""
    from funnel.data.origin import origin_of
    from funnel.data.prepare import default_store
    from funnel.data.prepare import prepare as prepare_
    from funnel.schema.learnt import hashes
    from funnel.schema.reader import load_schema

    declared = load_schema(schema, overrides or ())
    if hashes(declared):
        _load_tensorflow()
    origin = origin_of(declared, data, schema)
    folder = location(out) if out else default_store(declared, origin)
    screen = Screen(quiet=as_json)
    screen.say(f"data: {origin}{_simulated(origin.root)}")
    if shard is not None:
        around = out or folder.with_name(f"{folder.name}.parts")
        with screen:
            part = prepare_(declared, origin, around, shard=shard, merge=merge or (), verify=verify, watch=screen.watch)
        if as_json:
            print(json.dumps({"part": str(part), **part.manifest}, indent=1))
            return
        show_part(part.manifest)
        print(f"part: {part}")
        print(f"when all {part.portion.of} are there, `--merge {shlex.quote(str(around))}` makes the store of them")
        return
    with screen:
        store = prepare_(declared, origin, folder, merge=merge or (), verify=verify, watch=screen.watch)
    if as_json:
        print(json.dumps({"store": str(folder), **store.manifest}, indent=1))
        return
    show_store(store.manifest)
    print(f"store: {folder}")


@app.command()
def fit(
    schema: SchemaFile,
    data: DataFolder = None,
    out: Annotated[
        str | None, typer.Option("--out", metavar="RUN", help="New folder for the run [runs/NAME; if taken, NAME-2, ...].")
    ] = None,
    store: StoreFolder = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with a fit that was stopped, from its checkpoint.")] = False,
    warm: Annotated[
        str | None, typer.Option("--from", metavar="RUN", help="Start from a run's weights; known ids keep their rows.")
    ] = None,
    wait: Annotated[float, typer.Option(min=0, metavar="SECONDS", help="How long to wait for the others of TF_CONFIG.")] = 600,
    overrides: Overrides = None,
    as_json: AsJson = False,
) -> None:
    """Train, judge, and write a run folder. Training rows teach the funnel, test rows judge it.

    Where TF_CONFIG describes a cluster, run the same command in each of its processes.
    """
    from funnel.distribution.cluster import cluster_of, kind_of, serves
    from funnel.schema.reader import load_schema
    from funnel.training.process import tune_allocator, tune_threads
    from funnel.training.workspace import Workspace, latest

    declared = load_schema(schema, overrides or ())
    cluster = cluster_of()
    if serves(kind_of(declared.train.strategy, cluster), cluster):
        _serve(wait)
        return
    usual = Path("runs") / declared.name
    folder = location(out) if out else latest(usual) if resume else _free(usual)
    tune_allocator()
    tune_threads(declared)
    screen = Screen(quiet=as_json, epochs=declared.train.epochs)
    screen.say(_headline(schema, declared))
    losses = "; ".join(f"{name} over {space}" for name, space in declared.loss_spaces.items())
    screen.say(f"objective {declared.objective.kind}: {losses}")
    _load_tensorflow()
    from funnel.api import fit as fit_
    from funnel.data.origin import origin_of
    from funnel.data.prepare import default_store
    from funnel.run import base_of

    origin = origin_of(declared, data, schema)
    screen.say(f"data: {origin}{_simulated(origin.root)}")
    kept = store or default_store(declared, origin, None if warm is None else base_of(warm, declared))
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        with screen:
            run = fit_(
                declared, origin, out=folder, store=kept, resume=resume, warm_start=warm, watch=screen.watch, patience=wait
            )
    except KeyboardInterrupt:
        if not Workspace(folder).path.exists():
            raise
        print(f"stopped; `--resume --out {shlex.quote(str(folder))}` goes on from the checkpoint", file=sys.stderr)
        raise Stopped(INTERRUPTED) from None
    screen.conclude()
    if cluster is not None and not cluster.is_chief:
        screen.say(f"{cluster.name}: done; the run is where the leading process writes it")
        return
    if as_json:
        print(json.dumps({"run": str(folder), "metrics": run.metrics}, indent=1))
        return
    for split, metrics in run.metrics.items():
        show_report(metrics, f"{split} rows")
    print(f"run: {folder}")


@app.command()
def ablate(
    schema: SchemaFile,
    objectives: Annotated[
        str | None,
        typer.Option(
            "--objectives",
            metavar="A,B,...",
            help="The rows, in order, each maybe with -ns (no shared embeddings).",
            autocompletion=completion.objectives,
        ),
    ] = None,
    repeats: Annotated[int, typer.Option(min=1, help="Fits of each, with a seed of its own.")] = 10,
    data: DataFolder = None,
    out: Annotated[str | None, typer.Option("--out", metavar="DIR", help="Folder for the fits [ablations/NAME].")] = None,
    store: StoreFolder = None,
    overrides: Overrides = None,
    as_json: AsJson = False,
) -> None:
    """Compare objectives on the test rows. Each is fitted with several seeds; the same command goes on where it was stopped."""
    from funnel.ablation_screen import AblationScreen, show_ablation
    from funnel.schema.reader import load_schema
    from funnel.training.process import tune_allocator, tune_threads

    declared = load_schema(schema, overrides or ())
    tune_allocator()
    tune_threads(declared)
    screen = AblationScreen(quiet=as_json)
    screen.say(_headline(schema, declared))
    _load_tensorflow()
    from funnel.ablation.ablate import ablate as ablate_
    from funnel.ablation.ablate import default_out
    from funnel.data.origin import origin_of
    from funnel.data.prepare import default_store

    origin = origin_of(declared, data, schema)
    screen.say(f"data: {origin}{_simulated(origin.root)}")
    folder, kept = location(out) if out else default_out(declared), store or default_store(declared, origin)
    names = None if objectives is None else [name.strip() for name in objectives.split(",") if name.strip()]
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        with screen:
            made = ablate_(declared, origin, objectives=names, repeats=repeats, out=folder, store=kept, watch=screen.watch)
    except KeyboardInterrupt:
        print(f"stopped; the same command goes on from what is in {shlex.quote(str(folder))}", file=sys.stderr)
        raise Stopped(INTERRUPTED) from None
    if as_json:
        print(json.dumps(made.as_dict(), indent=1))
        return
    show_ablation(made)
    print(f"table and plot: {folder / 'ablation.md'}")


@app.command()
def evaluate(
    run: RunFolder,
    data: DataFolder = None,
    split: SplitName = "test",
    slices: Slices = None,
    truth: TruthFile = None,
    as_json: AsJson = False,
) -> None:
    """Judge a run on rows with labels."""
    rows = _split(split)
    _require_run(run)
    _load_tensorflow()
    from funnel.api import load

    loaded = load(run)
    report: Report = loaded.evaluate(data, rows, slices=slices or (), truth=truth)
    if as_json:
        print(json.dumps(report.as_dict(), indent=1))
    else:
        root = data or loaded.schema.data.root
        print(f"data: {root}{_simulated(root)}")
        show_report(report.as_dict(), f"{split} rows")


@app.command()
def importance(
    run: RunFolder,
    data: DataFolder = None,
    split: SplitName = "test",
    rows: Annotated[int, typer.Option(min=1, metavar="N", help="How many rows, at most; drawn at random.")] = 20_000,
    repeats: Annotated[int, typer.Option(min=1, metavar="N", help="How often each feature's values are dealt out.")] = 3,
    as_json: AsJson = False,
) -> None:
    """Say how much each feature matters. That is what is lost when its values are dealt out anew. The report shows it."""
    rows_of = _split(split)
    _require_run(run)
    _load_tensorflow()
    from funnel.api import importance as importance_
    from funnel.run_files import IMPORTANCE

    screen = Screen(quiet=as_json)
    with screen:
        found = importance_(run, data, rows_of, rows=rows, repeats=repeats, watch=screen.watch).as_dict()
    if as_json:
        print(json.dumps(found, indent=1))
        return
    print(f"data: {found['data']}{_simulated(found['data'])}")
    show_importance(found)
    print(f"kept for the report: {location(run) / IMPORTANCE}")


@app.command()
def report(
    runs: Annotated[
        list[str],
        typer.Argument(
            metavar="RUN", help="A run; or several, to be compared to the first.", autocompletion=completion.run_folders
        ),
    ],
    data: DataFolder = None,
    split: Annotated[str | None, _split_flag("Which rows of the folder [test].")] = None,
    slices: Slices = None,
    truth: TruthFile = None,
    out: Annotated[
        str | None, typer.Option("--out", metavar="FILE", help="The HTML file [RUN/report.html, RUN/comparison.html].")
    ] = None,
    plots: Annotated[
        str | None, typer.Option("--plots", metavar="DIR", help="Also write each chart, as PNG and SVG, into this folder.")
    ] = None,
) -> None:
    """Write a page about a run, or several. One HTML file; several are compared on the same rows; other rows with --data."""
    from funnel.reports import report as report_

    rows = _split(split)
    if len(runs) > 1 or data or rows or slices or truth:
        _load_tensorflow()
    print(f"report: {report_(runs, out, data=data, split=rows, slices=slices or (), truth=truth, plots=plots)}")
    if plots is not None:
        print(f"charts: {plots}")


@app.command()
def predict(
    run: RunFolder,
    out: Annotated[str, typer.Option("--out", metavar="FILE", help="New .parquet or .csv file.")],
    data: DataFolder = None,
    split: Annotated[str | None, _split_flag("Which rows of the folder [test; all, where no files hold it].")] = None,
    logits: Annotated[
        bool, typer.Option("--logits", help="Add the logits, which tell more: buy_logit, buy_given_click_logit.")
    ] = False,
) -> None:
    """Write the probabilities of every row. They are conditional and cumulative, and every declared score is with them."""
    rows_of = _split(split)
    _require_run(run)
    _load_tensorflow()
    import numpy as np

    from funnel.api import load, write_predictions

    loaded = load(run)
    root = data or loaded.schema.data.root
    print(f"data: {root}{_simulated(root)}")
    found = loaded.predict(data, rows_of, logits=logits)
    write_predictions(found, out)
    rows = len(next(iter(found.values())))
    empty = int(np.all([np.isnan(column) for column in found.values()], axis=0).sum())
    others = f"; {empty:,} of them are empty: rows of the other split, or that cannot be used" if empty else ""
    print(f"{out}: {rows:,} rows of {', '.join(found)}{others}")


@app.command()
def export(
    run: RunFolder,
    out: Annotated[
        str, typer.Option("--out", metavar="DIR[/VERSION]", help="New version: DIR/3, or the next one in DIR, from DIR/1.")
    ],
    tables: Annotated[
        str,
        typer.Option(
            "--tables",
            metavar="float32|float16|int8",
            help="What embeddings are stored as; int8 has a scale a row.",
            autocompletion=completion.table_kinds,
        ),
    ] = "float32",
    min_count: Annotated[
        int | None,
        typer.Option("--min-count", metavar="N", help="Ids in fewer training rows are not stored, but served as unknown ones."),
    ] = None,
    data: DataFolder = None,
    split: SplitName = "test",
) -> None:
    """Write a SavedModel for raw values. It needs only TensorFlow. What smaller tables cost is measured on --data."""
    rows_of, kind = _split(split), _kind(tables)
    _require_run(run)
    _load_tensorflow()
    from funnel.api import export as export_
    from funnel.serving.export import COST_PAGE, SIGNATURE_PAGE
    from funnel.serving.saved import COST_JSON, EXTRA

    written = export_(run, out, tables=kind, min_count=min_count, data=data, split=rows_of)
    print(f"{written}: a SavedModel with the vocabularies inside")
    if tables != "float32" or min_count is not None:
        show_cost(json.loads((written / EXTRA / COST_JSON).read_text(encoding="utf-8")))
        print(f"what the smaller tables cost: {written / EXTRA / COST_PAGE}")
    print(f"its signatures, with requests to send: {written / EXTRA / SIGNATURE_PAGE}")


@app.command()
def verify(
    export: Annotated[str, typer.Argument(metavar="EXPORT", help="What `funnel export` wrote: a version, or their folder.")],
    run: Annotated[str, typer.Option("--run", metavar="RUN", help="The run that it is of.")],
    data: DataFolder = None,
    split: SplitName = "test",
    rows: Annotated[int, typer.Option(min=1, metavar="N", help="How many rows, at most.")] = 100_000,
    tolerance: Annotated[float, typer.Option(min=0, metavar="T", help="How large a difference may be.")] = 1e-6,
    as_json: AsJson = False,
) -> None:
    """Send raw rows through an export. A process with TensorFlow alone takes them; the exit code is 1 where it differs."""
    rows_of = _split(split)
    _require_run(run)
    _load_tensorflow()
    from funnel.verification.verify import verify as verify_

    screen = Screen(quiet=as_json)
    with screen:
        found = verify_(export, run, data, rows_of, rows=rows, tolerance=tolerance, watch=screen.watch)
    if as_json:
        print(json.dumps(found.as_dict(), indent=1))
    else:
        print(f"{found.export} against {found.run}; data: {found.data}{_simulated(found.data)}")
        show_verification(found)
    if not found.passed:
        raise typer.Exit(1)


@app.command()
def simulate(
    schema: SchemaFile,
    out: Annotated[str, typer.Option("--out", metavar="DIR", help="Folder for the files and their truth.")],
    impressions: Annotated[int, typer.Option(min=1, help="Training rows, before they are sampled.")] = 100_000,
    test_impressions: Annotated[int | None, typer.Option(min=1, help="Test rows [a fifth].")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Equal seeds give equal rows.")] = 0,
    selection: Annotated[
        float, typer.Option(metavar="S", help="How strongly the rows that reach later stages are selected: 0 not, 4 strongly.")
    ] = 1.0,
    unknown: Annotated[
        float, typer.Option(metavar="SHARE", help="Share of null labels, of stages that are given another one.")
    ] = 0.0,
    overrides: Overrides = None,
) -> None:
    """Draw rows for a schema from a known truth. Both are written."""
    from funnel.simulation import simulate as simulate_

    made = simulate_(
        schema, out, impressions, test_impressions, seed, selection=selection, unknown=unknown, overrides=overrides or ()
    )
    print(f"{out}: simulated rows for {schema}, the true probabilities in {location(out) / 'truth'}")
    for line in made.lines():
        print(f"  {line}")


@app.command()
def schema() -> None:
    """Print the JSON Schema of schema files. It has every key, its type, and what it means."""
    from funnel.schema.json_schema import json_schema

    print(json_schema(), end="")


def _serve(wait: float) -> None:
    """Be a parameter server, or one of its workers, until the chief ends."""
    from funnel.distribution.cluster import cluster_of

    print(f"{cluster_of()}: serves until the chief ends", flush=True)
    _load_tensorflow()
    from funnel.distribution.strategy import serve

    signal.signal(signal.SIGTERM, _interrupt)
    serve(wait, lambda text: print(text, flush=True))
    print("the chief has ended", flush=True)


def _load_tensorflow() -> None:
    """Import TensorFlow without its remarks about the machine, which are no part of our answer."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    sys.stderr.flush()
    kept = os.dup(2)
    with tempfile.TemporaryFile() as remarks:
        # They are written before its log level is read, by C++, past sys.stderr.
        os.dup2(remarks.fileno(), 2)
        try:
            from funnel.model._keras import tf

            tf.config.list_physical_devices()
            # What it says of tracing is no part of our answer, either.
            tf.get_logger().setLevel("ERROR")
        except BaseException:
            os.dup2(kept, 2)
            remarks.seek(0)
            sys.stderr.write(remarks.read().decode(errors="replace"))
            raise
        finally:
            os.dup2(kept, 2)
            os.close(kept)


def _require_run(run: str) -> None:
    """A wrong path is told at once, not after TensorFlow was waited for."""
    from funnel.run_files import MANIFEST, SCHEMA, require_files

    place = location(run)
    if isinstance(place, Path):
        require_files(place, (SCHEMA, MANIFEST))


def _headline(path: str, schema: FunnelSchema) -> str:
    """What a command is about to work on."""
    return f"{path}: {' -> '.join([schema.space, *schema.stage_names])}, {len(schema.features)} features"


def _simulated(root: str | Location | None) -> str:
    from funnel.data.origin import is_simulated

    return " (simulated)" if root is not None and is_simulated(root) else ""


def _split(split: str | None) -> Any:
    if split not in ("train", "test", None):
        raise typer.BadParameter(f"got {split!r}, expected train or test", param_hint="--split")
    return split


def _kind(tables: str) -> Any:
    if tables not in ("float32", "float16", "int8"):
        raise typer.BadParameter(f"got {tables!r}, expected float32, float16 or int8", param_hint="--tables")
    return tables


def _interrupt(*_: object) -> None:
    """A polite request to end, as of a cluster that needs the machine, is taken as Ctrl-C is."""
    raise KeyboardInterrupt


def _free(path: Path) -> Path:
    """The path, or the first of path-2, path-3, ... where there is neither a run nor a fit that was stopped."""
    from funnel.training.workspace import Workspace

    count, free = 1, path
    while free.exists() or Workspace(free).path.exists():
        count += 1
        free = path.with_name(f"{path.name}-{count}")
    return free
