"""The HTTP API: every path, parameter and body this client knows; those of platforms are in `platforms`."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import quote

import requests

from countersign import models
from countersign.advisories import Advisory, AdvisoryBundle
from countersign.errors import NotFound
from countersign.experiments import Experiment
from countersign.refs import Ref
from countersign.speaking import V1, Speaker, as_json
from countersign.transport import FileBody

_UPLOAD_PATIENCE = 120.0  # seconds: the server hashes and syncs the last bytes before it answers


class Api(Speaker):
    """Calls of one server. Answers come as dataclasses of `models`; refusals as exceptions of `errors`."""

    # --- who and where

    def server(self) -> models.Server:
        return models.Server.from_wire(self._get("/.well-known/countersign.json"))

    def whoami(self) -> models.Identity:
        return models.Identity.from_wire(self._get(f"{V1}/whoami"))

    def server_date(self) -> str | None:
        """The Date header of a cheap answer, for comparing clocks."""
        response = self.transport.request("GET", "/.well-known/countersign.json", attempts=1)
        return response.headers.get("Date")

    # --- bytes

    def has_blob(self, digest: str) -> bool:
        """Whether the server holds these bytes and lets this token use them; asked once, as `put_blob` sends once."""
        response = self.transport.request("HEAD", f"{V1}/blobs/{digest}", expect={404}, attempts=1)
        return response.status_code != 404

    def put_blob(self, digest: str, body: FileBody | bytes) -> None:
        """Send bytes once; a body is read while it travels, so repeating is the caller's business."""
        self.transport.request(
            "PUT",
            f"{V1}/blobs/{digest}",
            body=body,
            headers={"Content-Type": "application/octet-stream"},
            attempts=1,
            patience=_UPLOAD_PATIENCE,
        )

    def open_file(self, version: models.Version, file: models.File, *, offset: int = 0) -> requests.Response:
        """The bytes of one file from ``offset`` on, as a stream; status 200 means: from the start after all.

        Asked once: a stream that breaks is the caller's to go on with.
        """
        headers = {"Accept-Encoding": "identity"}
        if offset:
            headers |= {"Range": f"bytes={offset}-", "If-Range": f'"{file.digest}"'}
        path = f"{_version(version.model, version.number)}/files/{quote(file.path)}"
        return self.transport.request("GET", path, headers=headers, stream=True, attempts=1)

    # --- models and versions

    def list_models(self, **filters: str | None) -> Iterator[models.Model]:
        """Models as pages arrive; ``filters`` are q, team, task and stage."""
        return (models.Model.from_wire(item) for item in self._pages(f"{V1}/models", filters))

    def model(self, name: str) -> models.Model:
        return models.Model.from_wire(self._get(_model(name)))

    def versions(self, name: str) -> Iterator[models.Version]:
        return (models.Version.from_wire(item) for item in self._pages(f"{_model(name)}/versions", {}))

    def version(self, ref: Ref) -> models.Version:
        return models.Version.from_wire(self._get(_version(ref.name, ref.selector)))

    def create_version(
        self,
        name: str,
        *,
        files: Mapping[str, str],
        model_format: str,
        card: str,
        label: str | None,
        author: str | None,
        metrics: Sequence[Mapping[str, Any]],
        params: Mapping[str, Any],
        tags: Mapping[str, str],
        lineage: Sequence[Mapping[str, str]],
        environment: Mapping[str, Any],
        create_model: bool,
    ) -> tuple[models.Version, bool]:
        """Register a version over stored blobs.

        :param files: digest of each file by its path in the version.
        :returns: the version, and whether it is new; the same content returns the version that exists.
        """
        body = {
            "files": [{"path": path, "digest": digest} for path, digest in sorted(files.items())],
            "format": model_format,
            "card": card,
            "metrics": list(metrics),
            "params": dict(params),
            "tags": dict(tags),
            "lineage": list(lineage),
            "environment": dict(environment),
            "create_model": create_model,
        }
        body |= {key: value for key, value in (("label", label), ("author", author)) if value}
        response = self._post(f"{_model(name)}/versions", body)
        return models.Version.from_wire(as_json(response)), response.status_code == 201

    def card(self, version: models.Version) -> str:
        response = self.transport.request("GET", f"{_version(version.model, version.number)}/card")
        response.encoding = "utf-8"
        return response.text

    def lineage(self, version: models.Version) -> models.Lineage:
        return models.Lineage.from_wire(self._get(f"{_version(version.model, version.number)}/lineage"))

    def diff(self, version: models.Version, base: str | None) -> models.Diff:
        path = f"{_version(version.model, version.number)}/diff"
        return models.Diff.from_wire(self._get(path, {"base": base}))

    def report(self, version: models.Version, step: str) -> dict[str, Any]:
        answer = self._get(f"{_version(version.model, version.number)}/reports/{quote(step, safe='')}")
        return dict(answer)

    def retry_checks(self, version: models.Version) -> models.Version:
        response = self._post(f"{_version(version.model, version.number)}/retry", {})
        return models.Version.from_wire(as_json(response))

    def set_alias(self, name: str, alias: str, number: int) -> None:
        self._guarded(
            "PUT", f"{_model(name)}/aliases/{quote(alias, safe='')}", guard=_model(name), json={"number": number}
        )

    def remove_alias(self, name: str, alias: str) -> None:
        self._guarded("DELETE", f"{_model(name)}/aliases/{quote(alias, safe='')}", guard=_model(name))

    # --- asking for approval

    def submit(
        self,
        version: models.Version,
        *,
        note: str,
        uses: Sequence[str],
        environments: Sequence[str],
        prohibited_uses: Sequence[str],
        limits: Sequence[str],
    ) -> models.Review:
        body = {
            "note": note,
            "uses": list(uses),
            "environments": list(environments),
            "prohibited_uses": list(prohibited_uses),
            "limits": list(limits),
        }
        response = self._post(f"{_version(version.model, version.number)}/submit", body)
        return models.Review.from_wire(as_json(response))

    def withdraw(self, version: models.Version, reason: str) -> None:
        self._post(f"{_version(version.model, version.number)}/withdraw", {"reason": reason})

    def reviews(self, state: str | None) -> Iterator[models.Review]:
        return (models.Review.from_wire(item) for item in self._pages(f"{V1}/reviews", {"state": state}))

    def review(self, review_id: str) -> models.Review:
        return models.Review.from_wire(self._get(f"{V1}/reviews/{quote(review_id, safe='')}"))

    def comment(self, review_id: str, text: str) -> None:
        self._post(f"{V1}/reviews/{quote(review_id, safe='')}/comments", {"text": text})

    def answer(self, review_id: str, notice: str, text: str) -> None:
        self._post(f"{V1}/reviews/{quote(review_id, safe='')}/answers", {"about": notice, "text": text})

    # --- bundles and builds

    def bundles(self) -> Iterator[models.Bundle]:
        return (models.Bundle.from_wire(item) for item in self._pages(f"{V1}/bundles", {}))

    def bundle(self, name: str) -> models.Bundle:
        return models.Bundle.from_wire(self._get(_bundle(name)))

    def set_bundle(self, name: str, content: Mapping[str, Any]) -> models.Bundle:
        """Create the bundle, or replace its routes as they stand now."""
        try:
            response = self._guarded("PUT", _bundle(name), guard=_bundle(name), json=dict(content))
        except NotFound:
            response = self._post(f"{V1}/bundles", {"name": name, **content})
        return models.Bundle.from_wire(as_json(response))

    def bake(self, name: str) -> models.Build:
        return models.Build.from_wire(as_json(self._post(f"{_bundle(name)}/bake", {})))

    def roll_back(self, name: str, current: str) -> models.Bundle:
        return models.Bundle.from_wire(as_json(self._post(f"{_bundle(name)}/rollback", {"current": current})))

    def experiments(self, name: str) -> Iterator[Experiment]:
        return (Experiment.from_wire(item) for item in self._pages(f"{_bundle(name)}/experiments", {}))

    def start_experiment(self, name: str, content: Mapping[str, Any]) -> Experiment:
        return Experiment.from_wire(as_json(self._post(f"{_bundle(name)}/experiments", dict(content))))

    def end_experiment(self, experiment_id: str) -> Experiment:
        return Experiment.from_wire(as_json(self._post(f"{V1}/experiments/{quote(experiment_id, safe='')}/end", {})))

    def conclude_experiment(self, experiment_id: str, result: str) -> Experiment:
        where = f"{V1}/experiments/{quote(experiment_id, safe='')}/conclusion"
        return Experiment.from_wire(as_json(self._post(where, {"result": result})))

    def image(self, digest: str) -> models.Image:
        return models.Image.from_wire(self._get(f"{V1}/images/{quote(digest, safe='')}"))

    def builds(self, bundle: str | None) -> Iterator[models.Build]:
        return (models.Build.from_wire(item) for item in self._pages(f"{V1}/builds", {"bundle": bundle}))

    def build(self, build_id: str) -> models.Build:
        return models.Build.from_wire(self._get(f"{V1}/builds/{quote(build_id, safe='')}"))

    def retry_build(self, build_id: str) -> models.Build:
        return models.Build.from_wire(as_json(self._post(f"{V1}/builds/{quote(build_id, safe='')}/retry", {})))

    def rebuild(self, image: str) -> models.Rebuild:
        return models.Rebuild.from_wire(as_json(self._post(f"{V1}/images/{quote(image, safe='')}/rebuild", {})))

    def show_rebuild(self, image: str, rebuild_id: str) -> models.Rebuild:
        where = f"{V1}/images/{quote(image, safe='')}/rebuilds/{quote(rebuild_id, safe='')}"
        return models.Rebuild.from_wire(self._get(where))

    def build_log(self, build_id: str, offset: int) -> bytes:
        """The log's bytes from ``offset`` on; empty when there are none yet."""
        response = self.transport.request(
            "GET",
            f"{V1}/builds/{quote(build_id, safe='')}/log",
            headers={"Range": f"bytes={offset}-", "Accept-Encoding": "identity"},
            expect={416},
        )
        if response.status_code == 416:
            return b""
        return response.content if response.status_code == 206 else response.content[offset:]

    # --- known vulnerabilities

    def advisories(self) -> Iterator[Advisory]:
        return (Advisory.from_wire(item) for item in self._pages(f"{V1}/advisories", {}))

    def advisory(self, advisory_id: str) -> Advisory:
        return Advisory.from_wire(self._get(f"{V1}/advisories/{quote(advisory_id, safe='')}"))

    def import_advisories(self, digest: str, body: FileBody | bytes) -> AdvisoryBundle:
        """Send a bundle once; a body is read while it travels, so repeating is the caller's business."""
        response = self.transport.request(
            "PUT",
            f"{V1}/advisories/bundles/{digest}",
            body=body,
            headers={"Content-Type": "application/octet-stream"},
            attempts=1,
            patience=_UPLOAD_PATIENCE,
        )
        return AdvisoryBundle.from_wire(as_json(response))

    def advisory_bundle(self, digest: str) -> AdvisoryBundle:
        return AdvisoryBundle.from_wire(self._get(f"{V1}/advisories/bundles/{quote(digest, safe='')}"))

    # --- tokens

    def tokens(self) -> Iterator[models.Token]:
        return (models.Token.from_wire(item) for item in self._pages(f"{V1}/tokens", {}))

    def create_token(self, name: str, scopes: Sequence[str], days: int) -> models.Token:
        body = {"name": name, "scopes": list(scopes), "days": days}
        return models.Token.from_wire(as_json(self._post(f"{V1}/tokens", body)))

    def revoke_token(self, token_id: str) -> None:
        # `*`: revoking is wanted whatever else changed about the token in the meantime.
        path = f"{V1}/tokens/{quote(token_id, safe='')}"
        self.transport.request("DELETE", path, headers={"If-Match": "*"})


def _model(name: str) -> str:
    return f"{V1}/models/{quote(name)}"


def _version(name: str, selector: str | int) -> str:
    return f"{_model(name)}/versions/{quote(str(selector), safe=':')}"


def _bundle(name: str) -> str:
    return f"{V1}/bundles/{quote(name)}"
