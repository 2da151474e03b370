"""What a job of SageMaker runs: ``release-tool finetune run`` up to one stage, after what it needs was installed.

The container gives two channels, ``code`` (unpacked by then, this file is a part of it) and ``run`` (the recipe). The
state of the run lies in S3, so that the next job goes on where this one stopped.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

ML = Path(os.environ.get("FINETUNE_ROOT", "/opt/ml"))
HERE = Path(__file__).resolve().parent
STILL_RUNNING = 14
MAX_FAILURE = 1000
"""Characters that SageMaker shows of why a job failed."""
QUERIES, HAND_OVER, FIRST = "queries", "hand-over", "split"


def main(stage: str) -> int:
    """Run everything up to a stage, and return an exit code."""
    install()
    done = run(stage)
    if done.returncode and not (stage == QUERIES and done.returncode == STILL_RUNNING):
        failure = ML / "output" / "failure"
        failure.parent.mkdir(parents=True, exist_ok=True)
        failure.write_text(done.stderr[-MAX_FAILURE:], encoding="utf-8")
        return done.returncode
    folder = ML / "work" / "finetune"
    if stage == QUERIES:
        tell("queries.json", queries_state(folder, done.returncode))
    if stage == HAND_OVER:
        tell("model.json", model_facts(give_model(folder)))
    return 0


def install() -> None:
    """Install what the package needs, every file by its sha256; it lies beside this file itself."""
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "--require-hashes", "--requirement", str(HERE / "requirements.txt")], check=True)


def run(stage: str) -> subprocess.CompletedProcess[str]:
    """Run the stages; what they say is shown as it comes, the last of it is kept."""
    command = [sys.executable, "-m", "release_tool", "--work", str(ML / "work"), "finetune", "run", "--to", stage]
    # An attempt that was cut off does not hold the state of the run for ever: the workflow has one job at a time.
    command += ["--take-over"]
    if stage == FIRST:
        command += ["--recipe", str(ML / "input" / "data" / "run" / "recipe.toml")]
    said: list[str] = []
    environment = {**os.environ, "PYTHONPATH": str(HERE)}
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True, errors="replace") as process:
        for line in process.stderr or ():
            sys.stderr.write(line)
            said = [*said[-50:], line]
    return subprocess.CompletedProcess(command, process.returncode, "", "".join(said))


def queries_state(folder: Path, code: int) -> dict[str, object]:
    """Return what the workflow has to know of the queries: done, or which batches are under way."""
    if code == 0:
        return {"state": "done"}
    notes = [json.loads(path.read_text(encoding="utf-8")) for path in folder.glob("paid/bedrock-jobs/*/job.json")]
    over = {"Completed", "PartiallyCompleted", "Stopped", "Expired", "Failed"}
    return {"state": "running", "jobs": sorted(note["arn"] for note in notes if note["status"] not in over)}


def give_model(folder: Path) -> Path:
    """Put the model and its handler where SageMaker takes a job's result from; return the model."""
    (found,) = folder.glob("*-hand-over/model")
    target = ML / "model"
    shutil.copytree(found, target, dirs_exist_ok=True)
    code = target / "code"
    code.mkdir(exist_ok=True)
    shutil.copy(HERE / "finetune_handler.py", code / "inference.py")
    shutil.copy(HERE / "serving.txt", code / "requirements.txt")
    return found


def model_facts(model: Path) -> dict[str, object]:
    """Return kind and dimension of a model: what the endpoint must answer."""
    sys.path.insert(0, str(HERE))
    from finetune_handler import facts, model_fn

    return facts(model_fn(str(model)))


def tell(name: str, data: dict[str, object]) -> None:
    """Leave a document beside the recipe of the run."""
    import boto3

    bucket, _, prefix = os.environ["RUN"].removeprefix("s3://").partition("/")
    boto3.client("s3").put_object(Bucket=bucket, Key=f"{prefix}/{name}", Body=json.dumps(data).encode())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
