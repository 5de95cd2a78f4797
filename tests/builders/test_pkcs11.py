"""Keys in a device: SoftHSM stands for one. What it signs is checked as if a file had signed it."""

import shutil
import subprocess
from pathlib import Path

import pkcs11
import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from pkcs11 import Attribute, KeyType, Mechanism
from pkcs11.util.ec import encode_named_curve_parameters

from builders.base import host_base
from builders.layers import LayerStore
from builders.pkcs11 import Device, DeviceSigner
from builders.platform import NotReady, Platform
from formats import dsse, keys
from registry.settings import Settings
from registry.store import LocalStore
from tests.builders.conftest import missing

MODULE = "/usr/lib/softhsm/libsofthsm2.so"
PIN = "8642-secret"
ED25519 = b"\x13\x0cedwards25519"  # the name of the curve, DER


@pytest.fixture(scope="module")
def device(tmp_path_factory):
    """A token with the three keys of an installation. The library reads its settings once per process."""
    if not Path(MODULE).exists() or not shutil.which("softhsm2-util"):
        missing("needs SoftHSM: apt-get install softhsm2")
    folder = tmp_path_factory.mktemp("softhsm")
    (folder / "tokens").mkdir()
    settings = folder / "softhsm2.conf"
    settings.write_text(f"directories.tokendir = {folder / 'tokens'}\nlog.level = ERROR\n")
    patch = pytest.MonkeyPatch()
    patch.setenv("SOFTHSM2_CONF", str(settings))
    command = ["softhsm2-util", "--init-token", "--free", "--label", "test", "--pin", PIN, "--so-pin", "12345678"]
    subprocess.run(command, check=True, capture_output=True)
    with pkcs11.lib(MODULE).get_token(token_label="test").open(rw=True, user_pin=PIN) as session:
        for name in ("audit", "release"):
            curve = session.create_domain_parameters(KeyType.EC_EDWARDS, {Attribute.EC_PARAMS: ED25519}, local=True)
            curve.generate_keypair(mechanism=Mechanism.EC_EDWARDS_KEY_PAIR_GEN, store=True, label=f"countersign-{name}")
        named = encode_named_curve_parameters("secp256r1")
        curve = session.create_domain_parameters(KeyType.EC, {Attribute.EC_PARAMS: named}, local=True)
        curve.generate_keypair(store=True, label="countersign-models")
    yield Device(MODULE, "test", PIN)
    patch.undo()


def test_an_ed25519_key_signs_what_everybody_checks(device):
    signer = DeviceSigner(device, "countersign-release")
    public = keys.load_public(signer.public_pem)
    assert signer.fingerprint == keys.fingerprint(public)
    envelope = dsse.sign("application/x", b"hello", signer)
    assert dsse.verify(envelope, [public]) == b"hello"
    assert signer.sign(b"x") == signer.sign(b"x")
    with pytest.raises(dsse.BadSignature):
        dsse.verify({**envelope, "payload": "aGVsbG9v"}, [public])


def test_a_p256_key_signs_as_a_file_would(device):
    signer = DeviceSigner(device, "countersign-models")
    load_pem_public_key(signer.public_pem).verify(
        signer.sign(b"hello" * 999), b"hello" * 999, ec.ECDSA(hashes.SHA256())
    )


def test_a_worker_takes_its_keys_from_the_device_and_makes_no_file(device, tmp_path):
    settings = Settings(data_dir=tmp_path, pkcs11_module=MODULE, pkcs11_token="test", pkcs11_pin=PIN)
    platform = Platform(host_base(), None, "", LayerStore(tmp_path / "l"), LocalStore(tmp_path / "s"), settings)
    found = {key.fingerprint for key in (platform.audit_key, platform.release_key, platform.models_key)}
    assert len(found) == 3
    assert not (tmp_path / "keys").exists()


@pytest.mark.parametrize(
    ("changed", "label", "words"),
    [
        ({"token": "other"}, "countersign-release", "other"),
        ({"pin": "wrong"}, "countersign-release", "cannot be used"),
        ({"module": "/nowhere.so"}, "countersign-release", "/nowhere.so"),
        ({}, "countersign-else", "not exactly one key pair"),
    ],
)
def test_what_is_wrong_is_said_without_the_pin(device, changed, label, words):
    other = Device(**{"module": device.module, "token": device.token, "pin": device.pin, **changed})
    with pytest.raises(keys.KeyFileError, match=words) as caught:
        DeviceSigner(other, label)
    assert PIN not in str(caught.value) + repr(device)


def test_a_worker_that_cannot_have_its_keys_does_not_start(device, tmp_path):
    settings = Settings(data_dir=tmp_path, pkcs11_module=MODULE, pkcs11_token="absent", pkcs11_pin=PIN)
    platform = Platform(host_base(), None, "", LayerStore(tmp_path / "l"), LocalStore(tmp_path / "s"), settings)
    with pytest.raises(NotReady, match="absent"):
        _ = platform.release_key
