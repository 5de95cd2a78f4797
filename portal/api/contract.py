"""The API's operations, each declared once beside its view: routes and the OpenAPI document are both made of these.

A view takes a :class:`portal.api.calls.Call`, the variables of its path, and, where it declares them by annotation,
``body`` and ``query``: pydantic models. It returns an :class:`portal.api.answers.Answer`, or a response of its own.
"""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar, get_type_hints

from pydantic import BaseModel

from portal.api.documents.base import Input
from registry import errors
from registry.access import SCOPES, Permission
from registry.errors import RegistryError

View = TypeVar("View", bound=Callable[..., Any])


@dataclass(frozen=True)
class Media:
    """An answer that is not JSON of ours."""

    type: str
    description: str


Content = type[BaseModel] | Media | None
"""Body of an answer; ``None`` when it has none."""


@dataclass(frozen=True)
class Operation:
    """One method of one path."""

    method: str
    rule: str
    """As Flask writes it: ``/api/v1/models/<team>/<name>``."""
    summary: str
    description: str
    view: Callable[..., Any]
    answers: Mapping[int, Content]
    errors: tuple[type[RegistryError], ...]
    needs: Permission | None
    public: bool = False
    body: type[Input] | None = None
    query: type[BaseModel] | None = None
    raw: str | None = None
    """Media type of a body that is streamed and not JSON."""
    browser: bool = False
    """Also for a person's session in the portal, which then sends its CSRF token: the upload page uses it."""
    guarded: bool = False
    """Changes a resource: asks for If-Match."""
    ranged: bool = False
    """Answers part of its bytes on request."""
    headers: Mapping[str, str] = field(default_factory=dict)
    """Headers of a successful answer, beside those that every answer has."""

    @property
    def name(self) -> str:
        """``models.create``: endpoint, and ``operationId``."""
        return f"{self.view.__module__.rpartition('.')[2]}.{self.view.__name__}"

    @property
    def tag(self) -> str:
        """The part of the API it belongs to."""
        return self.view.__module__.rpartition(".")[2]

    @property
    def scope(self) -> str | None:
        """What the token must be allowed."""
        return SCOPES[self.needs] if self.needs else None

    @property
    def takes_key(self) -> bool:
        """Whether it can be repeated safely under an Idempotency-Key."""
        return self.method == "POST"


RESOURCES = (
    *("discovery", "account", "blobs", "models", "versions", "files"),
    *("reviews", "bundles", "experiments", "builds", "images", "platforms", "advisories", "jobs", "audit"),
)
"""Every module that declares operations, in the order in which the description tells of them."""
OPERATIONS: list[Operation] = []
PREFIX = "/api/v1"


def operation(
    method: str,
    rule: str,
    *,
    answers: Mapping[int, Content],
    needs: Permission | None = Permission.READ,
    public: bool = False,
    refuses: tuple[type[RegistryError], ...] = (),
    raw: str | None = None,
    browser: bool = False,
    guarded: bool = False,
    ranged: bool = False,
    headers: Mapping[str, str] | None = None,
    prefix: str = PREFIX,
) -> Callable[[View], View]:
    """Declare the decorated view as an operation; the first line of its docstring is the summary.

    :param answers: content by status of every success.
    :param needs: permission, and with it the token's scope; ``None`` asks for any token.
    :param refuses: refusals of its own, beside those that follow from the rest.
    """

    def declare(view: View) -> View:
        hints = get_type_hints(view)
        summary, _, description = inspect.cleandoc(view.__doc__ or "").partition("\n\n")
        declared = Operation(
            method=method,
            rule=prefix + rule,
            summary=summary.rstrip("."),
            description=description,
            view=view,
            answers=answers,
            errors=refuses,
            needs=None if public else needs,
            public=public,
            body=hints.get("body"),
            query=hints.get("query"),
            raw=raw,
            browser=browser,
            guarded=guarded,
            ranged=ranged,
            headers=headers or {},
        )
        OPERATIONS.append(declared)
        return view

    return declare


def refusals(operation: Operation) -> list[type[RegistryError]]:
    """Everything an operation may refuse with, its own and what follows from its shape."""
    found: list[type[RegistryError]] = list(operation.errors)
    if not operation.public:
        found += [errors.TokenRefused]
    if operation.needs:
        found += [errors.MissingScope, errors.MissingRole]
    if "<" in operation.rule:
        found += [errors.NotFound]
    if operation.body or operation.query:
        found += [errors.Invalid]
    if operation.body:
        found += [errors.TooLarge]
    if operation.guarded:
        found += [errors.PreconditionMissing, errors.Stale, errors.Conflict]
    if operation.takes_key:
        found += [errors.KeyReused, errors.InFlight]
    return list(dict.fromkeys(found))
