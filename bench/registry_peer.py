"""MLflow's registry in the same run, for the calls of the API that it has, too."""

import json
import os
import subprocess
import tempfile
from pathlib import Path

from bench.figures import NotMeasured, Options
from bench.serving import environments

MOST_MODELS = 1_000  # MLflow creates them call by call, at some hundredths of a second each
SECONDS = 600


def mlflow(models: int, options: Options) -> dict[str, str]:
    """What MLflow's calls took at so many models on SQLite, in words, by the name of our call.

    :raises NotMeasured: MLflow could not be installed or asked.
    """
    if models > MOST_MODELS:
        return {}
    programs = environments.ensure("mlflow", options.say)
    options.say(f"MLflow's registry, {models:,} models")
    script = environments.FOLDER / "mlflow_registry.py"
    with tempfile.TemporaryDirectory() as folder:
        store = {
            "_MLFLOW_SERVER_FILE_STORE": f"sqlite:///{Path(folder, 'mlflow.db')}",
            "_MLFLOW_SERVER_ARTIFACT_ROOT": folder,
            "MLFLOW_DISABLE_TELEMETRY": "true",
        }
        command = [programs / "python", script, str(models), str(options.calls)]
        try:
            done = subprocess.run(
                command, env=os.environ | store, capture_output=True, text=True, check=False, timeout=SECONDS
            )
        except subprocess.TimeoutExpired:
            raise NotMeasured(f"MLflow's registry did not answer within {SECONDS} s") from None
    if done.returncode:
        raise NotMeasured(f"MLflow's registry: {done.stderr.strip()[-300:]}")
    version = environments.version("mlflow", "mlflow")
    found: dict[str, list[float]] = json.loads(done.stdout)
    return {call: f"MLflow {version} {p50:.1f} ms, p99 {p99:.1f} ms" for call, (p50, p99) in found.items()}
