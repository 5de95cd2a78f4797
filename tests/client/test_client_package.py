"""The distribution: what the wheel holds, what it imports, and the pipeline that uses it."""

import re
import shlex
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner
from client_folder import CLIENT

from countersign.cli import main
from tests.support import schema_faults

ROOT = CLIENT.parent
PIPELINE = ROOT / "examples" / "gitlab-ci.yml"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    target = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(target)]
    subprocess.run(command, cwd=CLIENT, check=True, capture_output=True, timeout=60)
    (built,) = target.glob("*.whl")
    return built


def test_the_wheel_holds_the_client_and_the_formats(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        metadata = archive.read(next(name for name in names if name.endswith("/METADATA"))).decode()
        entry_points = archive.read(next(name for name in names if name.endswith("/entry_points.txt"))).decode()
        assert archive.read("countersign/formats/artifacts.py") == (ROOT / "formats" / "artifacts.py").read_bytes()
    ours = {
        f"countersign/{path.relative_to(CLIENT / 'countersign')}" for path in (CLIENT / "countersign").glob("**/*.py")
    }
    assert names >= ours | {"countersign/py.typed", "countersign/cli/__init__.py", "countersign/formats/__init__.py"}
    assert names >= {f"countersign/formats/{path.name}" for path in (ROOT / "formats").glob("*.py")}
    assert not [name for name in names if not name.startswith("countersign") or "__pycache__" in name]
    assert "countersign = countersign.cli:main" in entry_points
    requirements = re.findall(r"^Requires-Dist: (.+)$", metadata, re.MULTILINE)
    assert {re.match(r"[\w-]+", line)[0].lower() for line in requirements if "extra" not in line} == {
        "requests",
        "click",
        "rich",
        "pyyaml",
    }
    assert [line for line in requirements if "extra" in line] == ["cryptography>=44; extra == 'verify'"]


def test_what_everybody_needs_of_the_formats_needs_no_cryptography(wheel, tmp_path):
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "site")
    probe = (
        "import sys; sys.modules['cryptography'] = None; sys.modules['formats'] = None\n"
        f"sys.path.insert(0, {str(tmp_path / 'site')!r})\n"
        "import countersign, countersign.client, countersign.notebook\n"
        "from countersign.formats import artifacts, canonical, digest\n"
        "print(digest.of_bytes(b''), countersign.__file__)"
    )
    done = subprocess.run(
        [sys.executable, "-c", probe], capture_output=True, text=True, check=True, timeout=30, cwd=tmp_path
    )
    assert done.stdout.split() == [
        "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        str(tmp_path / "site" / "countersign" / "__init__.py"),
    ]


def commands() -> list[list[str]]:
    """Every `countersign ...` of the pipeline's scripts, as words, without redirections and comments."""
    pipeline = yaml.safe_load(PIPELINE.read_text())
    found = []
    for job in pipeline["stages"]:
        for line in pipeline[job]["script"]:
            simple = re.sub(r"\$\([^)]*\)", "REF", line)
            for part in re.split(r"\|\||[<>]", simple if simple.startswith("countersign ") else ""):
                words = shlex.split(part)
                if words and words[0] == "countersign":
                    found.append(words[1:])
    return found


def test_the_pipeline_has_three_stages():
    pipeline = yaml.safe_load(PIPELINE.read_text())
    assert pipeline["stages"] == ["check", "bake", "release"]
    assert [pipeline[stage]["stage"] for stage in pipeline["stages"]] == pipeline["stages"]


def test_the_pipeline_is_of_the_published_schema(tmp_path):
    assert not schema_faults("gitlab-ci", PIPELINE, "--data-transform", "gitlab-ci")
    wrong = tmp_path / "wrong.yml"
    wrong.write_text(PIPELINE.read_text().replace("script:", "scrip:"))
    assert schema_faults("gitlab-ci", wrong, "--data-transform", "gitlab-ci")


@pytest.mark.parametrize("words", commands(), ids=" ".join)
def test_every_command_of_the_pipeline_exists(words):
    verbs = [word for word in words if re.fullmatch(r"[a-z]+", word)][:2]
    helped = CliRunner().invoke(main, [verbs[0], "--help"])
    assert helped.exit_code == 0
    if re.search(rf"^  {verbs[-1]} ", helped.output, re.MULTILINE):
        helped = CliRunner().invoke(main, [*verbs, "--help"])
        assert helped.exit_code == 0
    for option in (word.partition("=")[0] for word in words if word.startswith("-")):
        assert re.search(rf"(^|[ ,]){option}\b", helped.output, re.MULTILINE), option


def test_the_pipeline_uses_the_whole_road():
    used = {words[0] for words in commands()}
    assert used >= {"check", "push", "wait", "bundle", "alias"}
