"""The command: what it prints where, and how it exits."""

import contextlib
import csv
import io
import json
import os
import pty
import re
import signal
import stat
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime, timedelta

import pytest
import yaml
from click.testing import CliRunner
from client_folder import CLIENT, NAME, fill
from fake_portal import TOKEN

from countersign.cli import VERBS, main


def run(*args, stdin=None):
    return CliRunner().invoke(main, list(args), input=stdin)


@pytest.fixture
def pushed(signed_in, folder):
    assert run("push", str(folder), "--name", NAME).exit_code == 0
    return signed_in


def test_every_verb_has_help():
    for verb in VERBS:
        result = run(verb, "--help")
        assert result.exit_code == 0, result.output
        assert len(result.output.splitlines()) > 5
    assert "Did you mean 'push'" in run("psuh").stderr


def test_no_option_of_any_verb_takes_a_token():
    for verb in VERBS:
        text = run(verb, "--help").output
        assert "--token " not in text
        assert "--password" not in text


def test_login_checks_the_token_and_stores_it_privately(portal, home):
    result = run("login", "--url", portal.url, "--token-stdin", stdin=f"{TOKEN}\n")
    assert result.exit_code == 0, result.stderr
    assert "signed in" in result.stderr
    assert result.stdout == ""
    path = home / "config" / "countersign" / "config.toml"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert json.loads(run("whoami", "-o", "json").stdout)["actor"] == "person:ana"
    assert TOKEN not in run("config", "show", "--origin").stdout
    assert run("logout").exit_code == 0
    assert TOKEN not in path.read_text()
    assert run("whoami").exit_code == 4


def test_a_wrong_token_is_not_stored(portal, home):
    result = run("login", "--url", portal.url, "--token-stdin", stdin="cs_wrong\n")
    assert result.exit_code == 4
    assert "token-refused" in result.stderr
    assert not (home / "config").exists()


def test_init_check_push_and_again(signed_in, tmp_path, monkeypatch):
    made = tmp_path / "work" / "voice"
    assert run("init", str(made), "--name", NAME).exit_code == 0
    assert run("check", str(made)).exit_code == 2  # no model yet
    card = (made / "card.md").read_text()
    fill(made)
    (made / "card.md").write_text(card)
    refused = run("check", str(made))
    assert refused.exit_code == 1
    assert "the card does not say: purpose, task, contact" in refused.stdout
    assert run("push", str(made)).exit_code == 1
    fill(made)
    assert run("check", str(made)).exit_code == 0
    monkeypatch.chdir(made)
    first = run("push", "-o", "name")
    assert (first.exit_code, first.stdout) == (0, f"{NAME}:1\n")
    again = run("push")
    assert again.exit_code == 0
    assert "holds exactly this content already" in again.stderr
    assert f"{NAME}:1" in again.stdout


def test_a_dry_run_sends_nothing(signed_in, folder):
    result = run("push", str(folder), "--name", NAME, "--dry-run")
    assert (result.exit_code, result.stdout) == (0, "")
    assert "nothing was sent" in result.stderr
    assert not signed_in.calls("PUT", "blobs")


def test_push_wait_and_submit(signed_in, folder):
    card = (folder / "card.md").read_text()
    (folder / "card.md").write_text(card.replace("licence:", "prohibited_uses: [credit]\nlicence:"))
    result = run("push", str(folder), "--name", NAME, "--wait", "--submit", "-m", "please", "-o", "json")
    assert result.exit_code == 0, result.stderr
    assert json.loads(result.stdout)["stage"] == "in_review"
    assert "/reviews/r1" in result.stderr
    assert signed_in.reviews["r1"]["asked"] == {
        "note": "please", "uses": ["Labels feedback."], "environments": ["production"], "prohibited_uses": ["credit"], "limits": ["English only"],
    }  # fmt: skip
    again = run("push", str(folder), "--name", NAME, "--submit", "-m", "please")
    assert again.exit_code == 0
    assert "not submitted again" in again.stderr
    assert len(signed_in.reviews) == 1
    assert run("push", str(folder), "--name", NAME, "--submit").exit_code == 2


def test_facts_of_the_pipeline_are_sent(signed_in, folder, monkeypatch):
    for key, value in {
        "CI": "true",
        "CI_COMMIT_SHA": "abc",
        "CI_PROJECT_URL": "https://git.example/voice",
        "CI_JOB_URL": "https://git.example/jobs/1",
    }.items():
        monkeypatch.setenv(key, value)
    result = run(
        "push", str(folder), "--name", NAME, "--param", "alpha=0.1", "--tag", "k=v", "--evaluated-on", "holdout"
    )
    assert result.exit_code == 0
    push = signed_in.version(NAME, 1)["push"]
    assert push["params"] == {"alpha": "0.1"}
    assert [edge["ref"] for edge in push["lineage"]] == [
        "holdout",
        "https://git.example/voice/-/commit/abc",
        "https://git.example/jobs/1",
    ]
    assert run("push", str(folder), "--name", NAME, "--param", "alpha").exit_code == 2


@pytest.mark.parametrize(
    ("fault", "exit_code"),
    [
        ({"status": 401, "problem": {"code": "token-refused"}}, 4),
        ({"status": 403, "problem": {"code": "missing-scope", "hint": "Make a token with push."}}, 5),
        ({"status": 404, "problem": {"code": "not-found"}}, 3),
        ({"status": 409, "problem": {"code": "wrong-stage"}}, 6),
        ({"status": 412, "problem": {"code": "stale"}}, 6),
        ({"status": 422, "problem": {"code": "invalid", "errors": [{"pointer": "/a", "detail": "too long"}]}}, 1),
        ({"status": 503, "times": 9}, 7),
    ],
)
def test_exit_codes_follow_the_answer(signed_in, fault, exit_code):
    signed_in.fail("GET", "/models", **fault)
    result = run("list")
    assert result.exit_code == exit_code
    assert result.stdout == ""
    assert "error:" in result.stderr
    for text in (
        fault.get("problem", {}).get("hint"),
        *(item["detail"] for item in fault.get("problem", {}).get("errors", [])),
    ):
        assert text is None or text in result.stderr
    assert "req-7" in result.stderr


def test_exit_codes_of_waiting(signed_in, folder):
    signed_in.stage_after_push = "checking"
    assert run("push", str(folder), "--name", NAME, "--wait=0s").exit_code == 8
    signed_in.move(NAME, 1, "check_failed")
    signed_in.version(NAME, 1)["checks"] = [{"step": "scan", "outcome": "failed", "summary": "no"}]
    failed = run("wait", f"{NAME}:1")
    assert (failed.exit_code, "scan: no" in failed.stderr) == (9, True)
    assert "os:system is not allowed" in run("show", f"{NAME}:1").stderr
    assert run("push", str(folder), "--name", NAME, "--wait=soon").exit_code == 2
    signed_in.move(NAME, 1, "approved")
    assert run("wait", f"{NAME}:1", "--until", "approved").exit_code == 0


def test_exit_codes_of_pulling(pushed, tmp_path):
    assert run("pull", NAME).exit_code == 3
    refused = run("pull", f"{NAME}:1")
    assert (refused.exit_code, "--allow-unapproved" in refused.stderr) == (5, True)
    pushed.move(NAME, 1, "approved")
    result = run("pull", NAME, "-d", "out", "-o", "name")
    assert (result.exit_code, result.stdout) == (0, "out\n")
    assert f"{NAME} is {NAME}:1: downloaded, every byte verified" in result.stderr
    pushed.blobs[pushed.version(NAME, 1)["files"][0]["digest"]] = b"x"
    assert run("pull", NAME, "-d", "other", "--url", pushed.url).exit_code == 0  # from the cache
    for cached in (tmp_path / "home" / "cache").rglob("*"):
        if cached.is_file():
            cached.unlink()
    assert run("pull", NAME, "-d", "third").exit_code == 10


def test_lists_in_every_form(pushed, folder):
    for weight in (2.0, 3.0):
        fill(folder, weight=weight)
        assert run("push", str(folder), "--name", NAME, "--label", "=cmd()").exit_code == 0
    table = run("list", NAME).stdout.splitlines()
    assert table[0].split() == ["Ref", "Label", "Stage", "Aliases", "Digest", "Created"]
    assert [line.split()[0] for line in table[1:]] == [f"{NAME}:3", f"{NAME}:2", f"{NAME}:1"]
    assert "…" in table[1]
    listed = json.loads(run("list", NAME, "-o", "json").stdout)
    assert [item["number"] for item in listed] == [3, 2, 1]
    assert listed[0]["future"] == {"kept": True}
    assert [json.loads(line)["number"] for line in run("list", NAME, "-o", "jsonl").stdout.splitlines()] == [3, 2, 1]
    assert run("list", NAME, "-o", "name").stdout == f"{NAME}:3\n{NAME}:2\n{NAME}:1\n"
    rows = list(csv.reader(io.StringIO(run("list", NAME, "-o", "csv").stdout)))
    assert rows[1][:2] == [f"{NAME}:3", "'=cmd()"]
    limited = run("list", NAME, "--limit", "2", "-o", "name")
    assert (limited.stdout.count("\n"), "more than 2" in limited.stderr) == (2, True)


def test_the_output_setting_is_honoured(pushed, monkeypatch):
    monkeypatch.setenv("COUNTERSIGN_OUTPUT", "name")
    assert run("list").stdout == f"{NAME}\n"
    assert run("search", "feedback").stdout == f"{NAME}\n"
    assert run("search", "nothing-like-it", "-o", "table").stdout == ""


def test_reading_verbs(pushed, folder):
    card = run("card", f"{NAME}:1")
    assert card.stdout == (folder / "card.md").read_text()
    shown = run("show", f"{NAME}:1").stdout
    assert "Its checks passed." in shown
    assert json.loads(run("show", f"{NAME}:1", "--report", "scan", "-o", "json").stdout)["step"] == "scan"
    assert run("files", f"{NAME}:1", "-o", "name").stdout == "model.joblib\nsample.jsonl\n"
    assert run("lineage", f"{NAME}:1").exit_code == 0
    fill(folder, weight=5.0)
    assert run("push", str(folder), "--name", NAME).exit_code == 0
    diff = run("diff", f"{NAME}:2", f"{NAME}:1")
    assert re.search(
        r"^files\n  model\.joblib\n    - sha256:\w+…\w+\n    \+ sha256:\w+…\w+$", diff.stdout, re.MULTILINE
    ), diff.stdout
    assert "model.joblib" in run("diff", f"{NAME}:2", f"{NAME}:1", "-o", "name").stdout
    assert f"{NAME}:1 -> {NAME}:2" in diff.stderr
    assert "Callers must change.\n  The input text is no longer taken." in diff.stderr
    assert run("diff", f"{NAME}:2", f"{NAME}:1", "--exit-code").exit_code == 1
    assert run("diff", f"{NAME}:2", f"{NAME}:2", "--exit-code").exit_code == 0


def test_asking_for_approval(pushed):
    asked = run("submit", f"{NAME}:1", "-m", "please", "--use", "routing", "--prohibited-use", "credit", "-o", "json")
    assert json.loads(asked.stdout)["id"] == "r1"
    assert "next: countersign reviews answer r1 advisories-unknown -m TEXT" in asked.stderr
    assert "own-code" not in asked.stderr, "it needs no answer"
    assert pushed.reviews["r1"]["asked"] == {
        "note": "please", "uses": ["routing"], "environments": ["production"], "prohibited_uses": ["credit"], "limits": ["English only"],
    }  # fmt: skip
    assert run("submit", f"{NAME}:1", "-m", "again").exit_code == 6
    assert run("reviews", "-o", "name").stdout == "r1\n"
    shown = run("reviews", "show", "r1").stdout
    assert "wait: Two people decide (0 of 2 signed)" in shown
    assert f"{pushed.url}/reviews/r1" in shown
    assert run("reviews", "comment", "r1", "-m", "done").exit_code == 0
    assert pushed.reviews["r1"]["comments"] == ["done"]
    assert run("withdraw", f"{NAME}:1", "-m", "wrong file").exit_code == 2  # nobody to ask
    assert run("withdraw", f"{NAME}:1", "-m", "wrong file", "--yes").exit_code == 0
    assert pushed.version(NAME, 1)["stage"] == "ready"


def test_no_verb_decides():
    assert not {"approve", "reject", "decide", "sign", "request-changes"} & set(VERBS)
    assert "approve" not in run("reviews", "--help").output.replace("approval", "")


def test_aliases(pushed):
    assert run("alias", "set", f"{NAME}:1", "champion").exit_code == 0
    assert pushed.version(NAME, 1)["aliases"] == ["champion"]
    assert run("show", f"{NAME}:champion", "-o", "name").stdout == f"{NAME}:1\n"
    pushed.fail("PUT", "aliases", status=412, problem={"code": "stale", "detail": "it changed since you looked"})
    assert run("alias", "set", f"{NAME}:1", "other").exit_code == 6
    assert run("alias", "rm", NAME, "champion", "--yes").exit_code == 0
    assert pushed.version(NAME, 1)["aliases"] == []


def test_bundles_bakes_and_logs(pushed, tmp_path):
    spec = tmp_path / "bundle.yaml"
    spec.write_text(
        f"routes:\n  - name: feedback\n    members:\n      - {{version: '{NAME}:1', weight: 90}}\n      - {{model: {NAME}, follow: approved, weight: 10}}\n"
    )
    assert run("bundle", "set", "payments/voice", "-f", str(spec)).exit_code == 0
    changed = run("bundle", "set", "payments/voice", "-f", "-", stdin='{"routes": [], "rebuild": "propose"}')
    assert changed.exit_code == 0
    assert pushed.calls("PUT", "bundles")[-1].headers["if-match"] == '"1"'
    assert pushed.bundles["payments/voice"]["rebuild"] == "propose"
    spec.write_text("routes: []\nroute: []\n")
    assert "unknown keys route" in run("bundle", "set", "payments/voice", "-f", str(spec)).stderr
    assert run("bundle", "-o", "name").stdout == "payments/voice\n"
    baked = run("bundle", "bake", "payments/voice", "--wait", "-o", "json")
    assert json.loads(baked.stdout)["image_digest"] == "sha256:" + "3" * 64
    assert [line for line in baked.stderr.splitlines() if line.startswith("build b1")] == [
        "build b1 is queued",
        "build b1: queued",
        "build b1: running",
        "build b1: done",
    ]
    assert run("logs", "b1").stdout == "running ✓\ndone ✓\n"
    assert run("builds", "--bundle", "payments/voice", "-o", "name").stdout == "b1\n"
    assert run("builds", "--bundle", "payments/other", "-o", "name").stdout == ""


def test_a_log_is_followed_until_the_build_ends(pushed, pauses):
    pushed.bundles["payments/voice"] = {"name": "payments/voice", "routes": [], "revision": 1}
    assert run("bundle", "bake", "payments/voice").exit_code == 0
    followed = run("logs", "-f", "b1")
    assert (followed.exit_code, followed.stdout) == (0, "running ✓\ndone ✓\n")
    assert {call.headers["range"] for call in pushed.calls("GET", "/log")} >= {"bytes=0-", "bytes=12-"}


def test_rollback_returns_to_the_previous_image(pushed):
    old, new = (f"sha256:{digit * 64}" for digit in "12")
    bundle = {"name": "payments/voice", "routes": [], "revision": 1, "image_digest": new, "previous": old}
    pushed.bundles["payments/voice"] = bundle
    assert old in run("rollback", "payments/voice").stdout
    bundle["image_digest"] = None
    refused = run("rollback", "payments/voice")
    assert (refused.exit_code != 0, "has no image yet" in refused.stderr) == (True, True)


def test_an_experiment_is_started_ended_and_concluded(pushed):
    asked = ("--hypothesis", "fewer wrong teams", "--metric", "share of moved cases", "--days", "14", "-o", "json")
    started = json.loads(run("experiment", "start", "payments/voice", "feedback", *asked).stdout)
    assert (started["state"], started["route"], started["metric"]) == ("running", "feedback", "share of moved cases")
    lasts = datetime.fromisoformat(started["ends_at"]) - datetime.now(UTC)
    assert timedelta(days=13) < lasts <= timedelta(days=14)
    assert "fewer wrong teams" in run("experiment", "list", "payments/voice").stdout
    assert "ended" in run("experiment", "end", started["id"]).stdout
    done = run("experiment", "conclude", started["id"], "--result", "2 of 100 fewer", "-o", "json")
    assert json.loads(done.stdout)["result"] == "2 of 100 fewer"
    assert run("experiment", "start", "payments/voice", "feedback", *asked[:4], "--days", "0").exit_code == 2


IMAGE = "sha256:" + "3" * 64


def test_a_rebuild_is_waited_for_and_equal(pushed, pauses):
    asked = run("rebuild", IMAGE, "-o", "json")
    assert (asked.exit_code, json.loads(asked.stdout)["state"]) == (0, "queued")
    waited = run("rebuild", IMAGE, "--wait", "-o", "json")
    assert (waited.exit_code, json.loads(waited.stdout)["state"]) == (0, "equal")


def test_a_bundle_stands_for_its_current_image(pushed):
    pushed.bundles["payments/voice"] = {"name": "payments/voice", "routes": [], "revision": 1, "image_digest": None}
    assert run("rebuild", "payments/voice").exit_code == 3
    pushed.bundles["payments/voice"]["image_digest"] = IMAGE
    assert run("rebuild", "payments/voice").exit_code == 0
    assert IMAGE in pushed.rebuilds


@pytest.mark.parametrize(
    ("outcome", "code", "words"),
    [
        (
            {
                "state": "differs",
                "found_digest": "sha256:" + "4" * 64,
                "difference": {"role": "model", "path": "opt/m", "expected": "sha256:1", "found": ""},
            },
            10,
            "the first difference is the model opt/m: recorded sha256:1, found nothing",
        ),
        (
            {"state": "failed", "error": {"code": "other-base", "message": "another base", "hint": "x"}},
            9,
            "another base",
        ),
    ],
)
def test_a_rebuild_that_is_not_equal_fails(pushed, pauses, outcome, code, words):
    pushed.outcome = outcome
    waited = run("rebuild", IMAGE, "--wait")
    assert waited.exit_code == code
    assert words in waited.stderr


def test_manifest_prints_what_runs_the_current_image(pushed):
    digest = "sha256:" + "1" * 64
    pushed.bundles["payments/voice"] = {"name": "payments/voice", "routes": [], "revision": 1, "image_digest": digest}
    printed = run("manifest", "payments/voice", "--image", "registry.example.com/voice").stdout
    assert [item["kind"] for item in yaml.safe_load_all(printed)][:2] == ["Deployment", "Service"]
    assert f"image: registry.example.com/voice@{digest}" in printed
    assert "sha256:" + "f" * 64 in printed
    compose = yaml.safe_load(run("manifest", "payments/voice", "--image", "r", "--compose").stdout)
    assert compose["services"]["voice"]["image"] == f"r@{digest}"
    policy = run("manifest", "payments/voice", "--image", "r", "--admission").stdout
    assert f"digests: {digest}" in policy
    pushed.isolation = "process"
    assert "runs as a process" in run("manifest", "payments/voice", "--image", "r").stderr


def test_a_failed_build_exits_9(pushed):
    pushed.bundles["payments/voice"] = {"name": "payments/voice", "routes": [], "revision": 1}
    assert run("bundle", "bake", "payments/voice").exit_code == 0
    pushed.builds["b1"].update(
        state="failed", error={"code": "smoke-failed", "message": "answers differ", "hint": "See the log."}
    )
    pushed.logs["b1"].append(b"smoke test failed\n")
    followed = run("logs", "-f", "b1")
    assert (followed.exit_code, followed.stdout) == (9, "smoke test failed\n")
    assert "answers differ" in followed.stderr
    assert run("builds", "retry", "b1", "--wait").exit_code == 0


def test_tokens(signed_in):
    made = run("token", "create", "ci", "--scope", "push", "--scope", "submit", "--days", "5")
    assert made.stdout == "cs_t2_secret\n"
    assert "cs_t2_secret" not in run("token", "list", "-o", "json").stdout
    assert run("token", "revoke", "t2").exit_code == 2  # nobody to ask
    assert run("token", "revoke", "t2", "-y").exit_code == 0
    assert set(signed_in.tokens) == {"t1"}


def test_config_set_and_show(home, tmp_path):
    assert run("config", "set", "url", "https://portal.example/").exit_code == 0
    assert run("config", "set", "output", "json").exit_code == 0
    assert run("config", "set", "--project", "name", NAME).exit_code == 0
    assert run("config", "set", "name", NAME).exit_code == 2
    assert run("config", "set", "output", "xml").exit_code == 2
    shown = {item["key"]: item for item in json.loads(run("config", "show", "--origin").stdout)}
    assert shown["url"]["value"] == "https://portal.example"
    assert shown["name"]["origin"] == str(tmp_path / "work" / "countersign.toml")
    assert shown["output"]["origin"].endswith("config.toml")


def test_doctor_finds_what_is_wrong_first(signed_in, monkeypatch):
    result = run("doctor", "-o", "json")
    assert result.exit_code == 0, result.output
    levels = {item["what"]: item["level"] for item in json.loads(result.stdout)}
    assert levels["server"] == levels["clock"] == levels["token"] == levels["python version"] == "ok"
    monkeypatch.setenv("COUNTERSIGN_TOKEN", "cs_wrong")
    assert run("doctor").exit_code == 4
    signed_in.server_info["targets"] = [{"python": "3.9"}]
    assert run("doctor").exit_code == 1
    monkeypatch.setenv("COUNTERSIGN_URL", "http://127.0.0.1:9")
    assert run("doctor").exit_code == 7
    monkeypatch.delenv("COUNTERSIGN_URL")
    assert run("doctor").exit_code == 2


def test_completion_scripts():
    for shell in ("zsh", "fish"):
        assert "_COUNTERSIGN_COMPLETE" in run("completion", shell).stdout


def test_text_from_a_server_cannot_control_a_terminal(pushed, monkeypatch):
    pushed.version(NAME, 1)["status"] = "fine\x1b[2J\x1b]0;owned\x07"
    shown = run("show", f"{NAME}:1").stdout
    assert "\x1b" not in shown
    assert "\x07" not in shown


def environment(portal, home):
    return {
        "PATH": os.environ["PATH"], "HOME": str(home), "PYTHONPATH": str(CLIENT), "COUNTERSIGN_URL": portal.url,
        "COUNTERSIGN_TOKEN": TOKEN, "PYTHONWARNINGS": "error",
    }  # fmt: skip


def spawn(portal, home, *args, **options):
    command = [sys.executable, "-m", "countersign", *args]
    return subprocess.run(
        command, env=environment(portal, home), capture_output=True, text=True, timeout=30, check=False, **options
    )


@pytest.mark.long
def test_as_a_process(portal, home, folder):
    pushed = spawn(portal, home, "push", str(folder), "--name", NAME, "-o", "name")
    assert (pushed.returncode, pushed.stdout) == (0, f"{NAME}:1\n"), pushed.stderr
    assert "model.joblib: sent" in pushed.stderr
    missing = spawn(portal, home, "show", f"{NAME}:9")
    assert missing.returncode == 3
    assert missing.stderr.startswith("error: ")
    assert "Traceback" not in missing.stderr
    assert "\x1b" not in missing.stderr


def on_a_terminal(portal, home, *args):
    """Run the command with a terminal as its standard output and error; what the terminal got."""
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "countersign", *args]
    options = {"env": {**environment(portal, home), "TERM": "xterm", "COLUMNS": "80"}, "stdin": subprocess.DEVNULL}
    process = subprocess.Popen(command, stdout=theirs, stderr=theirs, **options)
    os.close(theirs)
    got = b""
    with contextlib.suppress(OSError):  # Linux: EIO when the other side is closed
        while piece := os.read(ours, 65536):
            got += piece
    os.close(ours)
    assert process.wait(timeout=30) == 0, got.decode()
    return got.decode()


@pytest.mark.long
def test_on_a_terminal_there_are_bars_tables_and_no_foreign_control_characters(portal, home, folder):
    shown = on_a_terminal(portal, home, "push", str(folder), "--name", NAME, "--label", "a[b]\x1b[2J")
    assert "model.joblib" in shown
    assert "━" in shown
    table = on_a_terminal(portal, home, "list", NAME)
    assert "Ref" in table
    assert "a[b][2J" in table
    assert "\x1b[2J" not in table
    assert "# Voice" in on_a_terminal(portal, home, "card", f"{NAME}:1")
    portal.bundles["a/b"] = {"name": "a/b", "routes": [], "revision": 1}
    on_a_terminal(portal, home, "bundle", "bake", "a/b", "--wait")
    assert "done ✓" in on_a_terminal(portal, home, "logs", "b1")


def test_interrupted_is_130(portal, home):
    portal.fail("GET", "whoami", times=9, delay=20)
    command = [sys.executable, "-m", "countersign", "whoami"]
    # A shell starts what runs in its background with this signal ignored, and children inherit that.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    process = subprocess.Popen(command, env=environment(portal, home), stderr=subprocess.PIPE, text=True)
    signal.signal(signal.SIGINT, before)
    while not portal.seen:
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=10)
    assert (process.returncode, said) == (130, "interrupted\n")


def test_starting_loads_neither_http_nor_tables(portal, home):
    probe = (
        "import sys, click.testing; from countersign.cli import main; click.testing.CliRunner().invoke(main, ['--help']);"
        "print([name for name in ('requests', 'rich', 'yaml', 'cryptography', 'numpy') if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", probe],
        env=environment(portal, home),
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    assert done.stdout == "[]\n"


def test_reading_from_several_threads(client, portal, folder):
    client.push(folder, name=NAME)
    found = []
    threads = [threading.Thread(target=lambda: found.append(client.get(f"{NAME}:1").ref)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [f"{NAME}:1"] * 8
