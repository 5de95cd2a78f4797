"""Pushing, in two units of work as a client does it: first the bytes, then the version."""

from registry import versions
from tests import factories
from tests.factories import MODEL

MODEL_BYTES, SAMPLE = b"the model", b'{"text": "my card is lost"}\n'


def prepare(world, *, actor=None, **fields):
    """A push whose bytes are stored already, as a client's are."""
    with world.write() as session:
        return factories.push(session, world, actor=actor, **{"content": MODEL_BYTES} | fields)


def register(world, push, *, actor=None, model=MODEL, create_model=True):
    with world.write() as session:
        return versions.register_version(
            session, actor=actor or world.ana, full_name=model, push=push, create_model=create_model
        )
