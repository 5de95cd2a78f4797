"""Requirement files: what is installed is what was asked for, hashed, and nothing more; checked without an index."""

import os
import re
import subprocess
import sys
from importlib import metadata

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from registry import VERSION
from tests.contracts.codes import ROOT

INPUTS = sorted(
    path.relative_to(ROOT).as_posix()
    for path in ROOT.rglob("requirements*.in")
    if not any(part.startswith((".", "var")) for part in path.relative_to(ROOT).parts)
)
ENTRY = re.compile(r"^(?P<requirement>[A-Za-z0-9][^\s\\]*(?:\s*;[^\\]*)?) *\\?$(?P<rest>(?:\n[ \t]+.*)*)", re.MULTILINE)
PYTHONS = ("3.11", "3.12", "3.13")
PLATFORMS = (("linux", "Linux", "posix", "x86_64"), ("darwin", "Darwin", "posix", "arm64"))


def asked(name):
    """Requirements of an .in file and of those it includes."""
    path = ROOT / name
    found = []
    for line in path.read_text().splitlines():
        text = line.partition("#")[0].strip()
        if text.startswith("-r "):
            found += asked((path.parent / text[3:]).resolve().relative_to(ROOT).as_posix())
        elif text:
            found.append(Requirement(text))
    return found


def locked(name):
    """(requirement, number of hashes, who asked for it) of each entry of the .txt file beside an .in file."""
    text = (ROOT / name).with_suffix(".txt").read_text()
    return [
        (
            Requirement(match["requirement"]),
            len(re.findall(r"--hash=sha256:[0-9a-f]{64}\b", match["rest"])),
            re.findall(
                r"#\s+(?:via )?(-r \S+|(?!via$)[A-Za-z0-9._-]+(?:\[[^\]]*\])?)\s*$", match["rest"], re.MULTILINE
            ),
        )
        for match in ENTRY.finditer(text)
    ]


def versions(name):
    """Locked versions by name; one library may have several, for different Pythons."""
    found = {}
    for requirement, _, _ in locked(name):
        (specifier,) = requirement.specifier
        found.setdefault(canonicalize_name(requirement.name), []).append((specifier.version, requirement.marker))
    return found


OVERRIDDEN = {
    canonicalize_name(requirement.name): requirement.specifier for requirement in asked("tools/lock-overrides.txt")
}
"""What a library may be although others ask for something else."""


def test_the_requirement_files_are_the_known_ones():
    assert INPUTS == [
        "builders/compile/requirements.in",
        "builders/requirements.in",
        "examples/the_voice/requirements.in",
        "requirements-dev.in",
        "requirements.in",
        "serving/requirements.in",
    ]


@pytest.mark.parametrize("name", INPUTS)
def test_everything_asked_for_is_locked_to_a_version_that_fits(name):
    found = versions(name)
    for requirement in asked(name):
        fitting = found.get(canonicalize_name(requirement.name), [])
        assert fitting, f"{name} asks for {requirement}, run: make lock"
        assert all(requirement.specifier.contains(version) for version, _ in fitting), f"run: make lock ({requirement})"


@pytest.mark.parametrize("name", INPUTS)
def test_every_entry_is_one_version_with_hashes(name):
    entries = locked(name)
    text = (ROOT / name).with_suffix(".txt").read_text()
    assert len(entries) == len(re.findall(r"^[A-Za-z0-9]", text, re.MULTILINE)), "an entry this test cannot read"
    for requirement, hashes, _ in entries:
        assert [specifier.operator for specifier in requirement.specifier] == ["=="], requirement
        assert hashes, f"{requirement} has no hash"
    assert "--index-url" not in text
    assert "--find-links" not in text


@pytest.mark.parametrize("name", INPUTS)
def test_every_entry_is_there_because_something_asks_for_it(name):
    """An entry whose askers are all gone is left over from an older .in file."""
    here = {canonicalize_name(requirement.name) for requirement, _, _ in locked(name)}
    wanted = {canonicalize_name(requirement.name) for requirement in asked(name)}
    for requirement, _, askers in locked(name):
        assert askers, f"{requirement} says nothing of who asks for it"
        by_file = [asker for asker in askers if asker.startswith("-r ")]
        by_package = [asker for asker in askers if not asker.startswith("-r ")]
        if by_file:
            assert canonicalize_name(requirement.name) in wanted, f"{requirement}: run make lock"
        for asker in by_package:
            assert canonicalize_name(asker.partition("[")[0]) in here, f"{requirement} is for {asker}, which is gone"


@pytest.mark.parametrize("name", INPUTS)
def test_what_the_libraries_themselves_need_is_locked_too(name):
    """By the metadata of those installed here in the locked version, on every Python and platform we support."""
    found = versions(name)
    extras = {canonicalize_name(requirement.name): requirement.extras for requirement in asked(name)}
    looked = 0
    for package, pins in found.items():
        try:
            installed = metadata.distribution(package)
        except metadata.PackageNotFoundError:
            continue
        if installed.version not in [version for version, _ in pins]:
            continue
        looked += 1
        for text in installed.requires or ():
            needed = Requirement(text)
            for environment in environments(extras.get(package, set())):
                if needed.marker is None or needed.marker.evaluate(environment):
                    pinned = found.get(canonicalize_name(needed.name), [])
                    here = [version for version, marker in pinned if marker is None or marker.evaluate(environment)]
                    assert here, f"{package} needs {needed} on {environment['sys_platform']}, run: make lock"
                    wanted = OVERRIDDEN.get(canonicalize_name(needed.name), needed.specifier)
                    assert all(wanted.contains(version, prereleases=True) for version in here), text
    assert looked >= len(found) // 3, "too few of them are installed here to say anything"


def environments(extras):
    for python in PYTHONS:
        for platform, system, os_name, machine in PLATFORMS:
            for extra in ("", *extras):
                yield {
                    "python_version": python,
                    "python_full_version": f"{python}.0",
                    "sys_platform": platform,
                    "platform_system": system,
                    "os_name": os_name,
                    "platform_machine": machine,
                    "implementation_name": "cpython",
                    "platform_python_implementation": "CPython",
                    "extra": extra,
                }


def test_the_development_set_holds_the_versions_that_run():
    """Else the tests would say nothing of what is installed in production."""
    dev = versions("requirements-dev.in")
    for name in ("requirements.in", "builders/requirements.in", "serving/requirements.in"):
        for package, pins in versions(name).items():
            assert {version for version, _ in pins} & {version for version, _ in dev.get(package, [])}, package


@pytest.mark.parametrize("name", ["requirements.in", "builders/requirements.in", "serving/requirements.in"])
def test_model_libraries_are_not_in_what_runs(name):
    """scikit-learn belongs to the models, the compile step, the example and the tests."""
    barred = {"scikit-learn", "joblib", "pandas", "scipy", "pyarrow"} | (
        {"docker", "numpy"} if name == "requirements.in" else set()
    )
    assert barred & set(versions(name)) == set()


def test_our_own_version_is_the_same_everywhere():
    text = (ROOT / "pyproject.toml").read_text()
    assert re.search(r'^version = "(.*)"$', text, re.MULTILINE)[1] == VERSION
    assert Version(VERSION)


@pytest.mark.index
@pytest.mark.soak  # downloads the metadata of every library anew
@pytest.mark.parametrize("name", INPUTS)
@pytest.mark.parametrize("platform", ["x86_64-manylinux_2_28", "aarch64-apple-darwin"])
@pytest.mark.parametrize("python", PYTHONS)
def test_everything_has_a_wheel_wherever_it_is_installed(tmp_path, name, platform, python):
    """No compiler is needed. ONNX Runtime's wheels ask for macOS 14."""
    command = ["uv", "pip", "install", "--quiet", "--dry-run", "--target", str(tmp_path), "--only-binary", ":all:"]
    command += ["--no-deps", "--require-hashes", "--python-version", python, "--python-platform", platform]
    done = subprocess.run(
        [sys.executable, "-m", *command, "--requirements", str((ROOT / name).with_suffix(".txt"))],
        env={**os.environ, "MACOSX_DEPLOYMENT_TARGET": "14.0"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
