"""The API's reference page, drawn from the same description that programs read."""

import functools
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from flask import render_template

from portal import access
from portal.api import openapi
from portal.api.documents.base import page

_CODE = re.compile(r"`([^`]+)`")
_WORDS = {
    "string": "text",
    "integer": "whole number",
    "number": "number",
    "boolean": "true or false",
    "object": "object",
}


@dataclass(frozen=True)
class Member:
    """A parameter, or a member of a body."""

    name: str
    kind: list[tuple[str, str]]
    """Words, each with the document it names (empty when it names none)."""
    required: bool
    text: str
    where: str = ""


@dataclass(frozen=True)
class Reply:
    """What an operation answers or refuses with under one status."""

    status: str
    text: str
    body: str
    """Name of its document, or its media type."""
    is_document: bool


@dataclass(frozen=True)
class Entry:
    """One operation as the page shows it."""

    name: str
    method: str
    path: str
    summary: str
    text: str
    scope: str
    public: bool
    parameters: list[Member]
    body: str
    """Name of the document it is sent; empty when none is."""
    raw: str
    """Media type of a body that is not JSON."""
    answers: list[Reply]
    refusals: list[tuple[str, list[str]]]


@dataclass(frozen=True)
class Part:
    """The operations of one kind of resource."""

    name: str
    title: str
    entries: list[Entry]


@dataclass(frozen=True)
class Shape:
    """A document that is sent or answered."""

    name: str
    text: str
    members: list[Member]


@access.public
def reference() -> str:
    """What programs can do here, and how."""
    description = openapi.document()
    return render_template(
        "api/reference.html",
        pieces=pieces,
        parts_of_api=_parts(),
        shapes=_shapes(),
        version=description["info"]["version"],
        whoami=f"curl -H 'Authorization: Bearer cs_...' {page('/api/v1/whoami')}",
        login=f"countersign login --url {page('')}",
    )


def pieces(text: str) -> list[tuple[bool, str]]:
    """A description cut at its backticks: (whether it is code, text)."""
    return [(place % 2 == 1, piece) for place, piece in enumerate(_CODE.split(text)) if piece]


@functools.cache
def _parts() -> list[Part]:
    description = openapi.document()
    entries: dict[str, list[Entry]] = {}
    for path, methods in description["paths"].items():
        for method, operation in methods.items():
            entries.setdefault(operation["tags"][0], []).append(_entry(path, method, operation))
    return [Part(tag["name"], tag["description"], entries[tag["name"]]) for tag in description["tags"]]


def _entry(path: str, method: str, operation: Mapping[str, Any]) -> Entry:
    sent = operation.get("requestBody", {}).get("content", {})
    scopes = [scope for asked in operation["security"] for scope in asked["token"]]
    replies = list(operation["responses"].items())
    return Entry(
        name=operation["operationId"],
        method=method.upper(),
        path=path,
        summary=operation["summary"],
        text=" ".join(operation.get("description", "").split()),
        scope=scopes[0] if scopes else "",
        public=not operation["security"],
        parameters=[_parameter(parameter) for parameter in operation["parameters"]],
        body=_named(sent["application/json"]["schema"]) if "application/json" in sent else "",
        raw=next((media for media in sent if media != "application/json"), ""),
        answers=[_reply(status, reply) for status, reply in replies if int(status) < 400],
        refusals=[(status, _CODE.findall(reply["description"])) for status, reply in replies if int(status) >= 400],
    )


def _parameter(parameter: Mapping[str, Any]) -> Member:
    where = {"path": "address", "query": "query", "header": "header"}[parameter["in"]]
    required = parameter.get("required", False)
    return Member(
        parameter["name"], list(_kind(parameter["schema"])), required, parameter.get("description", ""), where
    )


def _reply(status: str, reply: Mapping[str, Any]) -> Reply:
    contents: dict[str, Any] = reply.get("content", {})
    media = next(iter(contents), "")
    name = _named(contents[media].get("schema", {})) if media else ""
    return Reply(status, reply["description"], name or media, bool(name))


@functools.cache
def _shapes() -> list[Shape]:
    return [
        Shape(
            name,
            " ".join(schema.get("description", "").split()),
            [
                Member(
                    member,
                    list(_kind(described)),
                    member in schema.get("required", ()),
                    described.get("description", ""),
                )
                for member, described in schema.get("properties", {}).items()
            ],
        )
        for name, schema in openapi.document()["components"]["schemas"].items()
        if "properties" in schema
    ]


def _named(schema: Mapping[str, Any]) -> str:
    return str(schema.get("$ref", "")).rpartition("/")[2]


def _kind(schema: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """A type in words."""
    if name := _named(schema):
        yield (name, name) if name != "JsonValue" else ("any JSON", "")
    elif choices := schema.get("anyOf"):
        for place, choice in enumerate(choices):
            if place:
                yield " or ", ""
            yield from _kind(choice)
    elif "enum" in schema or "const" in schema:
        yield "one of " + ", ".join(str(value) or "nothing" for value in schema.get("enum", [schema.get("const")])), ""
    elif "prefixItems" in schema:
        yield "pair of ", ""
        yield from _kind(schema["prefixItems"][0])
    elif schema.get("type") == "array":
        yield "list of ", ""
        yield from _kind(schema.get("items", {}))
    elif isinstance(schema.get("additionalProperties"), dict):
        yield "object of ", ""
        yield from _kind(schema["additionalProperties"])
    else:
        yield _plain(schema), ""


def _plain(schema: Mapping[str, Any]) -> str:
    kind = schema.get("type", "any JSON")
    if schema.get("format") == "date-time":
        return "time"
    word = _WORDS.get(kind, str(kind))
    most = schema.get("maxLength", schema.get("maximum"))
    least = schema.get("minLength", schema.get("minimum"))
    if most is not None:
        return f"{word}, {least or 0} to {most}" + (" characters" if kind == "string" else "")
    return word
