"""What TF_CONFIG says, and what it may not say."""

import json

import pytest

import funnel
from funnel.distribution.cluster import Cluster, cluster_of, kind_of, serves

WORKERS = {"worker": ["a:1", "b:2"]}
SERVERS = {"chief": ["c:1"], "worker": ["a:1", "b:2"], "ps": ["d:1"]}


def text(cluster: object, task: object = None, **more: object) -> dict[str, str]:
    return {"TF_CONFIG": json.dumps({"cluster": cluster, "task": task or {"type": "worker", "index": 0}, **more})}


@pytest.mark.parametrize("value", [None, "", "  ", "{}", '{"cluster": {}}', '{"cluster": {}, "task": {}}'])
def test_without_one_there_is_no_cluster(value: str | None) -> None:
    assert cluster_of({} if value is None else {"TF_CONFIG": value}) is None


def test_it_says_who_takes_part() -> None:
    found = cluster_of(text(SERVERS, {"type": "worker", "index": 1}, environment="cloud"))
    assert found == Cluster({"chief": ("c:1",), "worker": ("a:1", "b:2"), "ps": ("d:1",)}, "worker", 1)
    assert (found.name, found.address, str(found)) == ("worker 1", "b:2", "worker 1 (b:2)")
    assert found.has_servers
    assert not found.is_chief
    assert found.others == {"chief 0": "c:1", "worker 0": "a:1", "ps 0": "d:1"}


def test_a_chief_comes_before_the_workers_that_learn_with_it_and_else_the_first_of_them_leads() -> None:
    def ranks(jobs: dict[str, list[str]]) -> list[tuple[int, bool]]:
        clusters = [cluster_of(text(jobs, {"type": job, "index": index})) for job in jobs for index in range(len(jobs[job]))]
        return [(cluster.rank, cluster.is_chief) for cluster in clusters if cluster is not None]

    assert ranks(WORKERS) == [(0, True), (1, False)]
    assert ranks({"chief": ["c:1"], "worker": ["a:1", "b:2"]}) == [(0, True), (1, False), (2, False)]


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("{", r"^TF_CONFIG: is no JSON: .*\. Correct the environment variable\.$"),
        ("[1]", r"^TF_CONFIG: got \[1\], expected a mapping with 'cluster' and 'task'"),
        (
            {"clusters": {}, "cluster": WORKERS, "task": {}},
            r"^TF_CONFIG\.clusters: is no field of it \(have: 'cluster', 'task'\)",
        ),
        ({"cluster": WORKERS}, r"^TF_CONFIG\.task: is missing"),
        (
            {"cluster": ["a:1"], "task": {"type": "worker", "index": 0}},
            r"^TF_CONFIG\.cluster: got \['a:1'\], expected",
        ),
        (text({"workers": ["a:1"]}), r"^TF_CONFIG\.cluster\.workers: is a job .* Did you mean 'worker'\?"),
        (text({"worker": ["a:1"], "evaluator": ["b:1"]}), r"^TF_CONFIG\.cluster\.evaluator: is a job that takes no part"),
        (text({"ps": ["a:1"]}), r"^TF_CONFIG\.cluster\.worker: is missing, expected the addresses of one worker at least"),
        (text({"worker": []}), r"^TF_CONFIG\.cluster\.worker: is missing"),
        (text({"worker": "a:1"}), r"^TF_CONFIG\.cluster\.worker: got 'a:1', expected a list of 'host:port'"),
        (text({"worker": ["a"]}), r"^TF_CONFIG\.cluster\.worker\[0\]: got 'a', expected 'host:port'"),
        (
            text({"worker": ["a:1", "b:0"]}),
            r"^TF_CONFIG\.cluster\.worker\[1\]: got 'b:0', expected 'host:port' with",
        ),
        (text({"worker": ["a:70000"]}), r"^TF_CONFIG\.cluster\.worker\[0\]: got 'a:70000'"),
        (text({"worker": ["http://a:1"]}), r"^TF_CONFIG\.cluster\.worker\[0\]: got 'http://a:1'"),
        (text({"worker": [1]}), r"^TF_CONFIG\.cluster\.worker\[0\]: got 1, expected"),
        (
            text({"worker": ["a:1", "a:1"]}),
            r"^TF_CONFIG\.cluster\.worker\[1\]: 'a:1' is that of TF_CONFIG\.cluster\.worker\[0\]",
        ),
        (
            text({"chief": ["a:1", "b:1"]}, {"type": "chief", "index": 0}),
            r"^TF_CONFIG\.cluster\.chief: got 2 addresses",
        ),
        (text(WORKERS, "worker 0"), r"^TF_CONFIG\.task: got 'worker 0', expected \{'type'"),
        (text(WORKERS, {"type": "worker"}), r"^TF_CONFIG\.task\.index: is missing"),
        (text(WORKERS, {"kind": "worker", "index": 0}), r"^TF_CONFIG\.task\.kind: is no field of it"),
        (text(WORKERS, {"type": "work", "index": 0}), r"^TF_CONFIG\.task\.type: 'work' is no job .* Did you mean 'worker'\?"),
        (
            text(WORKERS, {"type": "ps", "index": 0}),
            r"^TF_CONFIG\.task\.type: 'ps' is no job of this cluster \(have: 'worker'",
        ),
        (text(WORKERS, {"type": "worker", "index": 2}), r"^TF_CONFIG\.task\.index: got 2, expected a whole number from 0 to 1"),
        (text(WORKERS, {"type": "worker", "index": "0"}), r"^TF_CONFIG\.task\.index: got '0', expected a whole number"),
        (text(WORKERS, {"type": "worker", "index": True}), r"^TF_CONFIG\.task\.index: got True"),
        (
            text({"worker": ["a:1"]}, {"type": "worker", "index": 1}),
            r"^TF_CONFIG\.task\.index: got 1, expected 0: 'worker' has",
        ),
    ],
)
def test_what_is_wrong_is_refused_with_its_field(value: object, message: str) -> None:
    if isinstance(value, dict) and "TF_CONFIG" in value:
        value = value["TF_CONFIG"]
    with pytest.raises(funnel.ClusterError, match=message):
        cluster_of({"TF_CONFIG": value if isinstance(value, str) else json.dumps(value)})


@pytest.mark.parametrize(
    ("declared", "jobs", "found"),
    [
        ("auto", None, "auto"),
        ("auto", {"worker": ["a:1"]}, "auto"),
        ("auto", WORKERS, "multi_worker"),
        ("auto", {"chief": ["c:1"], **WORKERS}, "multi_worker"),
        ("auto", SERVERS, "parameter_server"),
        ("multi_worker", {"worker": ["a:1"]}, "multi_worker"),
        ("parameter_server", SERVERS, "parameter_server"),
        ("mirrored", None, "mirrored"),
        ("one_device", {"worker": ["a:1"]}, "one_device"),
    ],
)
def test_what_a_declaration_and_a_cluster_come_to(declared, jobs, found) -> None:
    cluster = None if jobs is None else cluster_of(text(jobs))
    assert kind_of(declared, cluster) == found


@pytest.mark.parametrize(
    ("declared", "jobs", "message"),
    [
        ("multi_worker", None, "train.strategy: got 'multi_worker' and no cluster, expected one in .*TF_CONFIG"),
        ("parameter_server", None, "train.strategy: got 'parameter_server' and no cluster"),
        ("multi_worker", SERVERS, "TF_CONFIG.cluster has 'ps', expected workers alone"),
        ("parameter_server", WORKERS, "TF_CONFIG.cluster has no 'chief'"),
        ("auto", {"worker": ["a:1"], "ps": ["b:1"]}, "TF_CONFIG.cluster has no 'chief', expected chief, worker and ps"),
        ("parameter_server", {"chief": ["a:1"], "worker": ["b:1"]}, "TF_CONFIG.cluster has no 'ps'"),
        ("mirrored", WORKERS, "TF_CONFIG describes several processes, expected one"),
        ("one_device", WORKERS, "TF_CONFIG describes several processes, expected one"),
    ],
)
def test_a_cluster_that_is_not_such_as_the_strategy_needs(declared, jobs, message) -> None:
    with pytest.raises(funnel.ClusterError, match=message):
        kind_of(declared, None if jobs is None else cluster_of(text(jobs)))


def test_workers_and_servers_serve_the_chief() -> None:
    tasks = [("chief", 0), ("worker", 1), ("ps", 0)]
    assert [serves("parameter_server", cluster_of(text(SERVERS, {"type": t, "index": i}))) for t, i in tasks] == [0, 1, 1]
    assert not serves("multi_worker", cluster_of(text(WORKERS, {"type": "worker", "index": 1})))
    assert not serves("auto", None)
