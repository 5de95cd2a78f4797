"""How an image is run: Kubernetes objects and a compose file, hardened, by digest. Pure; plain dictionaries."""

from dataclasses import dataclass
from typing import Any

REST, GRPC = 8080, 8081
USER = 10001
DRAIN_SECONDS = 20  # that a server gives to requests under way; the pod gets more
MOUNTED = "/etc/countersign"
WEIGHTS = f"{MOUNTED}/weights.json"  # without it the image's own hold
REVOCATIONS = f"{MOUNTED}/revocations.json"  # without it no server starts: what nobody can revoke must not run
REVOKED = "countersign-revocations"  # the list of a namespace
ALLOWED = "countersign-images"  # the list of digests that the admission policy asks


@dataclass(frozen=True, slots=True)
class Running:
    """What is to run.

    :param name: of the bundle, without its team: names the objects.
    :param repository: where the image was pushed, without a tag, such as `registry.example.com/payments/desk`.
    :param digest: of the image.
    :param fingerprint: of the key that must have sealed it.
    """

    name: str
    repository: str
    digest: str
    fingerprint: str

    @property
    def image(self) -> str:
        return f"{self.repository}@{self.digest}"


def kubernetes(running: Running) -> list[dict[str, Any]]:
    """Deployment, Service, PodDisruptionBudget, HorizontalPodAutoscaler and NetworkPolicy."""
    labels = {"app.kubernetes.io/name": running.name}
    selector = {"matchLabels": labels}
    ports = [{"name": "rest", "port": REST, "targetPort": "rest"}, {"name": "grpc", "port": GRPC, "targetPort": "grpc"}]
    return [
        _object(running, "apps/v1", "Deployment", _deployment(running, labels)),
        _object(running, "v1", "Service", {"selector": labels, "ports": ports}),
        _object(running, "policy/v1", "PodDisruptionBudget", {"minAvailable": 1, "selector": selector}),
        _object(running, "autoscaling/v2", "HorizontalPodAutoscaler", _autoscaler(running)),
        _object(
            running,
            "networking.k8s.io/v1",
            "NetworkPolicy",
            {
                "podSelector": selector,
                "policyTypes": ["Ingress", "Egress"],
                "ingress": [{"ports": [{"protocol": "TCP", "port": port} for port in (REST, GRPC)]}],
                "egress": [],  # a server never calls anyone
            },
        ),
    ]


def admission(digests: list[str]) -> list[dict[str, Any]]:
    """A policy for namespaces labelled `countersign: enforced`: no pod but with a listed digest, with the list itself.

    Unknown images are not on it, and a revoked one is taken off it.
    """
    constraints = {
        "resourceRules": [
            {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE", "UPDATE"], "resources": _PODS}
        ]
    }
    listed = "c.image.contains('@') && c.image.split('@')[1] in params.data.digests.split(',')"
    every = [f"object.spec.containers.all(c, {listed})"]
    every += [f"(!has(object.spec.{kind}) || object.spec.{kind}.all(c, {listed}))" for kind in _OTHER_CONTAINERS]
    message = f"the image is not in ConfigMap {ALLOWED}: it was not approved, or it was revoked"
    api = "admissionregistration.k8s.io/v1"
    policy = {
        "failurePolicy": "Fail",
        "paramKind": {"apiVersion": "v1", "kind": "ConfigMap"},
        "matchConstraints": constraints,
        "validations": [{"expression": " && ".join(every), "message": message}],
    }
    binding = {
        "policyName": ALLOWED,
        "validationActions": ["Deny"],
        "paramRef": {"name": ALLOWED, "namespace": "countersign", "parameterNotFoundAction": "Deny"},
        "matchResources": {"namespaceSelector": {"matchLabels": {"countersign": "enforced"}}},
    }
    return [
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": ALLOWED, "namespace": "countersign"},
            "data": {"digests": ",".join(digests)},
        },
        {"apiVersion": api, "kind": "ValidatingAdmissionPolicy", "metadata": {"name": ALLOWED}, "spec": policy},
        {"apiVersion": api, "kind": "ValidatingAdmissionPolicyBinding", "metadata": {"name": ALLOWED}, "spec": binding},
    ]


def compose(running: Running) -> dict[str, Any]:
    """One service of a compose file, on the loopback interface."""
    return {
        "services": {
            running.name: {
                "image": running.image,
                "user": f"{USER}:{USER}",
                "read_only": True,
                "tmpfs": ["/tmp"],  # noqa: S108  # inside the container
                "cap_drop": ["ALL"],
                "security_opt": ["no-new-privileges:true"],
                "environment": {
                    "COUNTERSIGN_KEY_FINGERPRINT": running.fingerprint,
                    "COUNTERSIGN_IMAGE_DIGEST": running.digest,
                    "COUNTERSIGN_WEIGHTS_FILE": WEIGHTS,
                    "COUNTERSIGN_REVOCATIONS_FILE": REVOCATIONS,
                },
                # A folder, so that a file that takes the place of another is seen.
                "volumes": [
                    {
                        "type": "bind",
                        "source": "./countersign",
                        "target": MOUNTED,
                        "read_only": True,
                        "bind": {"create_host_path": False},
                    }
                ],
                "ports": [f"127.0.0.1:{port}:{port}" for port in (REST, GRPC)],
                "stop_grace_period": f"{DRAIN_SECONDS + 10}s",
                "restart": "unless-stopped",
            }
        }
    }


_PODS = ["pods", "pods/ephemeralcontainers"]  # the second is how a running pod gets a container more
_OTHER_CONTAINERS = ("initContainers", "ephemeralContainers")


def _object(running: Running, api: str, kind: str, spec: dict[str, Any]) -> dict[str, Any]:
    labels = {"app.kubernetes.io/name": running.name, "app.kubernetes.io/managed-by": "countersign"}
    return {"apiVersion": api, "kind": kind, "metadata": {"name": running.name, "labels": labels}, "spec": spec}


def _deployment(running: Running, labels: dict[str, str]) -> dict[str, Any]:
    return {
        "replicas": 2,
        "selector": {"matchLabels": labels},
        "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}},
        "template": {"metadata": {"labels": labels}, "spec": _pod(running)},
    }


def _pod(running: Running) -> dict[str, Any]:
    container = {
        "name": "server",
        "image": running.image,
        "ports": [{"name": "rest", "containerPort": REST}, {"name": "grpc", "containerPort": GRPC}],
        "env": [
            {"name": "COUNTERSIGN_KEY_FINGERPRINT", "value": running.fingerprint},
            {"name": "COUNTERSIGN_IMAGE_DIGEST", "value": running.digest},
            {"name": "COUNTERSIGN_DRAIN_SECONDS", "value": str(DRAIN_SECONDS)},
            {"name": "COUNTERSIGN_WEIGHTS_FILE", "value": WEIGHTS},
            {"name": "COUNTERSIGN_REVOCATIONS_FILE", "value": REVOCATIONS},
        ],
        "startupProbe": _probe("live") | {"periodSeconds": 1, "failureThreshold": 60},
        "readinessProbe": _probe("ready") | {"periodSeconds": 2},
        "livenessProbe": _probe("live") | {"periodSeconds": 10},
        # Endpoints forget a pod a little after it is told to stop: it goes on answering meanwhile.
        "lifecycle": {"preStop": {"sleep": {"seconds": 5}}},
        "resources": {"requests": {"cpu": "500m", "memory": "512Mi"}, "limits": {"memory": "4Gi"}},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": [
            {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108  # inside the container
            {"name": "mounted", "mountPath": MOUNTED, "readOnly": True},
        ],
    }
    return {
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": DRAIN_SECONDS + 15,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": USER,
            "runAsGroup": USER,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [container],
        "volumes": [
            {"name": "tmp", "emptyDir": {"sizeLimit": "64Mi"}},
            {
                "name": "mounted",
                "projected": {
                    "sources": [
                        {"configMap": {"name": REVOKED}},
                        {"configMap": {"name": f"{running.name}-weights", "optional": True}},
                    ]
                },
            },
        ],
    }


def _probe(what: str) -> dict[str, Any]:
    return {"httpGet": {"path": f"/v2/health/{what}", "port": "rest"}, "timeoutSeconds": 2}


def _autoscaler(running: Running) -> dict[str, Any]:
    usage = {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 70}}
    return {
        "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": running.name},
        "minReplicas": 2,
        "maxReplicas": 10,
        "metrics": [{"type": "Resource", "resource": usage}],
    }
