"""A portal in memory, over real HTTP: the API of the contract.

It shares no code with the client. Checks pass at once or fail as a test says; nobody's rights are looked at beyond the token.
"""

import hashlib
import json
import re
from typing import Any

import yaml
from fake_http import TOKEN, Answer, Served

__all__ = ["TOKEN", "Portal", "artifact_digest"]

TARGETS = [
    {"os": "linux", "arch": "x86_64", "libc": "glibc-2.36", "python": minor} for minor in ("3.11", "3.12", "3.13")
]


class Portal(Served):
    """State and server. ``stage_after_push`` is what the checks make of a version."""

    def __init__(self) -> None:
        self.blobs: dict[str, bytes] = {}
        self.models: dict[str, dict[str, Any]] = {}
        self.versions: dict[str, list[dict[str, Any]]] = {}
        self.reviews: dict[str, dict[str, Any]] = {}
        self.bundles: dict[str, dict[str, Any]] = {}
        self.experiments: dict[str, dict[str, Any]] = {}
        self.builds: dict[str, dict[str, Any]] = {}
        self.rebuilds: dict[str, dict[str, Any]] = {}
        self.changes: dict[str, dict[str, Any]] = {}
        self.advisories: dict[str, dict[str, Any]] = {}
        self.advisory_outcome: dict[str, Any] = {"state": "done", "in_force": True, "records": 2}
        self.outcome: dict[str, Any] = {"state": "equal"}
        self.isolation = "container"
        self.logs: dict[str, list[bytes]] = {}
        self.tokens: dict[str, dict[str, Any]] = {
            "t1": {"id": "t1", "name": "laptop", "scopes": ["read", "push"], "expires_at": "2031-01-01T00:00:00Z"}
        }
        self.server_info: dict[str, Any] = {
            "version": "0.1.0",
            "client_minimum": "0.1.0",
            "max_upload_bytes": 1 << 30,
            "targets": TARGETS,
            "formats": ["joblib", "pickle"],
        }
        self.stage_after_push = "ready"
        self.page_size = 2
        self.queries: list[dict[str, str]] = []
        super().__init__()

    def version(self, name: str, number: int) -> dict[str, Any]:
        return self.versions[name][number - 1]

    def move(self, name: str, number: int, stage: str) -> None:
        self.version(name, number).update(stage=stage, status=f"It is {stage}.")

    # --- handlers: (match, query, body, headers) -> (status, JSON or bytes, headers)

    def discovery(self, **_: Any) -> Any:
        return 200, {"api": f"{self.url}/api/v1", **self.server_info}

    def whoami(self, **_: Any) -> Any:
        return 200, {
            "actor": "person:ana",
            "name": "ana",
            "kind": "person",
            "teams": ["payments"],
            "roles": ["scientist"],
            "token": self.tokens["t1"],
        }

    def head_blob(self, digest: str, **_: Any) -> Any:
        return (200 if digest in self.blobs else 404), b""

    def put_blob(self, digest: str, body: bytes, headers: dict[str, str], **_: Any) -> Any:
        if "content-length" not in headers:
            raise Answer(411, "length-required", "no Content-Length")
        actual = "sha256:" + hashlib.sha256(body).hexdigest()
        if actual != digest:
            raise Answer(422, "digest-mismatch", f"the bytes are {actual}")
        known = digest in self.blobs
        self.blobs[digest] = body
        return (200 if known else 201), {"digest": digest, "size": len(body)}

    def list_models(self, query: dict[str, str], **_: Any) -> Any:
        found = [model for model in self.models.values() if query.get("q", "") in f"{model['name']} {model['purpose']}"]
        found = [model for model in found if query.get("team", model["team"]) == model["team"]]
        return self._page(found, query)

    def get_model(self, name: str, **_: Any) -> Any:
        if name not in self.models:
            raise Answer(404, "not-found", f"there is no model {name}")
        return 200, self.models[name], {"ETag": f'"{self.models[name]["revision"]}"'}

    def list_versions(self, name: str, query: dict[str, str], **_: Any) -> Any:
        self.get_model(name)
        return self._page(self.versions[name][::-1], query)

    def create_version(self, name: str, body: bytes, **_: Any) -> Any:
        push = json.loads(body)
        if missing := [file["digest"] for file in push["files"] if file["digest"] not in self.blobs]:
            raise Answer(404, "not-found", f"you have not uploaded {missing[0]}")
        if name not in self.models and not push.get("create_model"):
            raise Answer(404, "not-found", f"there is no model {name}", "Push with create_model.")
        self.models.setdefault(
            name,
            {
                "name": name,
                "team": name.partition("/")[0],
                "purpose": "Labels feedback.",
                "task": "text-classification",
                "visibility": "internal",
                "revision": 1,
            },
        )
        versions = self.versions.setdefault(name, [])
        content = hashlib.sha256(json.dumps([push["files"], push["card"]]).encode()).hexdigest()
        for known in versions:
            if known["content"] == content:
                return 200, known
        number = len(versions) + 1
        files = sorted(
            ({**file, "size": len(self.blobs[file["digest"]])} for file in push["files"]), key=lambda file: file["path"]
        )
        version = {
            "ref": f"{name}:{number}", "model": name, "number": number, "label": push.get("label"), "stage": self.stage_after_push,
            "status": "Its checks passed.", "artifact_digest": artifact_digest(files), "release_digest": None, "format": push["format"],
            "size": sum(file["size"] for file in files), "files": files, "card": yaml.safe_load(push["card"].split("---")[1]), "aliases": [], "signature": None,
            "metrics": [{"dataset": None, "higher_is_better": None, "declared_by": "person:ana", "measured": False, **metric} for metric in push["metrics"]],
            "params": push["params"], "tags": push["tags"], "checks": [{"step": "scan", "outcome": "passed", "summary": "Nothing unknown.", "isolation": "none", "digest": None}],
            "job": None, "request": None, "author": "person:ana", "uploaded_by": "person:ana", "created_at": "2026-11-23T10:00:00Z",
            "url": f"{self.url}/models/{name}/versions/{number}", "content": content, "push": push, "card_text": push["card"], "future": {"kept": True},
        }  # fmt: skip
        versions.append(version)
        return 201, version

    def get_version(self, name: str, ref: str, **_: Any) -> Any:
        version = self._find(name, ref)
        return (
            200,
            {key: value for key, value in version.items() if key not in {"push", "card_text", "content"}},
            {"ETag": '"1"'},
        )

    def get_file(self, name: str, ref: str, path: str, headers: dict[str, str], **_: Any) -> Any:
        version = self._find(name, ref)
        file = next((file for file in version["files"] if file["path"] == path), None)
        if file is None:
            raise Answer(404, "not-found", f"no file {path}")
        return self._ranged(self.blobs[file["digest"]], headers, {"ETag": f'"{file["digest"]}"'})

    def get_card(self, name: str, ref: str, **_: Any) -> Any:
        return 200, self._find(name, ref)["card_text"].encode(), {"Content-Type": "text/markdown"}

    def get_lineage(self, name: str, ref: str, **_: Any) -> Any:
        return 200, {"edges": self._find(name, ref)["push"]["lineage"], "used_by": []}

    def get_diff(self, name: str, ref: str, query: dict[str, str], **_: Any) -> Any:
        self.queries.append(query)
        version = self._find(name, ref)
        base = self._find(name, query.get("base", "1"))
        changed = [
            {"section": "files", "path": file["path"], "before": other["digest"], "after": file["digest"]}
            for file, other in zip(version["files"], base["files"], strict=True)
            if file["digest"] != other["digest"]
        ]
        broken = {"compatibility": "breaking", "breaks": ["The input text is no longer taken."]}
        return 200, {"ref": version["ref"], "base": base["ref"], "changes": changed, **(broken if changed else {})}

    def get_report(self, name: str, ref: str, step: str, **_: Any) -> Any:
        return 200, {
            "schema": "countersign.report/1",
            "step": step,
            "outcome": "failed",
            "summary": "An unknown name.",
            "isolation": "none",
            "findings": [{"code": "unknown-global", "message": "os:system is not allowed", "hint": "Train again."}],
            "facts": {},
        }

    def submit(self, name: str, ref: str, body: bytes, **_: Any) -> Any:
        version = self._find(name, ref)
        if version["stage"] != "ready":
            raise Answer(409, "wrong-stage", f"{version['ref']} is {version['stage']}", "Wait for its checks.")
        review_id = f"r{len(self.reviews) + 1}"
        self.reviews[review_id] = {
            "id": review_id, "ref": version["ref"], "state": "open", "release_digest": "sha256:" + "1" * 64, "dossier_digest": "sha256:" + "2" * 64,
            "gates": [{"code": "two-people", "title": "Two people decide", "state": "wait", "why": "0 of 2 signed"}], "decisions": [],
            "notices": [
                {"code": "advisories-unknown", "title": "Advisories", "message": "not compared", "must_answer": True},
                {"code": "own-code", "title": "Own code", "message": "none", "must_answer": False},
            ],
            "requested_by": "person:ana", "requested_at": "2026-11-23T10:00:00Z", "note": json.loads(body)["note"], "url": f"{self.url}/reviews/{review_id}", "comments": [],
            "asked": json.loads(body),
        }  # fmt: skip
        version.update(
            stage="in_review", release_digest="sha256:" + "1" * 64, request={"id": review_id, "state": "open"}
        )
        return 201, self.reviews[review_id]

    def withdraw(self, name: str, ref: str, **_: Any) -> Any:
        version = self._find(name, ref)
        version.update(stage="ready", request=None)
        return 200, version

    def retry_checks(self, name: str, ref: str, **_: Any) -> Any:
        version = self._find(name, ref)
        version.update(stage="ready")
        return 200, version

    def set_alias(self, name: str, alias: str, body: bytes, headers: dict[str, str], **_: Any) -> Any:
        self._guard(self.models[name], headers)
        number = json.loads(body)["number"]
        for version in self.versions[name]:
            version["aliases"] = [known for known in version["aliases"] if known != alias]
        self.version(name, number)["aliases"].append(alias)
        return 200, {"alias": alias, "number": number}

    def remove_alias(self, name: str, alias: str, headers: dict[str, str], **_: Any) -> Any:
        self._guard(self.models[name], headers)
        for version in self.versions[name]:
            version["aliases"] = [known for known in version["aliases"] if known != alias]
        return 204, b""

    def list_reviews(self, query: dict[str, str], **_: Any) -> Any:
        return self._page(
            [review for review in self.reviews.values() if query.get("state", review["state"]) == review["state"]],
            query,
        )

    def get_review(self, item: str, **_: Any) -> Any:
        return 200, self._of(self.reviews, item)

    def comment(self, item: str, body: bytes, **_: Any) -> Any:
        self._of(self.reviews, item)["comments"].append(json.loads(body)["text"])
        return 201, {"text": json.loads(body)["text"]}

    def list_bundles(self, query: dict[str, str], **_: Any) -> Any:
        return self._page(list(self.bundles.values()), query)

    def create_bundle(self, body: bytes, **_: Any) -> Any:
        content = json.loads(body)
        self.bundles[content["name"]] = {
            "rebuild": "auto",
            **content,
            "url": f"{self.url}/bundles/{content['name']}",
            "revision": 1,
        }
        return 201, self.bundles[content["name"]]

    def get_bundle(self, name: str, **_: Any) -> Any:
        bundle = self._of(self.bundles, name)
        return 200, bundle, {"ETag": f'"{bundle["revision"]}"'}

    def put_bundle(self, name: str, body: bytes, headers: dict[str, str], **_: Any) -> Any:
        bundle = self._of(self.bundles, name)
        self._guard(bundle, headers)
        bundle.update(json.loads(body), revision=bundle["revision"] + 1)
        return 200, bundle

    def get_image(self, digest: str, **_: Any) -> Any:
        return 200, {"digest": digest, "key_fingerprint": "sha256:" + "f" * 64, "isolation": self.isolation}

    def roll_back(self, name: str, body: bytes, **_: Any) -> Any:
        bundle = self._of(self.bundles, name)
        assert json.loads(body) == {"current": bundle["image_digest"]}
        bundle["image_digest"] = bundle.pop("previous")
        return 200, bundle

    def experiments_of(self, name: str, query: dict[str, str], **_: Any) -> Any:
        return self._page([item for item in self.experiments.values() if item["bundle"] == name], query)

    def start_experiment(self, name: str, body: bytes, **_: Any) -> Any:
        item = {"id": f"e{len(self.experiments) + 1}", "bundle": name, "state": "running", **json.loads(body)}
        self.experiments[item["id"]] = item
        return 201, item

    def end_experiment(self, item: str, **_: Any) -> Any:
        self._of(self.experiments, item)["state"] = "ended"
        return 200, self.experiments[item]

    def conclude_experiment(self, item: str, body: bytes, **_: Any) -> Any:
        self._of(self.experiments, item).update(state="concluded", **json.loads(body))
        return 200, self.experiments[item]

    def bake(self, name: str, **_: Any) -> Any:
        self._of(self.bundles, name)
        build_id = f"b{len(self.builds) + 1}"
        self.builds[build_id] = {
            "id": build_id,
            "bundle": name,
            "state": "queued",
            "image_digest": None,
            "isolation": None,
            "steps": [],
            "error": None,
            "created_at": "2026-11-23T10:00:00Z",
            "url": f"{self.url}/builds/{build_id}",
        }
        self.logs[build_id] = []
        return 201, self.builds[build_id]

    def list_builds(self, query: dict[str, str], **_: Any) -> Any:
        found = [build for build in self.builds.values() if query.get("bundle", build["bundle"]) == build["bundle"]]
        return self._page(found, query)

    def get_build(self, item: str, **_: Any) -> Any:
        """Each look moves the build on: queued, running, done; a failed one stays failed."""
        build = self._of(self.builds, item)
        answer = dict(build)
        following = {"queued": "running", "running": "done"}.get(build["state"])
        if following:
            build["state"] = following
            self.logs[item].append(f"{following} ✓\n".encode())
            if following == "done":
                build["image_digest"] = "sha256:" + "3" * 64
        return 200, answer

    def get_log(self, item: str, headers: dict[str, str], **_: Any) -> Any:
        return self._ranged(b"".join(self.logs[item]), headers, {"Content-Type": "text/plain"})

    def retry_build(self, item: str, **_: Any) -> Any:
        build = self._of(self.builds, item)
        build.update(state="queued", error=None)
        return 200, build

    def rebuild(self, item: str, **_: Any) -> Any:
        self.rebuilds[item] = self.rebuilds.get(item) or {
            "id": "r1",
            "image_digest": item,
            "state": "queued",
            "url": f"{self.url}/images/{item}",
        }
        return 202, self.rebuilds[item]

    def get_rebuild(self, item: str, **_: Any) -> Any:
        """It waits at the first look; then it has ended, as ``outcome`` says."""
        rebuild = dict(self.rebuilds[item])
        self.rebuilds[item].update(self.outcome)
        return 200, rebuild

    def put_advisories(self, item: str, body: bytes, headers: dict[str, str], **_: Any) -> Any:
        assert headers["content-type"] == "application/octet-stream"
        if "sha256:" + hashlib.sha256(body).hexdigest() != item:
            raise Answer(422, "digest-mismatch", "the bytes are others")
        self.advisories[item] = {"digest": item, "state": "queued", "url": f"{self.url}/advisories/imports"}
        return 202, self.advisories[item]

    def get_advisories(self, item: str, **_: Any) -> Any:
        """It waits at the first look; then it has ended, as ``advisory_outcome`` says."""
        bundle = dict(self._of(self.advisories, item))
        self.advisories[item].update(self.advisory_outcome)
        return 200, bundle

    def list_advisories(self, query: dict[str, str], **_: Any) -> Any:
        return self._page([self.advisory(name) for name in ("GHSA-a", "GHSA-b", "GHSA-c")], query)

    def get_advisory(self, item: str, **_: Any) -> Any:
        held = [{"digest": "sha256:" + "3" * 64, "bundle": "payments/voice", "team": "payments", "current": True}]
        return 200, {**self.advisory(item), "in_versions": [{"ref": "payments/voice:1"}], "in_images": held}

    @staticmethod
    def advisory(name: str) -> dict[str, Any]:
        return {"id": name, "severity": "high", "packages": ["numpy 2.4.1"], "versions": 1, "images": 1, "blocks": True}

    def list_platforms(self, **_: Any) -> Any:
        offered = {"digest": "sha256:" + "7" * 64, "in_force": False, "base": "host", "offered_by": "w2"}
        return 200, {"items": [offered]}

    def list_changes(self, query: dict[str, str], **_: Any) -> Any:
        return self._page(list(self.changes.values()), query)

    def propose(self, body: bytes, **_: Any) -> Any:
        said = json.loads(body)
        self.changes["c1"] = {
            "id": "c1", "state": "proposed", "images": 2, "outcomes": {"waiting": 2}, **said,
            "differences": [
                {"part": "wheel", "name": "numpy", "before": "2.4.1", "after": "2.4.2"},
                {"part": "code", "name": "start.py", "before": "sha256:1", "after": "sha256:2"},
            ],
            "gates": [{"code": "two-people", "state": "wait", "why": "2 more from compliance or validator."}],
        }  # fmt: skip
        return 201, self.changes["c1"]

    def get_change(self, item: str, **_: Any) -> Any:
        return 200, self._of(self.changes, item)

    def act_on_change(self, item: str, act: str, **_: Any) -> Any:
        states = {"withdraw": "withdrawn", "pause": "paused", "resume": "running"}
        self._of(self.changes, item)["state"] = states[act]
        return 200, self.changes[item]

    def list_moves(self, item: str, query: dict[str, str], **_: Any) -> Any:
        moves = [
            {"image_digest": "sha256:" + str(number) * 64, "bundle": f"payments/{name}", "outcome": outcome}
            for number, (name, outcome) in enumerate((("a", "equal"), ("b", "not_equal")))
        ]
        wanted = query.get("outcome")
        return self._page(
            [move for move in moves if self._of(self.changes, item) and wanted in (None, move["outcome"])], query
        )

    def retry_move(self, item: str, digest: str, **_: Any) -> Any:
        assert item in self.changes
        return 202, {"image_digest": digest, "bundle": "payments/b", "outcome": "queued"}

    def list_tokens(self, query: dict[str, str], **_: Any) -> Any:
        return self._page(list(self.tokens.values()), query)

    def create_token(self, body: bytes, **_: Any) -> Any:
        asked = json.loads(body)
        token_id = f"t{len(self.tokens) + 1}"
        self.tokens[token_id] = {
            "id": token_id,
            "name": asked["name"],
            "scopes": asked["scopes"],
            "expires_at": "2026-12-23T10:00:00Z",
        }
        return 201, {**self.tokens[token_id], "token": f"cs_{token_id}_secret"}, {}, self.tokens[token_id]

    def revoke_token(self, item: str, headers: dict[str, str], **_: Any) -> Any:
        if "if-match" not in headers:
            raise Answer(428, "precondition-missing", "If-Match is missing")
        self._of(self.tokens, item)
        del self.tokens[item]
        return 204, b""

    # ---

    def _find(self, name: str, ref: str) -> dict[str, Any]:
        self.get_model(name)
        for version in self.versions[name][::-1]:
            if ref in {
                str(version["number"]),
                version["artifact_digest"],
                version["release_digest"],
                *version["aliases"],
            }:
                return version
            if ref == "approved" and version["stage"].startswith("approved"):
                return version
        raise Answer(404, "not-found", f"{name} has no version {ref}", "Name a version number.")

    def _of(self, table: dict[str, Any], key: str) -> Any:
        if key not in table:
            raise Answer(404, "not-found", f"there is no {key}")
        return table[key]

    def _guard(self, resource: dict[str, Any], headers: dict[str, str]) -> None:
        if "if-match" not in headers:
            raise Answer(428, "precondition-missing", "If-Match is missing")
        if headers["if-match"] != f'"{resource["revision"]}"':
            raise Answer(412, "stale", "it changed since you looked", "Read it again.")

    def _page(self, items: list[Any], query: dict[str, str]) -> Any:
        start = int(query.get("cursor", 0))
        following = start + self.page_size
        return 200, {"items": items[start:following], "next": str(following) if following < len(items) else None}

    def _ranged(self, data: bytes, headers: dict[str, str], answer: dict[str, str]) -> Any:
        match = re.fullmatch(r"bytes=(\d+)-", headers.get("range", ""))
        if match is None:
            return 200, data, answer
        start = int(match[1])
        if start >= len(data):
            return 416, b"", answer
        return 206, data[start:], {**answer, "Content-Range": f"bytes {start}-{len(data) - 1}/{len(data)}"}


def artifact_digest(files: list[dict[str, Any]]) -> str:
    """Written out again by hand, so that the client's own is checked against another."""
    listed = [{"path": file["path"], "sha256": file["digest"], "size": file["size"]} for file in files]
    manifest = json.dumps({"files": listed, "schema": "countersign.artifacts/1"}, separators=(",", ":"), sort_keys=True)
    return "sha256:" + hashlib.sha256(manifest.encode()).hexdigest()


_M = r"/api/v1/models/(?P<name>[^/]+/[^/]+)"
_V = _M + r"/versions/(?P<ref>[^/]+)"
Portal.routes = [
    ("GET", r"/\.well-known/countersign\.json", Portal.discovery),
    ("GET", r"/api/v1/whoami", Portal.whoami),
    ("HEAD", r"/api/v1/blobs/(?P<digest>[^/]+)", Portal.head_blob),
    ("PUT", r"/api/v1/blobs/(?P<digest>[^/]+)", Portal.put_blob),
    ("GET", r"/api/v1/models", Portal.list_models),
    ("GET", _M, Portal.get_model),
    ("GET", _M + r"/versions", Portal.list_versions),
    ("POST", _M + r"/versions", Portal.create_version),
    ("GET", _V, Portal.get_version),
    ("GET", _V + r"/files/(?P<path>.+)", Portal.get_file),
    ("GET", _V + r"/card", Portal.get_card),
    ("GET", _V + r"/lineage", Portal.get_lineage),
    ("GET", _V + r"/diff", Portal.get_diff),
    ("GET", _V + r"/reports/(?P<step>[^/]+)", Portal.get_report),
    ("POST", _V + r"/submit", Portal.submit),
    ("POST", _V + r"/withdraw", Portal.withdraw),
    ("POST", _V + r"/retry", Portal.retry_checks),
    ("PUT", _M + r"/aliases/(?P<alias>[^/]+)", Portal.set_alias),
    ("DELETE", _M + r"/aliases/(?P<alias>[^/]+)", Portal.remove_alias),
    ("GET", r"/api/v1/reviews", Portal.list_reviews),
    ("GET", r"/api/v1/reviews/(?P<item>[^/]+)", Portal.get_review),
    ("POST", r"/api/v1/reviews/(?P<item>[^/]+)/comments", Portal.comment),
    ("GET", r"/api/v1/bundles", Portal.list_bundles),
    ("POST", r"/api/v1/bundles", Portal.create_bundle),
    ("GET", r"/api/v1/bundles/(?P<name>[^/]+/[^/]+)", Portal.get_bundle),
    ("PUT", r"/api/v1/bundles/(?P<name>[^/]+/[^/]+)", Portal.put_bundle),
    ("POST", r"/api/v1/bundles/(?P<name>[^/]+/[^/]+)/bake", Portal.bake),
    ("GET", r"/api/v1/images/(?P<digest>[^/]+)", Portal.get_image),
    ("POST", r"/api/v1/bundles/(?P<name>[^/]+/[^/]+)/rollback", Portal.roll_back),
    ("GET", r"/api/v1/bundles/(?P<name>[^/]+/[^/]+)/experiments", Portal.experiments_of),
    ("POST", r"/api/v1/bundles/(?P<name>[^/]+/[^/]+)/experiments", Portal.start_experiment),
    ("POST", r"/api/v1/experiments/(?P<item>[^/]+)/end", Portal.end_experiment),
    ("POST", r"/api/v1/experiments/(?P<item>[^/]+)/conclusion", Portal.conclude_experiment),
    ("GET", r"/api/v1/builds", Portal.list_builds),
    ("GET", r"/api/v1/builds/(?P<item>[^/]+)", Portal.get_build),
    ("GET", r"/api/v1/builds/(?P<item>[^/]+)/log", Portal.get_log),
    ("POST", r"/api/v1/builds/(?P<item>[^/]+)/retry", Portal.retry_build),
    ("POST", r"/api/v1/images/(?P<item>[^/]+)/rebuild", Portal.rebuild),
    ("GET", r"/api/v1/images/(?P<item>[^/]+)/rebuilds/r1", Portal.get_rebuild),
    ("PUT", r"/api/v1/advisories/bundles/(?P<item>[^/]+)", Portal.put_advisories),
    ("GET", r"/api/v1/advisories/bundles/(?P<item>[^/]+)", Portal.get_advisories),
    ("GET", r"/api/v1/advisories", Portal.list_advisories),
    ("GET", r"/api/v1/advisories/(?P<item>[^/]+)", Portal.get_advisory),
    ("GET", r"/api/v1/platforms", Portal.list_platforms),
    ("GET", r"/api/v1/platform-changes", Portal.list_changes),
    ("POST", r"/api/v1/platform-changes", Portal.propose),
    ("GET", r"/api/v1/platform-changes/(?P<item>[^/]+)", Portal.get_change),
    ("GET", r"/api/v1/platform-changes/(?P<item>[^/]+)/images", Portal.list_moves),
    ("POST", r"/api/v1/platform-changes/(?P<item>[^/]+)/images/(?P<digest>[^/]+)/retry", Portal.retry_move),
    ("POST", r"/api/v1/platform-changes/(?P<item>[^/]+)/(?P<act>withdraw|pause|resume)", Portal.act_on_change),
    ("GET", r"/api/v1/tokens", Portal.list_tokens),
    ("POST", r"/api/v1/tokens", Portal.create_token),
    ("DELETE", r"/api/v1/tokens/(?P<item>[^/]+)", Portal.revoke_token),
]
