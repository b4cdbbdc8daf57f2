"""Which engine a declaration and a cluster come to."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from funnel.distribution.cluster import SERVER, VARIABLE, Cluster, cluster_of, kind_of
from funnel.distribution.engine import Coordinated, Engine, Replicated
from funnel.distribution.rendezvous import GONE, PATIENCE, meet, wait_for_end
from funnel.errors import ClusterError, SchemaError
from funnel.model._keras import tf
from funnel.schema.training import Strategy, Train

LEAST_SHARD = 1 << 18  # bytes of a table that a server holds, at least: smaller ones stay whole
GRACE = 120.0  # seconds that one who holds tables stays when it is told to end, as what ends jobs tells all at once
THREADS = 8  # of a server: TensorFlow's calls wait for each other, and with two threads may do so for ever


def serve(patience: float = PATIENCE, watch: Callable[[str], None] | None = None) -> None:
    """Hold tables, or make steps, for the fit that the chief of `TF_CONFIG` leads; return when the chief has ended.

    Args:
        patience: Seconds to wait for the chief, where it has not come yet.
        watch: Called with a sentence, where this was interrupted and waits.

    Raises:
        ClusterError: The chief never came.
        KeyboardInterrupt: This process was interrupted, and the chief has ended, or goes on after a while: told at the same
            time, it has still to write what is here. Another interrupt ends this at once.
    """
    cluster = cluster_of()
    if cluster is None:
        raise ClusterError(f"serve: got no cluster, expected one in the environment variable {VARIABLE}. Set it.")
    config = tf.compat.v1.ConfigProto(inter_op_parallelism_threads=max(THREADS, os.cpu_count() or 1))
    server = tf.distribute.Server(
        _spec(cluster), job_name=cluster.job, task_index=cluster.index, protocol="grpc", config=config
    )
    chief = cluster.jobs["chief"][0]
    try:
        came = wait_for_end(chief, patience)
    except KeyboardInterrupt:
        if watch is not None:
            watch(f"told to stop: stays until the chief has ended, {GRACE:.0f} s at most; told again, ends at once")
        wait_for_end(chief, GONE, longest=GRACE)
        raise
    if not came:
        raise ClusterError(
            f"{cluster}: waited {patience:.0f} s for chief 0 ({chief}), expected an answer. Start it, or correct TF_CONFIG, "
            "which all must have alike."
        )
    del server


def engaged(train: Train, patience: float = PATIENCE, watch: Callable[[str], None] | None = None) -> Engine:
    """The engine of a fit, connected to the others.

    Args:
        train: What is declared.
        patience: Seconds to wait for processes that have not come yet.
        watch: Called with a sentence, where somebody has to be waited for.

    Raises:
        ClusterError: `TF_CONFIG` is not right, or not such as the strategy needs, or somebody did not come.
        SchemaError: A step has fewer rows than there are lanes.
    """
    cluster = cluster_of()
    engine = _engine(kind_of(train.strategy, cluster), cluster, patience, watch)
    lanes = train.lanes or engine.replicas
    if lanes > train.batch_size:
        raise SchemaError(
            f"train.batch_size: got {train.batch_size}, expected {lanes} or more: a row for each of "
            f"{'train.lanes' if train.lanes else 'the replicas'}. Make it larger."
        )
    return engine


def _engine(kind: Strategy, cluster: Cluster | None, patience: float, watch: Callable[[str], None] | None) -> Engine:
    match kind:
        case "multi_worker" | "parameter_server" if cluster is not None:
            meet(cluster, patience, watch)
            return _of_cluster(kind, cluster, patience)
        case "one_device":
            return Engine()
    devices = tf.config.list_logical_devices("GPU")
    if kind == "mirrored" and not devices:
        devices = tf.config.list_logical_devices("CPU")
    # With one replica TensorFlow's strategy does what is done without it, and takes longer.
    return Replicated(tf.distribute.MirroredStrategy([device.name for device in devices])) if len(devices) > 1 else Engine()


def _spec(cluster: Cluster) -> Any:
    """The cluster, as TensorFlow has it."""
    return tf.train.ClusterSpec({job: list(addresses) for job, addresses in cluster.jobs.items()})


def _of_cluster(kind: Strategy, cluster: Cluster, patience: float) -> Engine:
    if kind == "multi_worker" and cluster.trainers == 1:
        return _engine("auto", None, 0, None)
    resolver = tf.distribute.cluster_resolver.SimpleClusterResolver(
        _spec(cluster), task_type=cluster.job, task_id=cluster.index, rpc_layer="grpc"
    )
    try:
        if kind == "parameter_server":
            split: Any = tf.distribute.experimental.partitioners.MinSizePartitioner(LEAST_SHARD, len(cluster.jobs[SERVER]))
            strategy = tf.distribute.ParameterServerStrategy(resolver, variable_partitioner=split)
            return Coordinated(strategy, cluster, patience)
        return Replicated(tf.distribute.MultiWorkerMirroredStrategy(cluster_resolver=resolver), cluster)
    except RuntimeError as error:
        if "program startup" not in str(error):
            raise
        raise ClusterError(
            f"{cluster}: TensorFlow was used before the fit in this process, expected not: a cluster is joined first. Call "
            "`funnel.fit` before anything else that uses TensorFlow."
        ) from None
