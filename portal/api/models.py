"""Registered models and their aliases."""

from flask import Response

from portal.api.answers import Answer
from portal.api.calls import Call
from portal.api.contract import operation
from portal.api.documents.base import page
from portal.api.documents.models import (
    AliasDocument,
    ModelChange,
    ModelDocument,
    ModelPage,
    ModelQuery,
    NewAlias,
    NewModel,
)
from registry import accounts, catalog, references
from registry.access import Permission
from registry.errors import AlreadyExists, Forbidden, NotFound, NotInTeam
from registry.orm.catalog import RegisteredModel


@operation("GET", "/models", answers={200: ModelPage})
def list_models(call: Call, query: ModelQuery) -> Answer:
    """Find models.

    Those that hold every word asked for, newest change first.
    """
    filters = catalog.Filters(text=query.q, team=query.team, task=query.task, stage=query.stage)
    found = catalog.search(call.session, filters, query.place(), actor=call.actor)
    pages = page("/models/")
    items = [ModelDocument.of(model, model.owner, pages + model.full_name) for model in found.items]
    return Answer(ModelPage(items=items, next=found.next))


@operation(
    "POST",
    "/models",
    answers={201: ModelDocument},
    needs=Permission.PUSH,
    refuses=(AlreadyExists, NotInTeam, NotFound),
)
def create_model(call: Call, body: NewModel) -> Answer:
    """Register a model.

    It gets a bundle of the same name that follows what is approved.
    """
    model = catalog.register_model(
        call.session, actor=call.actor, full_name=body.name, purpose=body.purpose, visibility=body.seen()
    )
    call.session.flush()
    return _answer(call, model, status=201, location=f"/api/v1/models/{model.full_name}")


@operation("GET", "/models/<team>/<name>", answers={200: ModelDocument})
def show_model(call: Call, team: str, name: str) -> Answer:
    """Show a model."""
    return _answer(call, catalog.get_model(call.session, f"{team}/{name}", actor=call.actor))


@operation(
    "PATCH",
    "/models/<team>/<name>",
    answers={200: ModelDocument},
    needs=Permission.PUSH,
    refuses=(NotInTeam,),
    guarded=True,
)
def change_model(call: Call, team: str, name: str, body: ModelChange) -> Answer:
    """Change what is said of a model.

    None of it is bound by approvals.
    """
    model = catalog.get_model(call.session, f"{team}/{name}", actor=call.actor)
    catalog.describe(
        call.session,
        model,
        actor=call.actor,
        expected=call.expected(model.revision),
        purpose=body.purpose,
        contact=body.contact,
        task=body.task,
        visibility=body.seen(),
    )
    call.session.flush()
    return _answer(call, model)


def _answer(call: Call, model: RegisteredModel, *, status: int = 200, location: str | None = None) -> Answer:
    owner = f"person:{model.owner_id.hex}" if model.owner_id else ""
    names = accounts.display_names(call.session, {owner})
    document = ModelDocument.of(model, names.get(owner), page(f"/models/{model.full_name}"))
    return Answer(document, status, revision=model.revision, location=location)


@operation(
    "PUT",
    "/models/<team>/<name>/aliases/<alias>",
    answers={200: AliasDocument},
    needs=Permission.PUSH,
    refuses=(NotInTeam,),
    guarded=True,
)
def set_alias(call: Call, team: str, name: str, alias: str, body: NewAlias) -> Answer:
    """Point an alias at a version.

    Aliases are part of the model: If-Match takes the model's ETag, and this answer's is the model's new one.
    """
    version = references.get_version(call.session, f"{team}/{name}", body.number, actor=call.actor)
    model = version.model
    references.set_alias(call.session, version, alias, actor=call.actor, expected=call.expected(model.revision))
    call.session.flush()
    document = AliasDocument(alias=alias, ref=f"{model.full_name}:{version.number}", number=version.number)
    return Answer(document, revision=model.revision)


@operation(
    "DELETE",
    "/models/<team>/<name>/aliases/<alias>",
    answers={204: None},
    needs=Permission.PUSH,
    refuses=(NotInTeam, Forbidden),
    guarded=True,
)
def remove_alias(call: Call, team: str, name: str, alias: str) -> Response:
    """Take an alias away.

    Refused while a bundle follows it. If-Match takes the model's ETag.
    """
    model = catalog.get_model(call.session, f"{team}/{name}", actor=call.actor)
    found = references.get_alias(call.session, model, alias)
    references.remove_alias(call.session, found, model, actor=call.actor, expected=call.expected(model.revision))
    return Response(status=204)
