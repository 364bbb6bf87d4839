"""The files for clusters: valid by Ray's own schema, and what `ray up cluster.yaml` asks a stand-in of AWS for."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
import ray
import yaml
from moto.server import ThreadedMotoServer
from ray.autoscaler._private.aws.config import bootstrap_aws
from ray.autoscaler._private.providers import _get_node_provider
from ray.autoscaler._private.util import prepare_config, validate_config

pytestmark = pytest.mark.cluster

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def cloud() -> Iterator[str]:
    """Give the address of a stand-in of AWS, with the policies that AWS has for everyone."""
    os.environ["MOTO_IAM_LOAD_MANAGED_POLICIES"] = "true"
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def credentials(cloud: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Let every process that is started from here reach the stand-in, and nothing else."""
    for name, value in {
        "AWS_ENDPOINT_URL": cloud,
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_DEFAULT_REGION": "us-east-1",
        "HOME": str(tmp_path),
    }.items():
        monkeypatch.setenv(name, value)
    (tmp_path / ".ray").mkdir()
    (tmp_path / ".ray" / "auth_token").write_text("a" * 64)
    return cloud


def load(name: str) -> dict[str, Any]:
    return dict(yaml.safe_load((ROOT / name).read_text(encoding="utf-8")))


@pytest.mark.parametrize("name", ["cluster.yaml", "deploy/on-prem.yaml"])
def test_rays_own_validation_takes_the_file(name: str) -> None:
    validate_config(prepare_config(load(name)))


def test_nothing_is_open_to_the_world_and_every_host_is_alike() -> None:
    config = load("cluster.yaml")
    for start in (config["head_start_ray_commands"], config["worker_start_ray_commands"]):
        assert "RAY_AUTH_MODE=token" in start[-1]
    assert "--dashboard-host=127.0.0.1" in config["head_start_ray_commands"][-1]
    assert "/home/ubuntu/.ray/auth_token" in config["file_mounts"]
    assert any("-c constraints.txt" in command for command in config["setup_commands"])
    images = {kind["node_config"]["ImageId"] for kind in config["available_node_types"].values()}
    assert len(images) == 1
    assert config["available_node_types"]["gpu"]["min_workers"] == 0


def test_ray_up_launches_the_head_and_the_autoscaler_a_spot_worker(credentials: str) -> None:
    # The head by the command itself; workers as its autoscaler would.
    ec2 = boto3.client("ec2")
    head = launch_head(ec2)
    assert head["InstanceType"] == "m7i-flex.large"
    assert "InstanceLifecycle" not in head, "the head is not taken away"

    config = bootstrapped()
    kind = config["available_node_types"]["gpu"]
    provider = _get_node_provider(config["provider"], config["cluster_name"])
    tags = {
        "ray-node-kind": "worker",
        "ray-user-node-type": "gpu",
        "ray-node-name": "w",
        "ray-node-status": "uninitialized",
    }
    provider.create_node(kind["node_config"], tags, 1)
    (worker,) = (instance for instance in instances(ec2) if tag(instance, "ray-user-node-type") == "gpu")
    assert (worker["InstanceType"], worker["InstanceLifecycle"]) == ("g6.xlarge", "spot")
    for host in (head, worker):
        assert host["ImageId"] == kind["node_config"]["ImageId"]
        (disk,) = [d for d in host["BlockDeviceMappings"] if d["DeviceName"] == "/dev/sda1"]
        volume = ec2.describe_volumes(VolumeIds=[disk["Ebs"]["VolumeId"]])["Volumes"][0]
        assert volume["Size"] == 100
        (group,) = host["SecurityGroups"]
        assert group["GroupName"] == "bloodtune"
    rules = ec2.describe_security_groups(GroupNames=["bloodtune"])["SecurityGroups"][0]["IpPermissions"]
    world = [rule for rule in rules if rule["IpRanges"]]
    assert [(rule["FromPort"], rule["ToPort"]) for rule in world] == [(22, 22)], "ssh alone"
    assert all(rule["UserIdGroupPairs"] for rule in rules if rule not in world), "the rest among its own hosts"


def launch_head(ec2: Any) -> dict[str, Any]:
    """Run `ray up` until the head is there; after that the command waits for an ssh that nobody answers."""
    up = subprocess.Popen(
        [str(Path(sys.executable).with_name("ray")), "up", "-y", "--no-config-cache", "cluster.yaml"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        return wait_for_instance(ec2, up, "head")
    finally:
        up.kill()
        up.communicate()


def instances(ec2: Any) -> list[dict[str, Any]]:
    found = ec2.describe_instances()["Reservations"]
    return [instance for reservation in found for instance in reservation["Instances"]]


def tag(instance: dict[str, Any], key: str) -> str:
    return next((pair["Value"] for pair in instance["Tags"] if pair["Key"] == key), "")


def wait_for_instance(ec2: Any, process: subprocess.Popen[str], kind: str) -> dict[str, Any]:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        for instance in instances(ec2):
            if tag(instance, "ray-user-node-type") == kind:
                return instance
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.2)
    raise AssertionError("no instance was asked for")


def bootstrapped() -> dict[str, Any]:
    return dict(bootstrap_aws(prepare_config(load("cluster.yaml"))))


# The fields of KubeRay's resources (ray-operator/apis/ray/v1: rayjob_types.go, raycluster_types.go).
JOB_FIELDS = {
    *("entrypoint", "backoffLimit", "shutdownAfterJobFinishes", "ttlSecondsAfterFinished", "rayClusterSpec"),
    *("submitterConfig", "activeDeadlineSeconds", "metadata", "clusterSelector", "managedBy", "deletionStrategy"),
    *("runtimeEnvYAML", "jobId", "submissionMode", "suspend", "submitterPodTemplate", "entrypointResources"),
    *("entrypointNumCpus", "entrypointNumGpus"),
}
CLUSTER_FIELDS = {
    *("headGroupSpec", "workerGroupSpecs", "rayVersion", "enableInTreeAutoscaling", "autoscalerOptions", "authOptions"),
    *("headServiceAnnotations", "suspend", "managedBy", "gcsFaultToleranceOptions"),
}
GROUP_FIELDS = {"groupName", "replicas", "minReplicas", "maxReplicas", "numOfHosts", "rayStartParams", "template"}


def test_kuberay_job_has_known_fields_alone() -> None:
    job = load("deploy/kuberay.yaml")
    assert (job["apiVersion"], job["kind"]) == ("ray.io/v1", "RayJob")
    assert set(job["spec"]) <= JOB_FIELDS
    cluster = job["spec"]["rayClusterSpec"]
    assert set(cluster) <= CLUSTER_FIELDS
    assert cluster["rayVersion"] == ray.__version__
    assert cluster["enableInTreeAutoscaling"]
    assert cluster["authOptions"] == {"mode": "token"}
    head, (workers,) = cluster["headGroupSpec"], cluster["workerGroupSpecs"]
    assert set(head) <= {"serviceType", "headService", "enableIngress", "rayStartParams", "template"}
    assert set(workers) <= GROUP_FIELDS
    assert workers["minReplicas"] == workers["replicas"] == 0
    for group in (head, workers):
        assert all(isinstance(value, str) for value in group["rayStartParams"].values())
        (container,) = group["template"]["spec"]["containers"]
        assert set(container) <= {"name", "image", "resources", "volumeMounts"}
        assert container["resources"]["limits"] == container["resources"]["requests"]
    flags = shlex.split(job["spec"]["entrypoint"])
    assert flags[:2] == ["bash", "-c"]
    assert subprocess.run(["bash", "-n", "-c", flags[2]]).returncode == 0


def test_versions_are_those_of_constraints() -> None:
    pinned = dict(line.split("==") for line in (ROOT / "constraints.txt").read_text().splitlines() if "==" in line)
    assert f"rayproject/ray:{pinned['ray']}-" in (ROOT / "deploy/Dockerfile").read_text()
    assert load("deploy/kuberay.yaml")["spec"]["rayClusterSpec"]["rayVersion"] == pinned["ray"]
