"""Watching machines, static files, logs, commands."""

import gzip
import json
import logging
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import structlog
from flask import Flask

from portal import create_app, logs
from registry import revisions
from registry.db import Database
from registry.settings import Settings
from tests.portal.conftest import Browser


def test_alive_ready_metrics(client: Browser, login: Callable[..., Browser]) -> None:
    assert client.get("/healthz").text == "ok\n"
    assert client.get("/readyz").text == "ready\n"
    line = 'countersign_http_requests_total{endpoint="account.login",method="GET",status="200"} '
    before = client.get("/metrics").text.partition(line)[2].partition("\n")[0]
    client.get("/login")
    text = client.get("/metrics").text
    assert f"{line}{float(before or 0) + 1}\n" in text
    assert 'countersign_jobs{state="queued"} 0.0' in text


@pytest.fixture
def bare(settings: Settings, tmp_path: Path) -> Flask:
    """A portal whose database was never upgraded."""
    return create_app(settings, Database(f"sqlite:///{tmp_path / 'bare.db'}"))


def test_no_page_before_the_tables_are_there(bare: Flask) -> None:
    client = bare.test_client()
    assert client.get("/healthz").status_code == 200
    assert client.get("/readyz").status_code == 503
    answer = client.get("/login")
    assert answer.status_code == 503
    assert "flask --app wsgi registry db upgrade" in answer.text
    result = bare.test_cli_runner().invoke(args=["registry", "db", "upgrade"])
    assert result.exit_code == 0, result.output
    assert client.get("/login").status_code == 200


def test_development_brings_its_own_database_up_to_date(settings: Settings) -> None:
    app = create_app(settings)
    assert revisions.is_current(app.extensions["countersign"].database)
    app.extensions["countersign"].database.close()


def test_setup_link_command(app: Flask, client: Browser, database: Database, make_person) -> None:
    runner = app.test_cli_runner()
    result = runner.invoke(args=["registry", "setup-link"])
    assert result.output.startswith("http://127.0.0.1:5000/setup/")
    path = result.output.strip().removeprefix("http://127.0.0.1:5000")
    assert "Set up this installation" in client.get(path).text
    make_person("ana")
    refused = runner.invoke(args=["registry", "setup-link"])
    assert refused.exit_code == 1
    assert "has people already" in refused.output
    quiet = runner.invoke(args=["registry", "setup-link", "--if-empty"])
    assert (quiet.exit_code, quiet.output) == (0, "")
    theirs = runner.invoke(args=["registry", "setup-link", "--username", "ana"])
    path = theirs.output.strip().removeprefix("http://127.0.0.1:5000")
    assert "Welcome, Ana" in client.get(path).text
    assert "no person eve" in runner.invoke(args=["registry", "setup-link", "--username", "eve"]).output


def test_static_files_are_compressed_versioned_and_kept(app: Flask, client: Browser) -> None:
    page = client.get("/login").text
    paths = re.findall(r'(?:href|src)="(/static/[^"]+)"', page)
    assert len(paths) == 4
    for path in paths:
        answer = client.get(path, headers={"Accept-Encoding": "gzip"})
        assert answer.status_code == 200
        assert "immutable" in answer.headers["Cache-Control"]
        if answer.headers.get("Content-Encoding") == "gzip":
            assert gzip.decompress(answer.data) == client.get(path).data
    old = re.sub(r"/static/[0-9a-f]+/", "/static/000000000000/", paths[-1])
    assert client.get(old).headers["Cache-Control"] == "no-cache"
    assert client.get("/static/x/../portal/__init__.py").status_code == 404


def test_a_first_visit_is_under_100_kb(app: Flask, login: Callable[..., Browser]) -> None:
    browser = login("administrator", "scientist")
    assets = app.extensions["countersign"].assets
    modules = re.findall(r'from "\./([^"]+)"', assets.get("js/app.js").raw.decode())
    names = ["bootstrap.css", "theme.css", "favicon.svg", "js/app.js", "js/say.js", *(f"js/{name}" for name in modules)]
    shared = sum(len(assets.get(name).packed) for name in names)
    for path in ("/", "/settings/tokens", "/admin/people", "/settings/security"):
        assert shared + len(browser.get(path).data) < 100_000, path


def test_a_request_leaves_one_json_line_without_secrets(
    app: Flask, client: Browser, capsys, database: Database
) -> None:
    root = logging.getLogger()
    before = root.handlers[:], root.level
    try:
        logs.configure("INFO")
        client.get("/setup/a-secret-in-the-address", headers={"X-Request-Id": "from-the-proxy-1"})
        client.get("/login", headers={"X-Request-Id": "bad id\nwith a break"[:6]})
    finally:
        root.handlers[:], level = before
        root.setLevel(level)
        structlog.reset_defaults()
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines() if '"request"' in line]
    assert lines[0]["path"] == "/setup/<secret>"
    assert lines[0]["request_id"] == "from-the-proxy-1"
    assert lines[0]["status"] == 404
    assert re.fullmatch("[0-9a-f]{32}", lines[1]["request_id"])


@pytest.mark.long
def test_wsgi_names_every_fault_and_stops(tmp_path: Path) -> None:
    import os
    import subprocess
    import sys

    environ = {**os.environ, "COUNTERSIGN_ENV": "production", "COUNTERSIGN_DATA_DIR": str(tmp_path)}
    root = Path(__file__).parent.parent.parent
    result = subprocess.run(
        [sys.executable, "-c", "import wsgi"], cwd=root, env=environ, capture_output=True, text=True, check=False
    )
    assert result.returncode == 3
    assert "COUNTERSIGN_SECRET_KEY" in result.stderr
    assert "COUNTERSIGN_PUBLIC_URL" in result.stderr
    assert "Traceback" not in result.stderr
