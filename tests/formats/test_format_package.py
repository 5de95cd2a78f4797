"""The package travels: under another name, and where cryptography is not installed."""

import shutil
import subprocess
import sys
from pathlib import Path

import formats

PURE = ["artifacts", "canonical", "digest", "lock", "merkle", "oci", "release", "shapes", "signature"]
PURE += ["card", "compatibility", "deployment", "own_code"]
PROGRAM = """
import importlib, sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "cryptography":
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Absent())
sys.path.insert(0, sys.argv[1])
for name in sys.argv[2:]:
    importlib.import_module("vendored.formats." + name)
assert "formats" not in sys.modules
print(sys.modules["vendored.formats.canonical"].digest({}))
"""


def test_the_pure_modules_need_no_third_party_package_and_no_fixed_name(tmp_path):
    copy = tmp_path / "vendored" / "formats"
    shutil.copytree(Path(formats.__file__).parent, copy, ignore=shutil.ignore_patterns("__pycache__"))
    found = {path.stem for path in copy.glob("*.py")}
    assert found == {*PURE, "__init__", "dsse", "keys", "manifest", "notes", "platforms", "revocations", "seals"}
    command = [sys.executable, "-I", "-c", PROGRAM, str(tmp_path), *PURE]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert result.stderr == ""
    assert result.stdout.strip() == "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"
