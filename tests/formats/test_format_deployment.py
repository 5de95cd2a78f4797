"""What runs an image: objects that the published schemas take, by digest and hardened."""

import copy
import json

import kubernetes_validate
import pytest

from formats.deployment import ALLOWED, Running, admission, compose, kubernetes
from tests.support import schema_faults

DIGEST = "sha256:" + "a" * 64
KEY = "sha256:" + "b" * 64
DESK = Running("desk", "registry.example.com/payments/desk", DIGEST, KEY)
VERSIONS = ["1.30", kubernetes_validate.latest_version()]


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("item", [*kubernetes(DESK), *admission([DIGEST])], ids=lambda item: item["kind"])
def test_every_object_is_of_the_published_schema(item, version):
    assert kubernetes_validate.validate(item, version, strict=True)
    wrong = copy.deepcopy(item) | {"specs": {}}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(wrong, version, strict=True)


def test_the_pod_is_hardened_and_stops_gracefully():
    deployment = kubernetes(DESK)[0]
    pod = deployment["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert container["image"] == f"registry.example.com/payments/desk@{DIGEST}"
    assert {"name": "COUNTERSIGN_KEY_FINGERPRINT", "value": KEY} in container["env"]
    assert pod["securityContext"]["runAsNonRoot"]
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    drain = next(int(item["value"]) for item in container["env"] if item["name"] == "COUNTERSIGN_DRAIN_SECONDS")
    waits = container["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert pod["terminationGracePeriodSeconds"] >= drain + waits + 5
    assert pod["automountServiceAccountToken"] is False
    assert kubernetes(DESK)[4]["spec"]["egress"] == []


def test_the_admission_policy_asks_the_list_of_digests():
    listing, policy, binding = admission([DIGEST, KEY])
    assert listing["data"]["digests"].split(",") == [DIGEST, KEY]
    assert binding["spec"]["policyName"] == policy["metadata"]["name"] == listing["metadata"]["name"] == ALLOWED
    expression = policy["spec"]["validations"][0]["expression"]
    for kind in ("containers", "initContainers", "ephemeralContainers"):
        assert f"object.spec.{kind}.all(" in expression
    (rule,) = policy["spec"]["matchConstraints"]["resourceRules"]
    assert "pods/ephemeralcontainers" in rule["resources"], "else a debug container would come in beside it"


def test_no_pod_starts_without_the_list_of_revocations_and_weights_are_a_choice():
    pod = kubernetes(DESK)[0]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    named = {item["name"]: item["value"] for item in container["env"]}
    (mount,) = [item for item in container["volumeMounts"] if item["name"] == "mounted"]
    assert {named[f"COUNTERSIGN_{name}_FILE"].rpartition("/")[0] for name in ("REVOCATIONS", "WEIGHTS")} == {
        mount["mountPath"]
    }
    (volume,) = [item for item in pod["volumes"] if item["name"] == "mounted"]
    sources = [item["configMap"] for item in volume["projected"]["sources"]]
    assert sources == [{"name": "countersign-revocations"}, {"name": "desk-weights", "optional": True}]


def test_compose_is_of_the_published_schema(tmp_path):
    file = tmp_path / "compose.json"
    made = compose(DESK)
    file.write_text(json.dumps(made))
    assert not schema_faults("compose-spec", file)
    next(iter(made["services"].values()))["read_onyl"] = True
    file.write_text(json.dumps(made))
    assert "read_onyl" in schema_faults("compose-spec", file)


def test_compose_is_as_hard():
    (service,) = compose(DESK)["services"].values()
    assert (service["read_only"], service["cap_drop"]) == (True, ["ALL"])
    assert service["image"].endswith(f"@{DIGEST}")
    assert all(port.startswith("127.0.0.1:") for port in service["ports"])
    assert service["environment"]["COUNTERSIGN_REVOCATIONS_FILE"].startswith(service["volumes"][0]["target"])
    assert service["volumes"][0]["bind"] == {"create_host_path": False}, "a list that is missing is told, not made"
