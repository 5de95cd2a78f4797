"""Who may call each operation with a token of every scope: the table that test_api_roles.py holds the API against.

An operation without a row fails the suite. A role that is not named must be refused with 403, whatever it sends.
"""

from registry.orm.account import Role

ANYBODY = None
"""Also without a token."""
STAFF = frozenset(Role)
REBUILDERS = STAFF - {Role.CONSUMER, Role.ADMINISTRATOR}
"""Everybody who has a role."""
HOLDERS = STAFF | {"none"}
"""Whoever has a token."""
SCIENTISTS = frozenset({Role.SCIENTIST})
BUILDERS = frozenset({Role.SCIENTIST, Role.OPERATOR})
OPERATORS = frozenset({Role.OPERATOR, Role.ADMINISTRATOR})
DISCUSSING = frozenset({Role.SCIENTIST, Role.VALIDATOR, Role.COMPLIANCE})
AUDITORS = frozenset({Role.AUDITOR, Role.COMPLIANCE, Role.ADMINISTRATOR})

OPERATIONS: dict[str, frozenset[object] | None] = {
    "discovery.server": ANYBODY,
    "discovery.document": ANYBODY,
    "account.whoami": HOLDERS,
    "account.list_tokens": STAFF,
    "account.create_token": STAFF,
    "account.show_token": STAFF,
    "account.revoke_token": STAFF,
    "blobs.has_blob": SCIENTISTS,
    "blobs.put_blob": SCIENTISTS,
    "models.list_models": STAFF,
    "models.create_model": SCIENTISTS,
    "models.show_model": STAFF,
    "models.change_model": SCIENTISTS,
    "models.set_alias": SCIENTISTS,
    "models.remove_alias": SCIENTISTS,
    "versions.list_versions": STAFF,
    "versions.create_version": SCIENTISTS,
    "versions.show_version": STAFF,
    "versions.show_advisories": STAFF,
    "versions.card": STAFF,
    "versions.show_lineage": STAFF,
    "versions.diff": STAFF,
    "versions.report": STAFF,
    "versions.submit": SCIENTISTS,
    "versions.withdraw": SCIENTISTS,
    "versions.retry": SCIENTISTS,
    "files.download": SCIENTISTS,  # by its team, not by its role: see test_api_files.py
    "reviews.list_reviews": STAFF,
    "reviews.show_review": STAFF,
    "reviews.comment": DISCUSSING,
    "reviews.answer": SCIENTISTS,
    "bundles.list_bundles": STAFF,
    "bundles.create_bundle": BUILDERS,
    "bundles.show_bundle": STAFF,
    "bundles.change_bundle": BUILDERS,
    "bundles.bake": BUILDERS,
    "bundles.roll_back": BUILDERS,
    "experiments.list_experiments": STAFF,
    "experiments.start_experiment": BUILDERS,
    "experiments.show_experiment": STAFF,
    "experiments.end_experiment": BUILDERS,
    "experiments.conclude_experiment": BUILDERS,
    "builds.list_builds": STAFF,
    "builds.show_build": STAFF,
    "builds.retry_build": BUILDERS,
    "builds.build_log": STAFF,
    "images.list_images": STAFF,
    "images.show_image": STAFF,
    "images.sbom": STAFF,
    "images.provenance": STAFF,
    "images.manifest": STAFF,
    "images.model_signatures": STAFF,
    "images.rebuild": REBUILDERS,
    "images.show_rebuild": STAFF,
    "platforms.list_platforms": STAFF,
    "platforms.list_changes": STAFF,
    "platforms.propose": OPERATORS,
    "platforms.show_change": STAFF,
    "platforms.list_images": STAFF,
    "platforms.withdraw": OPERATORS,
    "platforms.pause": OPERATORS,
    "platforms.resume": OPERATORS,
    "platforms.retry": BUILDERS,
    "advisories.list_advisories": STAFF,
    "advisories.show_advisory": STAFF,
    "advisories.list_bundles": STAFF,
    "advisories.import_bundle": OPERATORS,
    "advisories.show_bundle": STAFF,
    "jobs.show_job": STAFF,
    "audit.list_entries": AUDITORS,
    "audit.checkpoint": AUDITORS,
    "audit.proof": AUDITORS,
}
