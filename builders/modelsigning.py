"""OpenSSF Model Signing: a signature of a version's approved files that others check with their own tool.

A Sigstore bundle around a DSSE envelope around an in-toto statement, as `model-signing` 1.x writes and reads it.
"""

import hashlib
from collections.abc import Iterable
from typing import Any

from formats import canonical, digest, dsse
from formats.artifacts import File
from formats.keys import Signer

BUNDLE_TYPE = "application/vnd.dev.sigstore.bundle.v0.3+json"
STATEMENT_TYPE = "application/vnd.in-toto+json"
PREDICATE_TYPE = "https://model_signing/signature/v1.0"


def sign(name: str, files: Iterable[File], signer: Signer) -> dict[str, Any]:
    """A bundle over the files of a model's folder.

    :param name: of the model, as the statement's subject has it.
    :param signer: with a P-256 key: the tool knows no Ed25519.
    """
    ordered = sorted(files, key=lambda file: file.path)
    every = hashlib.sha256()
    for file in ordered:
        every.update(bytes.fromhex(digest.parse(file.sha256)))
    statement = {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"name": name, "digest": {"sha256": every.hexdigest()}}],
        "predicateType": PREDICATE_TYPE,
        "predicate": {
            "serialization": {
                "method": "files",
                "hash_type": "sha256",
                "allow_symlinks": False,
                "ignore_paths": [],
            },
            "resources": [
                {"name": file.path, "algorithm": "sha256", "digest": digest.parse(file.sha256)} for file in ordered
            ],
        },
    }
    envelope = dsse.sign(STATEMENT_TYPE, canonical.dumps(statement), signer)
    return {
        "mediaType": BUNDLE_TYPE,
        # The hint is how the tool finds out that it was given another key.
        "verificationMaterial": {
            "publicKey": {"hint": hashlib.sha256(signer.public_pem).hexdigest()},
            "tlogEntries": [],
        },
        "dsseEnvelope": envelope,
    }
