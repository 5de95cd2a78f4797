"""The commands of docs/verify.md, run as they stand: they pass on what is right, and fail on what is not."""

import base64
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from builders import modelsigning, statements
from builders.statements import Signatures
from formats import canonical, keys
from formats import digest as digests
from formats.artifacts import File
from tests.builders import test_statements as made
from tests.builders.test_rebuild import baked  # noqa: F401 - a fixture

pytestmark = pytest.mark.long

TEXT = (Path(__file__).parents[2] / "docs/verify.md").read_text()
REF = "payments/voice:1"


@pytest.fixture
def folder(baked, tmp_path, signer):  # noqa: F811 - the fixture
    """What a stranger has: the documents of an image, and the model's folder."""
    contents = {"model.joblib": b"\x80model", "sample.jsonl": b'{"text": "x"}\n', "data/more.bin": b"more"}
    pulled = tmp_path / "voice-1"
    for name, data in contents.items():
        (pulled / name).parent.mkdir(parents=True, exist_ok=True)
        (pulled / name).write_bytes(data)
    (pulled / "countersign.json").write_text("{}")
    models = keys.generate_p256(tmp_path / "models-private.pem")
    files = [File(name, digests.of_bytes(data), len(data)) for name, data in contents.items()]
    bundle = modelsigning.sign(REF, files, models)
    release = keys.FileSigner(baked.key)
    plan = baked.again(baked.platform.layers.root)
    statement = statements.provenance(
        plan,
        runtime=made.RUNTIME,
        models=[made.MODEL],
        manifest_digest=digests.of_bytes(baked.sealed),
        countersign_version="0.1.0",
        run=made.RUN,
        signatures=Signatures(models.fingerprint, {REF: canonical.digest(bundle)}),
    )
    documents = {
        "manifest": json.loads(baked.sealed),
        "provenance": json.loads(statements.signed(statement, release)),
        "models": {"public_key": models.public_pem.decode(), "bundles": {REF: bundle}},
    }
    for name, document in documents.items():
        (tmp_path / f"{name}.json").write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n")
    environ = {"KEY": release.fingerprint, "IMAGE": plan.image_digest, "MODEL": REF, "FOLDER": "voice-1"}
    (tmp_path / "environ.json").write_text(json.dumps(environ))
    return tmp_path


def check(folder, **changed):
    """Run every block of commands in one shell; its exit code and what it said."""
    script = "\n".join(re.findall(r"^```sh\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL))
    assert script.count("openssl") > 4
    environ = json.loads((folder / "environ.json").read_text())
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    done = subprocess.run(
        ["sh", "-c", script],
        cwd=folder,
        env={"PATH": path, "HOME": str(folder), "LANG": "C.UTF-8", **environ, **changed},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    return done.returncode, done.stdout + done.stderr


def rewrite(path, change):
    document = json.loads(path.read_text())
    change(document)
    path.write_text(json.dumps(document))


def test_what_is_right_passes(folder):
    code, said = check(folder)
    assert code == 0, said
    assert said.count("Signature Verified Successfully") == 2
    assert "Verified OK" in said
    assert "Verification succeeded" in said


def test_another_key_is_found(folder):
    code, said = check(folder, KEY="sha256:" + "0" * 64)
    assert (code, "another key signed this" in said) == (1, True)


def test_another_image_is_found(folder):
    code, said = check(folder, IMAGE="sha256:" + "0" * 64)
    assert (code, "of another image" in said) == (1, True)


@pytest.mark.parametrize("name", ["manifest", "provenance"])
def test_a_changed_payload_is_found(folder, name):
    def change(document):
        payload = base64.b64decode(document["payload"]).replace(b"payments", b"paymentz")
        document["payload"] = base64.b64encode(payload).decode()

    rewrite(folder / f"{name}.json", change)
    code, said = check(folder)
    assert code != 0
    assert "Signature Verification Failure" in said


def test_a_changed_model_is_found(folder):
    (folder / "voice-1/model.joblib").write_bytes(b"\x80other")
    code, said = check(folder)
    assert code != 0
    assert "model.joblib: FAILED" in said


def test_a_file_that_was_added_is_found_by_the_tool(folder):
    (folder / "voice-1/extra.py").write_text("import os")
    code, said = check(folder)
    assert code != 0
    assert "Extra files found in model 'voice-1': extra.py" in said


def test_a_model_signed_by_somebody_else_is_found(folder):
    other = keys.generate_p256(folder / "other.pem")

    def change(document):
        document["public_key"] = other.public_pem.decode()

    rewrite(folder / "models.json", change)
    code, said = check(folder)
    assert (code, "another key signed the models" in said) == (1, True)
