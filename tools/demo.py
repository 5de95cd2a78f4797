"""`make demo`: the main job from end to end, through the interfaces people use, on embedded defaults.

Trains two versions of The Voice, pushes them with the client, waits for the checks, submits them; two different people
decide in the web forms; the worker bakes one image with an A/B split; it starts; live feedback is routed over REST and
gRPC. Then it stays up until Ctrl-C. With CI set it ends by itself: 0 when every step worked, 1 with one line when not.
"""

import json
import os
import re
import secrets
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import pyotp
import requests

from tools.browser import Browser, FormTrouble, Page
from tools.stack import ROOT, Stack, Trouble, exit_on_signals, fresh

HOME = ROOT / "var" / "demo"
VOICE = ROOT / "examples" / "the_voice"
MODEL = "payments/feedback-voice"
ROUTE = "feedback"
SPLIT = (90, 10)
KEEP = frozenset({"scientist", "store", "layers", "push"})
"""Parts of var/demo that a second run may use again: they are content-addressed, or a cache."""
PEOPLE = {
    "administrator": ("root", "Robin Administrator"),
    "scientist": ("sara", "Sara Scientist"),
    "validator": ("victor", "Victor Validator"),
    "compliance": ("cora", "Cora Compliance"),
    "operator": ("oscar", "Oscar Operator"),
    "auditor": ("anna", "Anna Auditor"),
    "consumer": ("carl", "Carl Consumer"),
}
STEP_SECONDS = 30


@dataclass
class Login:
    """Somebody with a password and, where the role needs one, a second factor."""

    username: str
    password: str
    totp_secret: str = ""

    def code(self, *, steps: int = 0) -> str:
        """The current one-time code, or one of a step before or after, as a clock that is a little off would give."""
        return pyotp.TOTP(self.totp_secret).at(time.time() + steps * STEP_SECONDS)


class Demo:
    """One run of the demo."""

    def __init__(self) -> None:
        """Nothing is started yet."""
        self.started = time.monotonic()
        fresh(HOME, keep=KEEP)
        base = ROOT / "var" / "base" / "base.oci.tar"
        environ = {"COUNTERSIGN_ENV": "development", "COUNTERSIGN_SECRET_KEY": "", "COUNTERSIGN_DATABASE_URL": ""}
        if "COUNTERSIGN_BASE_IMAGE" not in os.environ and base.is_file():
            environ["COUNTERSIGN_BASE_IMAGE"] = str(base)
        self.stack = Stack(HOME, environ)
        self.logins: dict[str, Login] = {}
        self.browsers: dict[str, Browser] = {}
        self.token = ""
        self.live_url = ""

    def say(self, text: str) -> None:
        """One line, with the seconds since the start."""
        print(f"{time.monotonic() - self.started:7.1f} s  {text}", flush=True)

    def run(self) -> None:
        """Every step of the road."""
        self.start()
        self.people()
        self.push()
        self.review()
        image = self.bake()
        self.serve(image)

    # ------------------------------------------------------------------------------------------------------ steps

    def start(self) -> None:
        """Portal and worker, and what the worker can do."""
        url = self.stack.start_portal()
        self.say(f"Portal answers at {url}")
        self.stack.start_worker()
        about = self._first_line("worker", "isolation: ")
        mine = f"Python {sys.version_info[0]}.{sys.version_info[1]}"
        if about.startswith("isolation: container") and f"{mine}." not in about:
            # A model runs under the Python it was trained with, and this scientist's is not the base's.
            missing = f"the base image has another Python than this machine's {mine}"
            if os.environ.get("COUNTERSIGN_ISOLATION") == "container":
                raise Trouble(f"{missing}; use that Python (PYTHON=...), or a base with this one")
            self.say(f"No containers: {missing}. Going on with local processes.")
            self.stack.stop_one("worker")
            (self.stack.logs / "worker.log").unlink()
            self.stack.environ["COUNTERSIGN_ISOLATION"] = "process"
            self.stack.start_worker()
            about = self._first_line("worker", "isolation: ")
        self.say(f"Worker is up, {about}")

    def people(self) -> None:
        """The first administrator from the one-time link; everybody else through the administration pages."""
        link = subprocess.run(
            [sys.executable, "-m", "flask", "--app", "wsgi", "registry", "setup-link", "--if-empty"],
            cwd=ROOT,
            env=self.stack.environ,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        if link.returncode:
            raise Trouble(f"no set-up link: {link.stderr.strip()[-300:]}")
        admin = self._settle("administrator", link.stdout.strip().splitlines()[-1], name=PEOPLE["administrator"][1])
        page = admin.get("/admin/teams")
        page = admin.get(self._link(page, r"/admin/teams/new$") or "/admin/teams")
        admin.send(page.form("slug", "name"), {"slug": "payments", "name": "Payments"})
        for role, (username, name) in PEOPLE.items():
            if role == "administrator":
                continue
            page = admin.get("/admin/people/new")
            page = admin.send(page.form("username", "name"), {"username": username, "name": name})
            link_text = page.find(r"(http\S+/setup/\S+)") if "/setup/" in page.text else self._setup_field(page)
            page = admin.get(f"/admin/people/{username}")
            admin.send(page.form("role"), {"role": role})
            if role in ("scientist", "consumer"):
                page = admin.get("/admin/teams/payments")
                admin.send(page.form("username"), {"username": username})
            self._settle(role, link_text)
        self.say(f"{len(PEOPLE)} people set their passwords and second factors in the browser")

    @staticmethod
    def _link(page: Page, pattern: str) -> str:
        return next((link for link in page.links if re.search(pattern, link)), "")

    @staticmethod
    def _setup_field(page: Page) -> str:
        for form in page.forms:
            for values in form.fields.values():
                if values and "/setup/" in values[0]:
                    return values[0]
        link = next((link for link in page.links if "/setup/" in link), "")
        if not link:
            raise FormTrouble(f"{page.url} shows no set-up link; it says: {page.text[:300]}")
        return link

    def _settle(self, role: str, link: str, *, name: str = "") -> Browser:
        """Open a set-up link, choose a password, enrol the second factor where the role needs one."""
        username = PEOPLE[role][0]
        login = Login(username, secrets.token_urlsafe(12))
        browser = Browser(self.stack.url)
        page = browser.get(link)
        fields: dict[str, str | list[str]] = {"password": login.password, "again": login.password}
        if name:
            fields |= {"username": username, "name": name}
        page = browser.send(page.form("password", "again"), fields)
        if (
            "sealed_secret" not in {field for form in page.forms for field in form.fields}
            and name == ""
            and role
            in (
                "validator",
                "compliance",
                "operator",
            )
        ):
            page = browser.get("/settings/security/second-factor")
        if any("sealed_secret" in form.fields for form in page.forms):
            login.totp_secret = page.find(r"((?:[A-Z2-7]{4} ?){8})").replace(" ", "")
            browser.send(page.form("sealed_secret", "code"), {"code": login.code()})
        self.logins[role], self.browsers[role] = login, browser
        return browser

    def push(self) -> None:
        """Train two versions and push them with the client, as a scientist would."""
        scientist = self.browsers["scientist"]
        page = scientist.get("/settings/tokens")
        page = scientist.send(
            page.form("name", "days", "scopes"),
            {"name": "demo", "days": "1", "scopes": ["read", "push", "submit", "bundles", "tokens"]},
        )
        self.token = page.find(r"(cs_[0-9a-f]{12}_[0-9a-f]{72})")
        for version in (1, 2):
            folder = HOME / "push" / f"v{version}"
            if not (folder / "model.joblib").is_file():
                self._scientist([str(VOICE / "train.py"), "--version", str(version), "--out", str(folder)])
            metrics = {metric["name"]: metric["value"] for metric in json.loads((folder / "metrics.json").read_text())}
            self.say(f"Trained version {version}: accuracy {metrics['accuracy']:.3f}")
        waiting = []
        for version in (1, 2):
            folder = HOME / "push" / f"v{version}"
            command = ["push", str(folder), "--name", MODEL, "--label", f"{version}.0.0", "-o", "name"]
            for source in json.loads((folder / "lineage.json").read_text()):
                option = {"trained_on": "--dataset", "evaluated_on": "--evaluated-on", "produced_by": "--run"}[
                    source["relation"]
                ]
                command += [option, f"{source['ref']}@{source['digest']}" if source.get("digest") else source["ref"]]
            if version == 2:
                command += ["--parent", f"{MODEL}:1"]
            ref = self._client(command).strip().splitlines()[-1]
            self.say(f"Pushed {ref}")
            waiting.append(ref)
        for ref in waiting:
            self._client(["wait", ref, "--until", "ready", "--timeout", "10m"])
            self.say(f"Checks of {ref} passed")
        routes = {
            "routes": [
                {
                    "name": ROUTE,
                    "members": [{"version": ref, "weight": weight} for ref, weight in zip(waiting, SPLIT, strict=True)],
                }
            ]
        }
        (HOME / "bundle.json").write_text(json.dumps(routes))
        self._client(["bundle", "set", MODEL, "--file", str(HOME / "bundle.json")])
        self.say(f"Bundle {MODEL}: route {ROUTE}, version 1 {SPLIT[0]} %, version 2 {SPLIT[1]} %")
        for ref in waiting:
            note = "For routing customer feedback; see the card."
            submit = ["submit", ref, "-m", note, "--environment", "production", "-o", "name"]
            review = self._client(submit).strip()
            answer = "A demonstration on one machine: no bundle of advisories is imported, and nothing is reachable."
            self._client(["reviews", "answer", review, "advisories-unknown", "-m", answer])
            self.say(f"Submitted {ref} for review, and answered that its libraries were not compared with advisories")

    def _scientist(self, command: list[str]) -> str:
        environ = {
            **os.environ,
            "COUNTERSIGN_URL": self.stack.url,
            "COUNTERSIGN_TOKEN": self.token,
            "NO_COLOR": "1",
            "CI": "true",
        }
        environ.pop("PYTHONPATH", None)
        done = subprocess.run(
            [str(HOME / "scientist" / "bin" / "python"), *command],
            env=environ,
            capture_output=True,
            text=True,
            check=False,
            timeout=900,
        )
        if done.returncode:
            raise Trouble(
                f"{' '.join(command[:3])} ended with {done.returncode}: {(done.stderr or done.stdout).strip()[-600:]}"
            )
        return done.stdout

    def _client(self, command: list[str]) -> str:
        return self._scientist(["-m", "countersign", *command])

    def review(self) -> None:
        """The validator and the compliance officer read and sign, each in their own browser session."""
        for role in ("validator", "compliance"):
            login, browser = self.logins[role], self.browsers[role]
            page = browser.get("/reviews")
            reviews = sorted({link for link in page.links if re.fullmatch(r"/reviews/[0-9a-f-]{32,36}", link)})
            if len(reviews) != 2:
                raise FormTrouble(f"{login.username} sees {len(reviews)} reviews, not 2: {page.text[:300]}")
            for number, review in enumerate(reviews):
                page = browser.get(review)
                form = page.form("seen_release", "reason", "password", "code")
                # A code is good for one decision: the second of two uses the step after, as a fast clock would.
                values: dict[str, str | list[str]] = {
                    "reason": "Fit for routing feedback: metrics are above what the team needs, limits are stated.",
                    "password": login.password,
                    "code": login.code(steps=number),
                }
                browser.send(form, values, ("outcome", "approve"))
            self.say(f"{login.username} ({role}) signed both versions")

    def bake(self) -> dict[str, Any]:
        """Wait for the build that the last signature asked for."""
        end = time.monotonic() + 600
        while time.monotonic() < end:
            self.stack.check("worker")
            builds = self._api("/api/v1/builds?limit=10")["items"]
            if builds and all(build["state"] in ("done", "failed") for build in builds):
                newest = builds[0]
                if newest["state"] == "failed":
                    raise Trouble(f"the build failed: {newest['error']['message']} {newest['error']['hint']}")
                self.say(f"Baked {newest['image_digest']}")
                return dict(newest)
            time.sleep(0.3)
        raise Trouble(f"no image within 10 minutes; see {self.stack.logs / 'worker.log'}")

    def _api(self, path: str) -> Any:
        answer = requests.get(self.stack.url + path, headers={"Authorization": f"Bearer {self.token}"}, timeout=30)
        if not answer.ok:
            raise Trouble(f"{path} answered {answer.status_code}: {answer.text[:300]}")
        return answer.json()

    def serve(self, build: dict[str, Any]) -> None:
        """Start the image, send live feedback, keep the summary beside it."""
        where = HOME / "serving.json"
        self.stack.start("serving", [sys.executable, "-m", "builders", "run", build["bundle"], "--summary", str(where)])
        end = time.monotonic() + 120
        while not where.exists():
            self.stack.check("serving")
            if time.monotonic() > end:
                raise Trouble(f"the image did not start within 120 s; see {self.stack.logs / 'serving.log'}")
            time.sleep(0.1)
        running = json.loads(where.read_text())
        if running["image_digest"] != build["image_digest"]:
            raise Trouble(f"{running['image_digest']} runs, {build['image_digest']} was baked")
        self.say(f"Serving REST at {running['rest_url']}, gRPC at {running['grpc_target']} ({running['isolation']})")
        feed = self._scientist(
            [
                str(VOICE / "feed.py"),
                "--rest",
                running["rest_url"],
                "--grpc",
                running["grpc_target"],
                "--route",
                ROUTE,
                "-n",
                "20",
            ]
        )
        self._write_summary(build, running)
        print(feed, flush=True)
        environ = {"PYTHONPATH": ""}
        self.stack.start(
            "live",
            [
                str(HOME / "scientist" / "bin" / "python"),
                str(VOICE / "live.py"),
                "--rest",
                running["rest_url"],
                "--model",
                ROUTE,
            ],
            environ=environ,
        )
        self.live_url = self._first_line("live", "http")

    def _first_line(self, name: str, start: str) -> str:
        """What a child says from ``start`` on, in the first line of its log that holds it."""
        path = self.stack.logs / f"{name}.log"
        end = time.monotonic() + 120
        while time.monotonic() < end:
            self.stack.check(name)
            for line in path.read_text(errors="replace").splitlines():
                if start in line:
                    return line[line.index(start) :].strip()
            time.sleep(0.1)
        raise Trouble(f"the {name} did not start within 120 s; see {path}")

    def _write_summary(self, build: dict[str, Any], running: dict[str, str]) -> None:
        """Written whole or not at all, readable by its owner only: it holds the demo's passwords."""
        summary = {
            "portal_url": self.stack.url,
            "rest_url": running["rest_url"].rstrip("/"),
            "grpc_target": running["grpc_target"],
            "bundle": build["bundle"],
            "image_digest": build["image_digest"],
            "isolation": running["isolation"],
            "logins": {role: vars(login) for role, login in self.logins.items()},
            "api_token": self.token,
        }
        partial = HOME / "summary.json.new"
        handle = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "w") as sink:
            json.dump(summary, sink, indent=2)
        partial.replace(HOME / "summary.json")

    def stay(self) -> None:
        """Say where everything is, and wait."""
        print(f"\n  Portal     {self.stack.url}\n  Live page  {self.live_url}\n")
        print("  Sign in as     user      password          one-time codes (secret for an authenticator app)")
        for role, login in self.logins.items():
            print(f"  {role:<14} {login.username:<9} {login.password:<17} {login.totp_secret or 'none set up'}")
        print(f"\n  All of it, and an API token: {HOME / 'summary.json'}\n  Ctrl-C stops everything.", flush=True)
        while True:
            for name in tuple(self.stack.children):
                self.stack.check(name)
            time.sleep(0.5)


def main() -> int:
    exit_on_signals()
    demo = Demo()
    try:
        demo.run()
        if os.environ.get("CI"):
            demo.say("The whole road worked.")
            return 0
        demo.stay()
    except KeyboardInterrupt:
        print("\nStopped.")
        return 0
    except (Trouble, FormTrouble, subprocess.TimeoutExpired, requests.RequestException) as error:
        print(f"demo failed: {' '.join(str(error).split())}", file=sys.stderr)
        return 1
    finally:
        demo.stack.stop()
        (HOME / "summary.json").unlink(missing_ok=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
