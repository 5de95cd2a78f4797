"""The OpenAPI 3.1 description, made from the declared operations; docs/openapi.json is a copy of it.

python -m portal.api.openapi > docs/openapi.json
"""

import functools
import json
import re
import sys
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from portal import errors
from portal.api.contract import OPERATIONS, RESOURCES, Content, Media, Operation, refusals
from portal.api.documents.base import Page, Problem
from portal.installation import VERSION
from registry import access
from registry.errors import RegistryError

_VARIABLE = re.compile(r"<(?:(\w+):)?(\w+)>")
_KINDS = {"int": {"type": "integer", "minimum": 0}}
_VARIABLES = {
    "team": "Team, the first half of the name.",
    "name": "Second half of the name.",
    "reference": "A number, an alias, `approved`, `latest`, or a digest.",
    "path": "Path of the file in the version; may hold slashes.",
    "digest": "`sha256:` and 64 lower-case hex digits.",
    "step": "Name of a check step: own-code, scan, lock, introspect, predict, compile or parity.",
    "alias": "Name of the alias.",
    "seq": "Index of the entry, from 0.",
    "change_id": "Id of a platform change.",
    "advisory_id": "As the list has it: `GHSA-...`, `PYSEC-...`.",
}
_DESCRIPTION = """\
Everything a program does with Countersign. Deciding on a release is not among it: that takes a signed-in person.

Send `Authorization: Bearer cs_...`. Members may be added to answers within v1; do not fail on those you do not know.
Refusals are `application/problem+json` with a stable `code`, a `hint` and a `request_id`. Beside those that are listed,
any call may be refused with 429, 500 or 503; 503 and 429 say in `Retry-After` when to try again.
Lists give `next` and a `Link`; pass it back as `cursor`. Resources carry an `ETag`: changing one takes it as `If-Match`.
A POST with an `Idempotency-Key` is done once within 24 hours, however often it is sent."""
_TEXT = {"type": "string"}
_ETAG = {"description": "Entity tag of the resource.", "schema": _TEXT}


@functools.cache
def text() -> str:
    """The description as it is served."""
    return json.dumps(document(), indent=1, ensure_ascii=False) + "\n"


def document() -> dict[str, Any]:
    """The description."""
    paths: dict[str, dict[str, Any]] = {}
    for operation in sorted(OPERATIONS, key=lambda each: RESOURCES.index(each.tag)):
        path = _VARIABLE.sub(r"{\2}", operation.rule)
        paths.setdefault(path, {})[operation.method.lower()] = _describe(operation)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Countersign", "version": VERSION, "description": _DESCRIPTION},
        "servers": [{"url": "/"}],
        "tags": [
            {"name": name, "description": (sys.modules[f"portal.api.{name}"].__doc__ or "").partition("\n")[0]}
            for name in RESOURCES
        ],
        "paths": paths,
        "components": {
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer", "description": _scopes()}},
            "schemas": _schemas(),
        },
    }


def _scopes() -> str:
    return f"A token with the scopes it needs, of {', '.join(access.ALL_SCOPES)}."


def _describe(operation: Operation) -> dict[str, Any]:
    described: dict[str, Any] = {
        "operationId": operation.name,
        "tags": [operation.tag],
        "summary": operation.summary,
        "parameters": [*_path_parameters(operation), *_query_parameters(operation), *_header_parameters(operation)],
        "responses": {**_successes(operation), **_refusals(operation)},
        "security": [] if operation.public else [{"token": [operation.scope] if operation.scope else []}],
    }
    if operation.description:
        described["description"] = operation.description
    if operation.body:
        required = any(field.is_required() for field in operation.body.model_fields.values())
        described["requestBody"] = {
            "required": required,
            "content": {"application/json": {"schema": _reference(operation.body)}},
        }
    if operation.raw:
        described["requestBody"] = {"required": True, "content": {operation.raw: {}}}
    return described


def _path_parameters(operation: Operation) -> list[dict[str, Any]]:
    return [
        {
            "name": name,
            "in": "path",
            "required": True,
            "schema": _KINDS.get(kind, _TEXT),
            **({"description": _VARIABLES[name]} if name in _VARIABLES else {}),
        }
        for kind, name in _VARIABLE.findall(operation.rule)
    ]


def _query_parameters(operation: Operation) -> list[dict[str, Any]]:
    if operation.query is None:
        return []
    schema = operation.query.model_json_schema()
    parameters = []
    for name, described in schema["properties"].items():
        text = described.pop("description", None)
        described.pop("title", None)
        parameters.append({"name": name, "in": "query", "schema": described, **({"description": text} if text else {})})
    return parameters


def _header_parameters(operation: Operation) -> list[dict[str, Any]]:
    asked: list[tuple[str, str, bool]] = []
    if operation.guarded:
        asked.append(("If-Match", "ETag you read, or `*` for whatever is there.", True))
    if operation.takes_key:
        asked.append(("Idempotency-Key", "Anything unique, such as a UUID: makes repeating safe.", False))
    if operation.ranged:
        asked.append(("Range", "`bytes=N-` or `bytes=N-M`.", False))
    return [
        {"name": name, "in": "header", "required": required, "schema": _TEXT, "description": description}
        for name, description, required in asked
    ]


def _successes(operation: Operation) -> dict[str, Any]:
    answers: dict[str, Any] = {str(status): _success(status, content) for status, content in operation.answers.items()}
    if operation.method == "GET" and any(_is_document(content) for content in operation.answers.values()):
        answers["304"] = {"description": "You have it already (If-None-Match)."}
    return answers


def _success(status: int, content: Content) -> dict[str, Any]:
    if content is None:
        return {"description": "Done." if status == 204 else "Yes."}
    if isinstance(content, Media):
        return {"description": content.description, "content": {content.type: {}}}
    described: dict[str, Any] = {
        "description": (content.__doc__ or "").partition("\n")[0],
        "content": {"application/json": {"schema": _reference(content)}},
    }
    if issubclass(content, Page):
        described["headers"] = {"Link": {"description": 'The following page, `rel="next"`.', "schema": _TEXT}}
    else:
        described["headers"] = {"ETag": _ETAG}
    if status == 201:
        described["headers"]["Location"] = {"description": "Path of what was made.", "schema": _TEXT}
    return described


def _is_document(content: Content) -> bool:
    return isinstance(content, type) and not issubclass(content, Page)


def _refusals(operation: Operation) -> dict[str, Any]:
    codes: dict[int, list[str]] = {}
    for kind in refusals(operation):
        codes.setdefault(_status(kind), []).append(kind.code)
    if operation.raw:
        codes.setdefault(400, []).append("bad-request")
        codes.setdefault(411, []).append("length-required")
    if operation.body:
        codes.setdefault(415, []).append("unsupported-media-type")
    problem = {"application/problem+json": {"schema": _reference(Problem)}}
    return {
        str(status): {"description": ", ".join(f"`{code}`" for code in dict.fromkeys(found)), "content": problem}
        for status, found in sorted(codes.items())
    }


def _status(kind: type[RegistryError]) -> int:
    return next(errors.STATUS[ancestor] for ancestor in kind.__mro__ if ancestor in errors.STATUS)


def _reference(model: type[BaseModel]) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{model.__name__}"}


def _schemas() -> dict[str, Any]:
    """Every body, and what it is made of."""
    sent = {operation.body for operation in OPERATIONS if operation.body}
    told: set[type[BaseModel]] = {Problem}
    for operation in OPERATIONS:
        told |= {content for content in operation.answers.values() if isinstance(content, type)}
    models: list[tuple[type[BaseModel], Any]] = [(model, "validation") for model in sent]
    models += [(model, "serialization") for model in told]
    models.sort(key=lambda pair: pair[0].__name__)
    _, schema = models_json_schema(models, ref_template="#/components/schemas/{model}")
    return dict(sorted(schema["$defs"].items()))
