"""Real images for the serving tests: models trained here, sealed here, started as an image is started."""

import compileall
import contextlib
import dataclasses
import json
import os
import pickle
import shutil
import signal
import subprocess
import sys
import sysconfig
import time
import warnings
from dataclasses import dataclass
from pathlib import Path
from py_compile import PycInvalidationMode

import joblib
import numpy as np
import pandas as pd
import requests
from joblib.numpy_pickle import NumpyUnpickler
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import RandomForestClassifier
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, SGDClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from builders.compile import making
from formats import digest, keys, lock
from formats.artifacts import File
from formats.manifest import (
    PRIMARY,
    SHADOW,
    App,
    Compiled,
    Environment,
    Manifest,
    Member,
    Model,
    Route,
    Runtime,
    compiled_digest,
    seal,
)
from formats.signature import Signature
from serving import estimators, introspection
from serving.runner import MODULES

REPOSITORY = Path(__file__).resolve().parents[2]
SITE = Path(sysconfig.get_paths()["purelib"])
BASE = Path("opt/countersign")

TEXTS = {
    "card": ["my card was stolen", "lost card please block it", "the card is broken", "new card never arrived"],
    "app": ["the app crashes at login", "app is slow today", "cannot update the app", "app shows a blank page"],
    "loan": ["what is the loan rate", "apply for a loan", "my loan was refused", "repay the loan early"],
}


# --- Models


@dataclass
class Trained:
    """A fitted estimator, its file's bytes, its sample and what introspection said of it."""

    estimator: object
    format: str
    data: bytes
    allow: bytes
    sample: list
    introspection: dict
    compiled: dict | None = None
    """Files of the compiled form by name, and its engine as `engine`; None: served by its own library."""

    @property
    def signature(self):
        return Signature.from_dict(self.introspection["signature"])

    @property
    def sealed(self):
        keep = ("answers", "columns")
        return {"rows": self.sample, **{name: self.introspection[name] for name in keep}}


def text_model(seed):
    texts = [text for group in TEXTS.values() for text in group]
    labels = [label for label, group in TEXTS.items() for _ in group]
    model = make_pipeline(TfidfVectorizer(), SGDClassifier(loss="log_loss", random_state=seed, alpha=10.0**-seed))
    return model.fit(texts, labels), [{"text": text} for text in texts[::3]]


def matrix_model():
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(80, 4))
    model = make_pipeline(StandardScaler(copy=False), LogisticRegression()).fit(
        rows.copy(), rows[:, 0] + rows[:, 2] > 0
    )
    return model, records(pd.DataFrame(rows[:6], columns=["z", "b", "y", "a"]))


def forest_model():
    rng = np.random.default_rng(1)
    rows = rng.normal(size=(60, 4))
    model = RandomForestClassifier(n_estimators=5, random_state=0, n_jobs=-1).fit(
        rows, (rows[:, 1] > 0).astype(int) * 7
    )
    return model, records(pd.DataFrame(rows[:4], columns=list("abcd")))


def customers():
    rng = np.random.default_rng(2)
    frame = pd.DataFrame(
        {
            "age": rng.integers(18, 80, 60),
            "income": rng.normal(40_000, 9_000, 60).round(2),
            "city": rng.choice(["Basel", "Bern", "Genf"], 60),
            "member": rng.choice([True, False], 60),
        }
    )
    frame.loc[1, "income"] = np.nan
    frame.loc[2, "city"] = np.nan
    return frame


def frame_model():
    frame = customers()
    numbers = make_pipeline(SimpleImputer(), StandardScaler())
    words = make_pipeline(SimpleImputer(strategy="most_frequent"), OneHotEncoder(handle_unknown="ignore"))
    columns = ColumnTransformer(
        [("numbers", numbers, ["age", "income"]), ("words", words, ["city"])], remainder="passthrough"
    )
    model = Pipeline([("columns", columns), ("model", LogisticRegression())])
    return model.fit(frame, np.where(frame["age"] > 50, "old", "young")), records(frame.head(6))


def records(frame):
    return json.loads(frame.to_json(orient="records", double_precision=15))


def train(estimator, sample, folder, file_format="joblib"):
    """Save ``estimator``, list the names its file imports, load it by them and introspect it."""
    path = folder / f"model.{file_format}"
    if file_format == "joblib":
        joblib.dump(estimator, path)
    else:
        path.write_bytes(pickle.dumps(estimator))
    names = imported_names(path, file_format)
    allow = json.dumps({"globals": names}).encode()
    (folder / "allow.json").write_bytes(allow)
    (folder / "sample.jsonl").write_text("".join(json.dumps(row) + "\n" for row in sample))
    with warnings.catch_warnings(action="ignore"):
        loaded = estimators.load(path, file_format, frozenset(names))
        found = introspection.introspect(loaded, introspection.read_sample(folder / "sample.jsonl"))
    return Trained(estimator, file_format, path.read_bytes(), allow, sample, found)


def compiled(trained):
    """The same model, compiled as the check does it; the first of its candidates."""
    head, data = making.make(trained.estimator, trained.introspection["signature"], trained.sample)
    first = head["candidates"][0]
    files = {file["path"]: content for file, content in zip(first["files"], data, strict=False)}
    return dataclasses.replace(trained, compiled={"engine": first["engine"], "files": files})


def imported_names(path, file_format):
    """What the scan finds; these files are our own, so loading them is safe here."""
    names = set()
    base = NumpyUnpickler if file_format == "joblib" else pickle.Unpickler

    class Recorder(base):
        def find_class(self, module, name):
            names.add(f"{module}:{name}")
            return super().find_class(module, name)

    with path.open("rb") as file:
        loader = Recorder(str(path), file, ensure_native_byte_order=True) if base is NumpyUnpickler else Recorder(file)
        loader.load()
    return sorted(names)


def introspect(folder, *, file_format="joblib", site=SITE):
    """Run the introspection as the check does: its files alone in a folder, in an isolated interpreter."""
    program = folder / "program"
    program.mkdir(exist_ok=True)
    for name in ("runner", *MODULES):
        shutil.copy(REPOSITORY / "serving" / f"{name}.py", program)
    command = [sys.executable, "-I", "-S", "-B", program / "runner.py", "introspect", "--site", site]
    command += ["--model", folder / f"model.{file_format}", "--format", file_format]
    command += ["--allow", folder / "allow.json", "--sample", folder / "sample.jsonl"]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


# --- Images


@dataclass
class Image:
    """An unpacked image below ``root``, sealed by ``signer``."""

    root: Path
    manifest: Manifest
    signer: keys.FileSigner

    def path(self, *parts):
        return self.root / BASE.joinpath(*parts)

    def reseal(self, manifest):
        self.path("manifest.dsse.json").write_bytes(seal(manifest, self.signer))


def build(root, members, routes, *, sealed_rows=True, shadows=()):
    """Assemble an image.

    :param members: ref, such as `payments/voice:1`, to what was trained.
    :param routes: route name to {ref: weight}.
    :param shadows: those refs that are shadows on their routes.
    """
    base = root / BASE
    copy_app(base / "app")
    (base / "envs").mkdir()
    lock_digest = digest.of_bytes(b"the lock of these tests")
    environment = lock.environment_id(lock_digest)
    for link in (base / "runtime", base / "envs" / environment):
        link.symlink_to(SITE)  # stands for the unzipped wheels
    models = [write_model(base, ref, trained, environment, sealed_rows=sealed_rows) for ref, trained in members.items()]
    manifest = Manifest(
        bundle="payments/tests",
        target=lock.Target.host(),
        base="host",
        runtime=Runtime(lock_digest, str(BASE / "runtime"), digest.of_bytes(b"runtime")),
        app=App(str(BASE / "app"), files_of(base / "app")),
        environments=tuple(
            Environment(item, lock_digest, str(BASE / "envs" / item), digest.of_bytes(b"environment"))
            for item in {model.environment for model in models} - {None}
        ),
        models=tuple(models),
        routes=tuple(
            Route(
                name,
                tuple(
                    Member(ref, weight, (0, 100), SHADOW if ref in shadows else PRIMARY)
                    for ref, weight in weights.items()
                ),
            )
            for name, weights in routes.items()
        ),
    )
    image = Image(root, manifest, keys.generate(root / "key.pem"))
    image.reseal(manifest)
    return image


def copy_app(target):
    for package in ("serving", "serving/forms", "serving/grpc_generated", "formats"):
        (target / package).mkdir(parents=True)
        for source in (REPOSITORY / package).glob("*.py"):
            shutil.copy(source, target / package)
    (target / "serving" / "start.py").rename(target / "start.py")
    compileall.compile_dir(target, quiet=1, invalidation_mode=PycInvalidationMode.UNCHECKED_HASH)  # as the builder does


def write_model(base, ref, trained, environment, *, sealed_rows):
    name, number = ref.split(":")
    folder = base / "models" / f"{name.replace('/', '--')}-{number}"
    folder.mkdir(parents=True)
    artifact = None if trained.compiled else f"model.{trained.format}"
    if trained.compiled:
        (folder / "compiled").mkdir()
        for file, content in trained.compiled["files"].items():
            (folder / "compiled" / file).write_bytes(content)
    else:
        (folder / artifact).write_bytes(trained.data)
        (folder / "allow.json").write_bytes(trained.allow)
    (folder / "signature.json").write_text(json.dumps(trained.introspection["signature"]))
    if sealed_rows:
        (folder / "sealed.json").write_text(json.dumps(trained.sealed))
    files = files_of(folder)
    form = trained.compiled and Compiled(trained.compiled["engine"], compiled_digest(files))
    return Model(
        ref=ref,
        model=name,
        number=int(number),
        release_digest=digest.of_bytes(ref.encode()),
        environment=None if form else environment,
        path=str(BASE / "models" / folder.name),
        format=trained.format,
        artifact=artifact,
        files=files,
        signature=trained.signature,
        compiled=form,
    )


def files_of(folder):
    found = [
        File(path.relative_to(folder).as_posix(), *digest.of_file(path)) for path in folder.rglob("*") if path.is_file()
    ]
    return tuple(sorted(found, key=lambda file: file.path))


# --- Servers

PORTS = ("--host", "127.0.0.1", "--rest-port", "0", "--grpc-port", "0")


class Running:
    """A server started as the image's entry point starts it."""

    def __init__(self, image, log_path, **settings):
        self.image = image
        self.log_path = log_path
        port_file = image.root / "ports.json"
        port_file.unlink(missing_ok=True)
        environment = {f"COUNTERSIGN_{name.upper()}": str(value) for name, value in settings.items()}
        with log_path.open("wb") as log:
            self.process = subprocess.Popen(
                [*entry(image), "serve", "--root", image.root, *PORTS, "--port-file", port_file],
                stdout=log,
                stderr=subprocess.STDOUT,
                env=clean_environment() | environment,
            )
        wait_for(lambda: port_file.exists() or self.ended(), f"the port file of {log_path}")
        ports = json.loads(port_file.read_text())
        self.rest_port = ports["rest"]
        self.rest = f"http://127.0.0.1:{ports['rest']}"
        self.grpc = f"127.0.0.1:{ports['grpc']}"

    def ended(self):
        if self.process.poll() is not None:
            raise AssertionError(f"the server ended with {self.process.returncode}: {self.log_path.read_text()}")
        return False

    def wait_ready(self):
        wait_for(lambda: self.ended() or self.is_ready(), "readiness")
        return self

    def is_ready(self):
        return requests.get(f"{self.rest}/v2/health/ready", timeout=30).status_code == 200

    def infer(self, route, inputs, *, version=None, headers=None, **message):
        path = f"/v2/models/{route}{f'/versions/{version}' if version else ''}/infer"
        return requests.post(f"{self.rest}{path}", json={"inputs": inputs, **message}, headers=headers, timeout=30)

    def events(self, name=None):
        lines = [json.loads(line) for line in self.log_path.read_text().splitlines() if line.startswith("{")]
        return [line for line in lines if name in (None, line["event"])]

    def model_pid(self, ref):
        return [event["pid"] for event in self.events("model process ready") if event["model"] == ref][-1]

    def metric(self, name, **labels):
        """The value of one series; 0 for a counter that has not counted yet."""
        text = requests.get(f"{self.rest}/metrics", timeout=30).text
        for line in text.splitlines():
            series, _, value = line.rpartition(" ")
            if series.partition("{")[0] == name and all(f'{key}="{text}"' in series for key, text in labels.items()):
                return float(value)
        return 0.0

    def terminate(self):
        self.process.send_signal(signal.SIGTERM)

    def stop(self):
        if self.process.poll() is None:
            self.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(20)
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()


def entry(image):
    return [sys.executable, "-I", image.path("app", "start.py")]


def run_command(image, *arguments, stdin=None, **settings):
    environment = clean_environment() | {f"COUNTERSIGN_{name.upper()}": str(value) for name, value in settings.items()}
    command = [*entry(image), *arguments, "--root", image.root]
    return subprocess.run(
        command, input=stdin, capture_output=True, text=True, env=environment, timeout=60, check=False
    )


def clean_environment():
    return {name: value for name, value in os.environ.items() if not name.startswith("COUNTERSIGN_")}


def wait_for(condition, what, seconds=90):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        found = condition()
        if found:
            return found
        time.sleep(0.02)
    raise AssertionError(f"waited {seconds} s for {what}")


def text_input(*texts):
    return [{"name": "text", "datatype": "BYTES", "shape": [len(texts)], "data": list(texts)}]


def matrix_input(rows):
    return [{"name": "input", "datatype": "FP64", "shape": [len(rows), len(rows[0])], "data": rows}]


def frame_input(rows):
    kinds = {"age": "INT64", "income": "FP64", "city": "BYTES", "member": "BOOL"}
    return [
        {"name": name, "datatype": kind, "shape": [len(rows)], "data": [row[name] for row in rows]}
        for name, kind in kinds.items()
    ]


def outputs_of(response):
    assert response.status_code == 200, response.text
    return {output["name"]: output for output in response.json()["outputs"]}


def kill(pid):
    """End one process at once, and wait until it is gone."""
    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: not Path(f"/proc/{pid}").exists(), f"process {pid} to end")
