"""Commands and code to use a version, filled with real names and pinned by digest."""

import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from formats import deployment
from registry.orm.catalog import ModelVersion

REST = "http://localhost:8080"
MOST_VALUES = 64
"""Beyond this many values a request is read from a file instead of standing in the snippet."""
EXAMPLES: Mapping[str, Any] = {"BYTES": "your text", "BOOL": True, "FP64": 0.5, "FP32": 0.5, "FP16": 0.5}

Snippets = list[tuple[str, str]]


@dataclass(frozen=True)
class Place:
    """Where a version answers."""

    bundle: str
    route: str
    version: str
    """Its name in the inference protocol."""
    image_digest: str
    engine_id: str
    isolation: str
    key: str
    """Fingerprint of the key that sealed the image."""
    reference: str | None
    """``registry/repository@sha256:...``, where the image was pushed."""

    @property
    def name(self) -> str:
        """The bundle without its team: what a container is called."""
        return self.bundle.rpartition("/")[2]


def usage(version: ModelVersion, place: Place | None, example: Mapping[str, Any] | None) -> Snippets:
    """Everything that can be done with an approved version; only its files, while no image holds it."""
    found: Snippets = []
    if place is not None and version.signature:
        body = request_body(version.signature, example)
        found += [("Python", python(place, body, version.release_digest or "")), ("curl", curl(place, body))]
    if place is not None:
        found += containers(place)
    return [*found, ("Files", files(version))]


def containers(place: Place) -> Snippets:
    """How to run an image."""
    if place.isolation == "container":
        return [("Docker", docker(place)), ("Kubernetes", kubernetes(place))]
    return [
        ("Run", f"# baked without containers: it runs on the worker's machine\npython -m builders run {place.bundle}")
    ]


def request_body(signature: Mapping[str, Any], example: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """An inference request of one row, or ``None`` when it would be too long to read.

    :param example: a sample row, by input name.
    """
    inputs = []
    for tensor in signature["inputs"]:
        shape = [1, *tensor["shape"][1:]]
        count = 1
        for size in shape:
            count *= max(size, 1)
        if count > MOST_VALUES:
            return None
        inputs.append(
            {
                "name": tensor["name"],
                "shape": shape,
                "datatype": tensor["datatype"],
                "data": _values(tensor, count, (example or {}).get(tensor["name"])),
            }
        )
    return {"inputs": inputs} if len(inputs) <= MOST_VALUES else None


def _values(tensor: Mapping[str, Any], count: int, given: Any) -> Sequence[Any]:
    if isinstance(given, list) and len(given) == count:
        return given
    if isinstance(given, str | int | float) and count == 1:
        return [given]
    usual = (tensor.get("categories") or [EXAMPLES.get(tensor["datatype"], 1)])[0]
    return [usual] * count


def _json(body: Mapping[str, Any]) -> str:
    """One input a line."""
    rows = ",\n  ".join(json.dumps(row, ensure_ascii=False) for row in body["inputs"])
    return '{"inputs": [\n  ' + rows + "\n]}"


def _address(place: Place) -> str:
    return f"{REST}/v2/models/{place.route}/versions/{place.version}/infer"


def curl(place: Place, body: Mapping[str, Any] | None) -> str:
    """Ask over REST."""
    data = shlex.quote(_json(body)) if body else "@request.json"
    return f"curl -s {_address(place)} \\\n  -H 'Content-Type: application/json' \\\n  -d {data}"


def python(place: Place, body: Mapping[str, Any] | None, release: str) -> str:
    """Ask from Python, and refuse an answer of anything but this release."""
    rows = [f"    {_literal(row)}," for row in body["inputs"]] if body else []
    request = ['request = {"inputs": [', *rows, "]}"] if body else ['request = json.load(open("request.json"))']
    return "\n".join(
        (
            *(() if body else ("import json",)),
            "import requests",
            "",
            *request,
            "answer = requests.post(",
            f'    "{_address(place)}", json=request, timeout=10',
            ")",
            "answer.raise_for_status()",
            "said = answer.json()",
            f'release = "{release}"',
            'assert said["parameters"]["release_digest"] == release',
            'print({output["name"]: output["data"] for output in said["outputs"]})',
        )
    )


def _literal(row: Mapping[str, Any]) -> str:
    """A row as Python: as in JSON, but for truth values."""
    return repr(dict(row)) if any(isinstance(value, bool) for value in row["data"]) else json.dumps(row)


def docker(place: Place) -> str:
    """Fetch the image by digest and start it, hardened; it refuses to start unless our key sealed it."""
    file = f"{place.name}.oci.tar"
    fetch = (
        (f"docker pull {place.reference}",)
        if place.reference
        else (
            f"# on the worker: python -m builders archive {place.image_digest} {file}",
            f"docker load -i {file}",
        )
    )
    return "\n".join(
        (
            *fetch,
            "",
            f"docker run --rm --name {place.name} --read-only --tmpfs /tmp --cap-drop ALL \\",
            "  --security-opt no-new-privileges -p 8080:8080 -p 8081:8081 \\",
            f"  -e COUNTERSIGN_KEY_FINGERPRINT={place.key} \\",
            f"  -e COUNTERSIGN_IMAGE_DIGEST={place.image_digest} \\",
            f"  {place.reference or place.engine_id}",
        )
    )


def kubernetes(place: Place) -> str:
    """What runs it in a cluster; the image comes from the registry it was pushed to."""
    return _yaml(*deployment.kubernetes(_running(place)))


def compose(place: Place) -> str:
    """A compose file."""
    return _yaml(deployment.compose(_running(place)))


def _running(place: Place) -> deployment.Running:
    reference = place.reference or f"registry.example.com/{place.bundle}@{place.image_digest}"
    repository, _, digest = reference.partition("@")
    return deployment.Running(place.name, repository, digest, place.key)


def _yaml(*documents: Mapping[str, Any]) -> str:
    return yaml.safe_dump_all(documents, sort_keys=False, width=1000).strip()


def files(version: ModelVersion) -> str:
    """Fetch the files themselves, verified."""
    pinned = f"{version.model.full_name}@{version.release_digest or version.artifact_digest}"
    return f"countersign pull {pinned}"
