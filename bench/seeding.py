"""Fills a database with a company's worth of models by bulk insert, as the domain would have left them."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from registry import checking, clock, vault
from registry.access import ALL_SCOPES
from registry.db import Database
from registry.orm import Base

TABLES = Base.metadata.tables
BATCH = 2_000
TEXT = {"datatype": "BYTES", "shape": [-1], "nullable": False}
SIGNATURE = {"layout": "text", "inputs": [{"name": "text"} | TEXT], "outputs": [{"name": "predict"} | TEXT]}
SAMPLE = "sha256:" + "5" * 64
MODEL_FILE = "sha256:" + "e" * 64
TEAM = "payments"
Rows = dict[str, list[dict[str, Any]]]


def model_name(number: int) -> str:
    """``payments/model-000042``."""
    return f"{TEAM}/model-{number:06d}"


@dataclass(frozen=True)
class Owner:
    """The team that owns every model, a scientist in it, and a token of theirs."""

    team: UUID
    person: UUID
    token: str = ""


def owner(database: Database) -> Owner:
    """Fill an empty database with the one scientist of the one team."""
    token, handle, secret_hash = vault.new_token()
    made = Owner(clock.new_id(), clock.new_id(), token)
    now, ref = clock.now(), f"person:{made.person.hex}"
    person = {"id": made.person, "username": "ana", "name": "Ana", "active": True, "failed_logins": 0}
    grant = {"id": clock.new_id(), "person_id": made.person, "role": "scientist", "bootstrap": False}
    holder = {"person_id": made.person, "created_by": ref, "scopes": list(ALL_SCOPES), "name": "bench"}
    secret = {
        "id": clock.new_id(),
        "handle": handle,
        "secret_hash": secret_hash,
        "expires_at": now + timedelta(days=30),
    }
    _insert(
        database,
        {
            "teams": [{"id": made.team, "slug": TEAM, "name": "Payments", "created_at": now}],
            "people": [person | {"created_at": now}],
            "team_members": [{"team_id": made.team, "person_id": made.person, "added_at": now}],
            "role_grants": [grant | {"proposed_by": ref, "confirmed_by": ref, "created_at": now}],
            "api_tokens": [secret | holder | {"last_used_at": now, "created_at": now}],
        },
    )
    return made


def models(database: Database, of: Owner, count: int) -> None:
    """Add ``count`` models: each has a bundle that follows it, and one checked version with two files and an alias."""
    _send_files(database, f"person:{of.person.hex}")
    for first in range(0, count, BATCH):
        rows: Rows = {}
        for number in range(first, min(count, first + BATCH)):
            for table, row in _model(number, of.team, of.person):
                rows.setdefault(table, []).append(row)
        _insert(database, rows)
    with database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql("ANALYZE")


def _send_files(database: Database, ref: str) -> None:
    now = clock.now()
    _insert(
        database,
        {
            "blobs": [{"digest": digest, "size": 1_000, "created_at": now} for digest in (SAMPLE, MODEL_FILE)],
            "uploads": [{"digest": digest, "actor": ref, "created_at": now} for digest in (SAMPLE, MODEL_FILE)],
        },
    )


def _insert(database: Database, rows: Rows) -> None:
    with database.engine.begin() as connection:
        for table, values in rows.items():
            connection.execute(sa.insert(TABLES[table]), values)


def _model(number: int, team: UUID, person: UUID) -> Iterator[tuple[str, dict[str, Any]]]:
    model, version, bundle = clock.new_id(), clock.new_id(), clock.new_id()
    full_name, ref = model_name(number), f"person:{person.hex}"
    name = full_name.partition("/")[2]
    at = clock.now() - timedelta(days=30, seconds=-number)
    digest = f"sha256:{number:064x}"
    named = {"id": model, "team_id": team, "name": name, "full_name": full_name}
    yield (
        "registered_models",
        named
        | {"purpose": "Routes the feedback of customers", "task": "text-classification", "contact": "#voice"}
        | {"owner_id": person, "visibility": "internal", "versions_made": 1, "created_at": at, "updated_at": at}
        | {"revision": 2},
    )
    yield (
        "bundles",
        named | {"id": bundle, "rebuild": "auto", "created_by": ref, "created_at": at, "changed_at": at, "revision": 1},
    )
    yield (
        "route_members",
        {"id": clock.new_id(), "bundle_id": bundle, "position": 0, "route": name, "model_id": model}
        | {"follow": "approved", "weight": 100, "min_weight": 0, "max_weight": 100},
    )
    for term in ("routes", "feedback", "customers", "payments", "model", f"{number:06d}", "text", "classification"):
        yield "model_terms", {"term": term, "model_id": model}
    yield (
        "model_versions",
        {"id": version, "model_id": model, "number": 1, "label": "1.0.0", "stage": "ready", "format": "joblib"}
        | {"artifact": "model.joblib", "artifact_digest": digest, "content_digest": digest, "release_digest": digest}
        | {"size": 2_000, "card": "---\npurpose: Routes feedback\n---\n" + "About the model. " * 100}
        | {"card_head": {"purpose": "Routes feedback", "owner": "payments"}, "environment": {"python": "3.11.7"}}
        | {"lock": {"wheels": [{"name": f"wheel-{n}", "version": "1.0"} for n in range(12)]}, "params": {"C": 1.0}}
        | {"signature": SIGNATURE}
        | {"author": ref, "uploader": ref, "created_at": at, "stage_since": at, "revision": 2},
    )
    for path, content in (("model.joblib", MODEL_FILE), ("sample.jsonl", SAMPLE)):
        yield "version_files", {"version_id": version, "path": path, "digest": content, "size": 1_000}
    for metric in ("accuracy", "f1", "recall"):
        yield (
            "metrics",
            {"id": clock.new_id(), "version_id": version, "name": metric, "value": 0.9, "dataset": "october"}
            | {"higher_is_better": True, "declared_by": ref, "measured": False},
        )
    yield (
        "aliases",
        {"model_id": model, "name": "champion", "version_id": version}
        | {
            "moved_by": ref,
            "moved_at": at,
            "revision": 1,
        },
    )
    for position, step in enumerate(checking.STEPS):
        said = {"step": step, "outcome": "passed", "isolation": "container", "summary": "Nothing to object to."}
        body = said | {
            "schema": "countersign.report/1",
            "findings": [],
            "facts": {"compiled": None} if step == "parity" else {},
        }
        stored = {"version_id": version, "position": position, "digest": digest, "created_at": at, "body": body}
        yield "check_reports", said | stored
    yield (
        "jobs",
        {"id": clock.new_id(), "kind": "check", "key": version.hex, "subject_id": version, "state": "done"}
        | {"fence": 1, "attempts": 1, "run_after": at, "created_at": at, "finished_at": at, "log_size": 0},
    )
