"""Run a workflow of this repository with act on this machine, with stand-ins for the actions that need GitHub.

act runs in a copy of the checkout that is a git repository of its own, in an environment of a few variables: its steps
see what is given here and nothing of the machine's. See ``rewriting`` for what the copy says besides.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from act.programs import make_programs
from act.rewriting import EXPRESSION, Granted, Rewriting, dump, load, slice_of

PROGRAM = "act"
WHY_MISSING = "RELEASE_TOOL_ACT_MISSING"
"""Where scripts/test says what stopped it from building the program."""
ACTIONS = Path(__file__).with_name("actions")
REPOSITORY = "acme/releases"
RUN_ID = "4711"
ACTOR = "releaser"
USES = re.compile(r"\buses: *([\w.-]+/[\w.-]+)@([0-9a-f]{40})\b")
LIMIT_SECONDS = 900


def missing():
    """Say why no workflow can be run here; empty where one can."""
    if os.environ.get(WHY_MISSING):
        return os.environ[WHY_MISSING]
    return next((f"{name} is not on PATH" for name in (PROGRAM, "git", "bash") if not shutil.which(name)), "")


@dataclass
class Step:
    """One step of a job."""

    id: str
    name: str
    result: str = "skipped"
    outputs: dict[str, str] = field(default_factory=dict)
    log: list[str] = field(default_factory=list)


@dataclass
class Job:
    """One job that was begun; act does not speak of the others."""

    name: str
    """Its id; ``caller/id`` in a called workflow."""
    result: str = "unknown"
    steps: dict[str, Step] = field(default_factory=dict)
    summary: str = ""

    @property
    def log(self):
        """All lines that its steps have said."""
        return "\n".join(line for step in self.steps.values() for line in step.log)

    def ran(self):
        """Return the names of its steps that ran, in order."""
        return [step.name for step in self.steps.values() if step.result != "skipped"]


@dataclass
class Call:
    """One run of the program in a step."""

    job: str
    environment: dict[str, str]
    arguments: list[str]
    lock: str
    """What was installed for the job."""


@dataclass
class Run:
    """What came of one run of a workflow."""

    code: int
    jobs: dict[str, Job] = field(repr=False)
    calls: list[Call] = field(repr=False)
    store: Path
    """Artifact → its files."""
    log: str = field(repr=False)
    """What people read; act's own log, next to the copy, says more: what it masks, too."""
    flows: dict[str, dict] = field(repr=False)

    def results(self):
        """Return job → result, of the jobs that were begun."""
        return {name: job.result for name, job in self.jobs.items()}

    def outputs(self, name):
        """Return the outputs of a job, as its workflow declares them."""
        caller, _, inner = name.rpartition("/")
        flow = self.flows[self.flow_of(caller)]
        job = flow["jobs"][inner]
        if "uses" in job:
            declared = self.flows[job["uses"].rpartition("/")[2]]["on"]["workflow_call"].get("outputs", {})
            wanted = {key: value["value"] for key, value in declared.items()}
            return {key: self.output_of_job(name, value) for key, value in wanted.items()}
        return {key: self.output_of_step(name, value) for key, value in job.get("outputs", {}).items()}

    def flow_of(self, caller):
        if not caller:
            return next(iter(self.flows))
        uses = self.flows[next(iter(self.flows))]["jobs"][caller]["uses"]
        return uses.rpartition("/")[2]

    def output_of_job(self, caller, expression):
        job, key = named(expression, r"jobs\.([\w-]+)\.outputs\.([\w-]+)")
        return self.outputs(f"{caller}/{job}").get(key, "")

    def output_of_step(self, name, expression):
        if not EXPRESSION.search(expression):  # of a job that stands for one of an earlier run
            return expression
        step, key = named(expression, r"steps\.([\w-]+)\.outputs\.([\w-]+)")
        job = self.jobs.get(name)
        return job.steps[step].outputs.get(key, "") if job and step in job.steps else ""

    def calls_of(self, command):
        """Return the runs of one command of the program."""
        options_off = ([word for word in call.arguments if not word.startswith("-")] for call in self.calls)
        return [call for call, words in zip(self.calls, options_off, strict=True) if words[:1] == [command]]


def named(expression, pattern):
    """Return the parts of an output's expression."""
    (inner,) = EXPRESSION.findall(expression)
    found = re.fullmatch(pattern, inner.strip())
    assert found, f"no plain output: {expression}"
    return found.groups()


@dataclass
class Runner:
    """Runs workflows of a copy of a checkout."""

    folder: Path
    """Everything lies below: the copy, the artifacts, what was recorded."""
    checkout: Path
    granted: Granted = field(default_factory=Granted)
    environment: dict[str, str] = field(default_factory=dict)
    """Variables of the runner, which every step sees."""
    files: dict[str, str] = field(default_factory=dict)
    """Path → text: what stands in the copy instead of the checkout's."""
    tokens: str | None = None
    request_token: str = ""
    attempt: int = 1
    """Which time the run is run."""
    setup: bool = True
    """Whether the setup action is replaced by its stand-in."""

    def run(
        self, workflow, *, inputs=None, event="workflow_dispatch", change=None, keep=None, outputs=None, store=None
    ):
        """Run a workflow and return what came of it.

        Args:
            workflow: file name in .github/workflows.
            inputs: of the form, or of the call; the form's defaults stand for what is left out.
            event: name of the event.
            change: called with the copy's folder before it is committed.
            keep: ids of the jobs that run; null for all.
            outputs: outputs of the jobs that they need and that do not run, see ``slice_of``.
            store: artifacts that lie there already; null for none.
        """
        self.folder.mkdir(parents=True)
        copy = copy_checkout(self.checkout, self.folder / "repository", setup=self.setup)
        for name, text in self.files.items():
            (copy / name).write_text(text, encoding="utf-8")
        place = copy / ".github" / "workflows" / workflow
        if change:
            change(copy)
        if keep is not None:
            dump(place, slice_of(load(place), keep, outputs or {}))
        flows = {path.name: load(path) for path in (place, *sorted(place.parent.glob("*.y*ml")))}
        form = flows[workflow]["on"].get(event) or {}
        event_file = self.folder / "event.json"
        event_file.write_text(json.dumps(event_of(form, inputs or {}, workflow)), encoding="utf-8")
        rewriting = Rewriting(place.parent, self.granted, self.tokens, self.request_token)
        rewriting.rewrite()
        commit(copy)
        kept = self.folder / "artifacts"
        if store is None:
            kept.mkdir()
        else:
            shutil.copytree(store, kept)
        code, lines = self.execute(copy, workflow, event, event_file, rewriting.arguments(), local_actions(copy))
        return Run(
            code=code,
            jobs=read_jobs(lines),
            calls=read_calls(self.folder / "records"),
            store=kept,
            log="\n".join(read_words(lines)),
            flows=flows,
        )

    def execute(self, copy, workflow, event, event_file, arguments, actions):
        """Run act; return its exit code and the lines that it has said."""
        home, records = self.folder / "home", self.folder / "records"
        for path in (home, records):
            path.mkdir()
        programs = make_programs(self.folder / "programs", self.checkout)
        environment = {
            **self.environment,
            "STAND_IN_PYTHON": sys.executable,
            "STAND_IN_STORE": str(self.folder / "artifacts"),
            "STAND_IN_RECORDS": str(records),
            "STAND_IN_PROGRAMS": str(programs),
            "GITHUB_RUN_ID": RUN_ID,
            "GITHUB_RUN_ATTEMPT": str(self.attempt),
        }
        command = [
            shutil.which(PROGRAM), event, "--json", "--no-cache-server", "--concurrent-jobs=1", "--actor", ACTOR,
            "--platform=ubuntu-24.04=-self-hosted", "--platform=self-hosted=-self-hosted",
            "--workflows", f".github/workflows/{workflow}",
            "--eventpath", str(event_file), "--action-cache-path", str(self.folder / "cache"), *arguments,
            *(f"--env={name}={value}" for name, value in environment.items()),
            *(f"--local-repository={name}={place}" for name, place in actions.items()),
        ]  # fmt: skip
        with (self.folder / "act.log").open("w+", encoding="utf-8") as log:
            process = subprocess.Popen(
                command, cwd=copy, env={"PATH": os.environ["PATH"], "HOME": str(home)}, stdin=subprocess.DEVNULL,
                stdout=log, stderr=subprocess.STDOUT, start_new_session=True,
            )  # fmt: skip
            try:
                code = process.wait(LIMIT_SECONDS)
            finally:
                if process.poll() is None:
                    os.killpg(process.pid, signal.SIGKILL)
                    process.wait()
            log.seek(0)
            return code, log.read().splitlines()


def copy_checkout(checkout, target, *, setup):
    """Copy what git knows or would take; the setup action may be replaced by its stand-in."""
    asked = ["git", "-C", str(checkout), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(asked, check=True, capture_output=True).stdout.decode().split("\0")
    for name in filter(None, names):
        if (checkout / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(checkout / name, target / name)
    if setup:
        shutil.rmtree(target / ".github" / "actions" / "setup")
        shutil.copytree(ACTIONS / "setup", target / ".github" / "actions" / "setup")
    return target


def commit(folder):
    """Make a repository of a folder, with one commit on main and the address that it would have."""
    git = [
        "git",
        "-C",
        str(folder),
        "-c",
        "user.name=t",
        "-c",
        "user.email=t@example.org",
        "-c",
        "commit.gpgsign=false",
    ]
    clean = {"PATH": os.environ["PATH"], "HOME": str(folder.parent), "GIT_CONFIG_NOSYSTEM": "1"}
    for words in (
        ["init", "--quiet", "--initial-branch=main"],
        ["add", "--all", "--force"],
        ["commit", "--quiet", "--message=checkout"],
        ["remote", "add", "origin", f"https://github.com/{REPOSITORY}"],
    ):
        subprocess.run([*git, *words], check=True, env=clean, capture_output=True)


def event_of(form, inputs, workflow):
    """Return the event as GitHub writes it: every input of the form is there, as a text."""
    declared = form.get("inputs") or {}
    unknown = set(inputs) - set(declared)
    assert not unknown, f"the form of {workflow} has no {sorted(unknown)}"
    values = {}
    for name, about in declared.items():
        value = inputs.get(name, about.get("default", (about.get("options") or [""])[0]))
        values[name] = str(value).lower() if isinstance(value, bool) else str(value)
    return {
        "inputs": values,
        "ref": "refs/heads/main",
        "workflow": f".github/workflows/{workflow}",
        "repository": {"full_name": REPOSITORY, "default_branch": "main"},
        "sender": {"login": ACTOR},
    }


def local_actions(copy):
    """Return ``owner/name@commit`` → folder of its stand-in, for each action of the copy; checkout is act's own."""
    found = {}
    for path in (copy / ".github").rglob("*.y*ml"):
        for name, commit in USES.findall(path.read_text(encoding="utf-8")):
            stand_in = ACTIONS / name.partition("/")[2]
            if stand_in.is_dir():
                found[f"{name}@{commit}"] = stand_in
    return found


def read_entries(lines):
    """Return the entries of act's log; what is no JSON has only words."""
    for line in lines:
        try:
            yield json.loads(line)
        except ValueError:
            yield {"msg": line}


def read_words(lines):
    """Return the words of act's log, a job's with its name before them."""
    return [f"[{entry.get('job', 'act').strip()}] {entry['msg'].rstrip()}" for entry in read_entries(lines)]


def read_jobs(lines):
    """Return the jobs of a log, in the order in which they were begun."""
    jobs: dict[str, Job] = {}
    for entry in read_entries(lines):
        if "jobID" not in entry:
            continue
        job = jobs.setdefault(job_name(entry["job"]), Job(job_name(entry["job"])))
        if "jobResult" in entry:
            job.result = entry["jobResult"]
        if "stepID" in entry and isinstance(entry["stepID"], list):
            read_step(job, entry)
    return jobs


def job_name(text):
    """Return ``caller/id`` or ``id`` of act's own name, which has the workflows' names in it."""
    parts = text.strip().split("/")
    return parts[-1] if len(parts) == 2 else f"{parts[0]}/{parts[-1]}"


def read_step(job, entry):
    if entry.get("stage") not in (None, "Main"):
        return
    outer = entry["stepID"][0]
    step = job.steps.setdefault(outer, Step(outer, entry.get("step", "")))
    if entry.get("command") == "summary":
        job.summary += entry["content"]
    elif entry.get("command") == "set-output" and len(entry["stepID"]) == 1:
        step.outputs[entry["name"]] = entry["arg"]
    elif "stepResult" in entry and len(entry["stepID"]) == 1:
        step.result = entry["stepResult"]
    if entry.get("raw_output") or entry.get("level") in ("error", "warning"):
        step.log.append(entry["msg"].rstrip("\n"))


def read_calls(folder):
    """Return the runs of the program in the order in which they began."""
    calls = []
    for path in sorted(folder.iterdir()):
        head, _, rest = path.read_bytes().decode(errors="replace").partition("\0\0")
        lock, *arguments = head.split("\0")
        environment = dict(pair.split("=", 1) for pair in rest.split("\0") if "=" in pair)
        calls.append(Call(environment["GITHUB_JOB"], environment, arguments, lock))
    return calls


def count(run):
    """Return how many jobs ended how."""
    return Counter(run.results().values())
