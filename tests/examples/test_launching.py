"""What launches a fit on several machines: each process gets a TF_CONFIG that is right, and agrees with what is around it."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import typer
from ruamel.yaml import YAML

from funnel.cli import app
from funnel.distribution.cluster import Cluster, cluster_of, kind_of

ROOT = Path(__file__).parents[2]
KUBERNETES = {name: ROOT / "examples" / "kubernetes" / f"{name}.yaml" for name in ("multi_worker", "parameter_server")}
SLURM = {name: ROOT / "examples" / "slurm" / f"{name}.sbatch" for name in KUBERNETES}
FUNNEL = """
printf '%s\\t%s\\n' "$TF_CONFIG" "$*" >> "$SAID"
"""
SCONTROL = 'test "$*" = "show hostnames node[1-9]"; for n in $(seq "$NODES"); do echo "node$n"; done'
SRUN = """
shift  # its own flag
for n in $(seq 0 $((NODES - 1))); do SLURM_PROCID=$n "$@"; done
test ! -s "$CODES" || { code=$(head -n 1 "$CODES"); sed -i 1d "$CODES"; exit "$code"; }
"""


@dataclass
class Machines:
    """Commands that stand in for a cluster's, on the path of what is run; `funnel` writes down how it was called.

    Attributes:
        folder: Where they are.
        environment: Of what is run.
    """

    folder: Path
    environment: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        path = f"{self.folder}{os.pathsep}{os.environ['PATH']}"
        self.environment |= {"PATH": path, "SAID": str(self.folder / "said"), "CODES": str(self.folder / "codes")}

    def add(self, name: str, script: str) -> None:
        (self.folder / name).write_text(f"#!/bin/sh\nset -eu\n{script}\n")
        (self.folder / name).chmod(0o755)

    def run(self, *command: object, **environment: str) -> subprocess.CompletedProcess[str]:
        both = self.environment | environment
        return subprocess.run(list(map(str, command)), env=both, cwd=self.folder, capture_output=True, text=True, check=False)

    def started(self) -> tuple[list[Cluster], set[str]]:
        """How each process was started, and with which arguments."""
        lines = [line.split("\t") for line in (self.folder / "said").read_text().splitlines()]
        found = [cluster_of({"TF_CONFIG": config}) for config, _ in lines]
        clusters = [cluster for cluster in found if cluster is not None]
        return clusters, {arguments for _, arguments in lines}


@pytest.fixture
def machines(tmp_path: Path) -> Machines:
    found = Machines(tmp_path)
    found.add("funnel", FUNNEL)
    return found


def require_complete(clusters: list[Cluster], strategy: str) -> Cluster:
    """One process for each task, all of which say the same of the others; the first of them."""
    assert len({str(cluster.jobs) for cluster in clusters}) == 1
    assert Counter(cluster.address for cluster in clusters) == Counter(address for _, address in clusters[0].tasks)
    assert {kind_of("auto", cluster) for cluster in clusters} == {strategy}
    return clusters[0]


def require_accepted(arguments: set[str]) -> list[str]:
    """All processes were started with the same arguments, and `funnel` takes them; these."""
    (text,) = arguments
    command, *words = shlex.split(text)
    parsed = typer.main.get_command(app).commands[command].make_context(command, list(words))  # type: ignore[attr-defined]
    assert command == "fit"
    assert parsed.params["resume"]
    assert {name for name in ("schema", "data", "store", "out") if parsed.params[name]} == {"schema", "data", "store", "out"}
    return words


class Manifest:
    """The documents of a file, by kind and name."""

    def __init__(self, path: Path) -> None:
        documents = list(YAML(typ="safe").load_all(path.read_text(encoding="utf-8")))
        self.objects = {(one["kind"], one["metadata"]["name"]): one for one in documents}
        assert len(self.objects) == len(documents)

    @property
    def workloads(self) -> Iterator[dict[str, Any]]:
        yield from (one for (kind, _), one in self.objects.items() if kind in ("Job", "StatefulSet"))

    def environment(self, container: dict[str, Any]) -> dict[str, str]:
        found: dict[str, str] = {}
        for source in container.get("envFrom", ()):
            found |= self.objects["ConfigMap", source["configMapRef"]["name"]]["data"]
        return found | {one["name"]: one["value"] for one in container["env"]}

    def pods(self, workload: dict[str, Any]) -> Iterator[tuple[str, dict[str, str]]]:
        """The host name of each pod within its service, as Kubernetes makes it, and what it finds in its environment."""
        name, spec = workload["metadata"]["name"], workload["spec"]
        pod = spec["template"]["spec"]
        (container,) = pod["containers"]
        environment = self.environment(container)
        if workload["kind"] == "StatefulSet":
            for index in range(spec["replicas"]):
                yield f"{name}-{index}.{spec['serviceName']}", environment | {"HOSTNAME": f"{name}-{index}"}
        elif spec.get("completionMode") == "Indexed":
            assert spec["completions"] == spec["parallelism"]  # all at once: they wait for each other
            for index in range(spec["completions"]):
                yield f"{name}-{index}.{pod['subdomain']}", environment | {"JOB_COMPLETION_INDEX": str(index)}
        else:
            yield f"{pod['hostname']}.{pod['subdomain']}", environment | {"HOSTNAME": pod["hostname"]}

    def command(self, container: dict[str, Any], folder: Path) -> list[str]:
        """What a pod runs; of a script from a ConfigMap, a file that holds it."""
        command = [*container["command"], *container.get("args", ())]
        scripts = {
            name: text for one in self.objects.values() if one["kind"] == "ConfigMap" for name, text in one["data"].items()
        }
        if (name := Path(command[-1]).name) in scripts:
            (folder / name).write_text(scripts[name])
            command[-1] = str(folder / name)
        return command


@pytest.mark.parametrize("strategy", KUBERNETES)
def test_each_pod_gets_its_place(strategy: str, machines: Machines) -> None:
    manifest, hosts = Manifest(KUBERNETES[strategy]), []
    for workload in manifest.workloads:
        (container,) = workload["spec"]["template"]["spec"]["containers"]
        for host, environment in manifest.pods(workload):
            done = machines.run(*manifest.command(container, machines.folder), **environment)
            assert done.returncode == 0, done.stderr
            (port,) = container["ports"]
            hosts.append(f"{host}:{port['containerPort']}")
            clusters, arguments = machines.started()
            assert clusters[-1].address == hosts[-1]
    require_complete(clusters, strategy)
    require_accepted(arguments)


@pytest.mark.parametrize("strategy", KUBERNETES)
def test_a_manifest_agrees_with_itself(strategy: str) -> None:
    manifest = Manifest(KUBERNETES[strategy])
    ((_, service),) = [name for name in manifest.objects if name[0] == "Service"]
    declared = manifest.objects["Service", service]["spec"]
    ((_, policy),) = [name for name in manifest.objects if name[0] == "NetworkPolicy"]
    around = manifest.objects["NetworkPolicy", policy]["spec"]
    images, roles = set(), Counter[str]()
    assert declared["clusterIP"] == "None"
    assert around["ingress"] == [{"from": [{"podSelector": around["podSelector"]}]}]
    for workload in manifest.workloads:
        spec, template = workload["spec"], workload["spec"]["template"]
        labels, pod = template["metadata"]["labels"], template["spec"]
        (container,) = pod["containers"]
        assert labels.items() >= declared["selector"].items()
        assert labels.items() >= around["podSelector"]["matchLabels"].items()
        assert service in (pod.get("subdomain"), spec.get("serviceName"))
        assert [port["containerPort"] for port in container["ports"]] == [port["port"] for port in declared["ports"]]
        assert {mount["name"] for mount in container["volumeMounts"]} == {volume["name"] for volume in pod["volumes"]}
        images.add(container["image"])
        roles[labels.get("role", "worker")] += len(list(manifest.pods(workload)))
        if workload["kind"] == "StatefulSet":
            assert spec["selector"]["matchLabels"] == labels
        for volume in pod["volumes"]:
            if (name := volume.get("configMap", {}).get("name", "fit-schema")) != "fit-schema":  # which is made from the file
                assert ("ConfigMap", name) in manifest.objects
    assert len(images) == 1
    expected = {"worker": 4} if strategy == "multi_worker" else {"chief": 1, "worker": 4, "ps": 2}
    assert roles == expected


@pytest.mark.parametrize("strategy", KUBERNETES)
def test_who_reads_and_writes_the_run_sees_the_folder(strategy: str) -> None:
    """Workers of parameter servers need neither rows nor the run; all others do. The schema is everywhere."""
    for workload in Manifest(KUBERNETES[strategy]).workloads:
        template = workload["spec"]["template"]
        (container,) = template["spec"]["containers"]
        mounted = {mount["mountPath"] for mount in container["volumeMounts"]}
        assert "/etc/fit" in mounted
        assert ("/shop" in mounted) == (strategy == "multi_worker" or template["metadata"]["labels"]["role"] != "worker")


def slurm(machines: Machines, strategy: str) -> tuple[subprocess.CompletedProcess[str], int]:
    """Submit a script; how many nodes it wants."""
    text = SLURM[strategy].read_text(encoding="utf-8")
    found = re.search(r"^#SBATCH --nodes=(\d+)$", text, re.MULTILINE)
    assert found is not None
    assert "#SBATCH --ntasks-per-node=1\n" in text
    machines.add("scontrol", SCONTROL)
    machines.add("srun", SRUN)
    job = {"SLURM_JOB_ID": "4654321", "SLURM_JOB_NODELIST": "node[1-9]", "NODES": found[1]}
    return machines.run("bash", SLURM[strategy], **job), int(found[1])


@pytest.mark.parametrize("strategy", SLURM)
def test_each_task_of_a_slurm_job_gets_its_place(strategy: str, machines: Machines) -> None:
    done, nodes = slurm(machines, strategy)
    assert done.returncode == 0, done.stderr
    clusters, arguments = machines.started()
    first = require_complete(clusters, strategy)
    require_accepted(arguments)
    # Slurm numbers tasks as it lists nodes.
    assert [cluster.address for cluster in clusters] == [f"node{number}:24321" for number in range(1, nodes + 1)]
    assert {job: len(addresses) for job, addresses in first.jobs.items()} == (
        {"worker": 4} if strategy == "multi_worker" else {"chief": 1, "worker": 4, "ps": 2}
    )


@pytest.mark.parametrize(("codes", "ended", "attempts"), [("1 1 0", 0, 3), ("1 1 1", 1, 3), ("1 130", 130, 2), ("143", 143, 1)])
@pytest.mark.parametrize("strategy", SLURM)
def test_a_slurm_job_starts_all_again_unless_it_was_told_to_stop(
    strategy: str, codes: str, ended: int, attempts: int, machines: Machines
) -> None:
    (machines.folder / "codes").write_text(codes.replace(" ", "\n") + "\n")
    done, nodes = slurm(machines, strategy)
    assert done.returncode == ended
    assert len(machines.started()[0]) == attempts * nodes


def test_the_loop_over_machines_of_the_docs(machines: Machines) -> None:
    page = (ROOT / "docs" / "scale_out.md").read_text(encoding="utf-8")
    (loop,) = [block for block in re.findall(r"```sh\n(.*?)```", page, re.DOTALL) if "ssh " in block]
    machines.add("ssh", 'echo "$1" >> hosts; shift; sh -c "$* wait"')  # its command ends with an &
    machines.add("nohup", '"$@"')
    done = machines.run("sh", "-euc", loop)
    assert done.returncode == 0, done.stderr
    clusters, arguments = machines.started()
    first = require_complete(clusters, "multi_worker")
    require_accepted(arguments)
    hosts = (machines.folder / "hosts").read_text().split()
    assert [address for _, address in first.tasks] == [f"{host}:2222" for host in hosts]
    assert {path.name for path in machines.folder.glob("fit-*.log")} == {"fit-0.log", "fit-1.log"}
