"""Run as a process by the failure tests: the real portal application handles one act, then the process ends.

``push``: send three files and register a version with a token. ``sign``: sign in with password and one-time code, open
the review, and approve it.
"""

import json
import re
import sys
import time
from pathlib import Path

import pyotp

from formats import digest
from portal import create_app

STEP_SECONDS = 30


def push(client, given):
    """As the command-line client does: every blob, then the version; a second time is a retry."""
    headers = {"Authorization": f"Bearer {given['token']}"}
    files = []
    for path in given["files"]:
        data = Path(path).read_bytes()
        found = digest.of_bytes(data)
        answer = client.put(f"/api/v1/blobs/{found}", data=data, headers=headers)
        assert answer.status_code in (200, 201), answer.text
        files.append({"path": Path(path).name, "digest": found})
    body = {"files": files, "format": "joblib", "card": given["card"], "create_model": True, "environment": {}}
    answer = client.post(f"/api/v1/models/{given['model']}/versions", json=body, headers=headers)
    assert answer.status_code in (200, 201), answer.text


def sign(client, given):
    """As a reviewer does at the forms."""
    page = client.get("/login").text
    page = client.post(
        "/login", data=_fields(page) | {"signin-username": given["username"], "signin-password": given["password"]}
    ).text
    code = pyotp.TOTP(given["secret"]).at(time.time() + given["step"] * STEP_SECONDS)
    client.post("/login", data=_fields(page) | {"signin-code": code})
    page = client.get(f"/reviews/{given['review']}").text
    if "seen_release" not in page:
        return  # it was approved before the kill
    typed = {"reason": "It is fit for use.", "password": given["password"], "code": code, "outcome": "approve"}
    answer = client.post(f"/reviews/{given['review']}", data=_fields(page) | typed)
    assert answer.status_code == 303, answer.text


def _fields(page):
    inputs = re.findall(r"<input[^>]*type=\"hidden\"[^>]*>", page)
    pairs = ((re.search(r'name="([^"]*)"', tag), re.search(r'value="([^"]*)"', tag)) for tag in inputs)
    return {name.group(1): value.group(1) for name, value in pairs if name and value}


act, given = sys.argv[1], json.loads(sys.argv[2])
with create_app().test_client() as client:
    {"push": push, "sign": sign}[act](client, given)
