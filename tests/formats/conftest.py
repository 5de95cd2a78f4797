"""Valid documents of every format: a test changes the one thing it is about."""

import copy

import pytest

from formats import keys, lock


def sha(character):
    return "sha256:" + character * 64


@pytest.fixture
def signer(tmp_path):
    return keys.generate(tmp_path / "release.pem")


@pytest.fixture
def other_signer(tmp_path):
    return keys.generate(tmp_path / "other.pem")


@pytest.fixture
def target():
    return {"os": "linux", "arch": "x86_64", "libc": "glibc-2.36", "python": "3.11"}


@pytest.fixture
def lock_document(target):
    def wheel(name, version):
        filename = f"{name.replace('-', '_')}-{version}-cp311-cp311-manylinux_2_28_x86_64.whl"
        return {"name": name, "version": version, "filename": filename, "sha256": sha("a"), "size": 9_000_000}

    return {
        "schema": "countersign.lock/1",
        "target": target,
        "wheels": [wheel("numpy", "2.4.1"), wheel("scikit-learn", "1.9.1")],
    }


@pytest.fixture
def signature_document():
    return {
        "layout": "text",
        "inputs": [{"name": "text", "datatype": "BYTES", "shape": [-1], "nullable": False}],
        "outputs": [
            {"name": "predict", "datatype": "BYTES", "shape": [-1]},
            {"name": "predict_proba", "datatype": "FP64", "shape": [-1, 2], "labels": ["card lost", "loan"]},
        ],
    }


@pytest.fixture
def manifest_document(target, signature_document):
    environment = lock.environment_id(sha("b"))

    def model(number):
        return {
            "ref": f"payments/feedback-voice:{number}",
            "model": "payments/feedback-voice",
            "number": number,
            "release_digest": sha("c"),
            "environment": environment,
            "path": f"opt/countersign/models/payments--feedback-voice-{number}",
            "format": "joblib",
            "artifact": "model.joblib",
            "files": [
                {"path": "allow.json", "sha256": sha("d"), "size": 120},
                {"path": "model.joblib", "sha256": sha("e"), "size": 4096},
                {"path": "signature.json", "sha256": sha("f"), "size": 300},
            ],
            "signature": copy.deepcopy(signature_document),
            "compiled": None,
        }

    return {
        "schema": "countersign.manifest/1",
        "bundle": "payments/feedback-voice",
        "target": target,
        "base": sha("0"),
        "runtime": {"lock": sha("1"), "path": "opt/countersign/runtime", "diff_id": sha("2")},
        "app": {"path": "opt/countersign/app", "files": [{"path": "start.py", "sha256": sha("3"), "size": 700}]},
        "environments": [
            {
                "id": environment,
                "lock": sha("b"),
                "path": f"opt/countersign/envs/{environment}",
                "diff_id": sha("4"),
            }
        ],
        "models": [model(1), model(2)],
        "routes": [
            {
                "name": "feedback",
                "members": [
                    {"ref": "payments/feedback-voice:1", "weight": 90, "bounds": [0, 100]},
                    {"ref": "payments/feedback-voice:2", "weight": 10, "bounds": [0, 100]},
                ],
            }
        ],
    }
