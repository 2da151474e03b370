"""Say to act, in the copy of the workflows that it runs, what it would ignore: environments, and what they grant.

GitHub gives a job of an environment that environment's variables and secrets, and a token that names it to a job with
``id-token: write``. act knows neither environments nor permissions. So each job of the copy gets the addresses of the
token as variables, with the job's own ``environment`` expression inside, and its ``vars`` and ``secrets`` are looked up
by that expression; act evaluates them. Nothing here knows what an environment of the workflows is called.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import Any

import yaml

NO_ENVIRONMENT = "none"
VARIABLES, SECRETS = "STAND_IN_VARIABLES", "STAND_IN_SECRETS"
EXPRESSION = re.compile(r"\$\{\{(.*?)\}\}", re.DOTALL)
RANKS = {"none": 0, "read": 1, "write": 2}


@dataclass
class Granted:
    """What a repository and its environments hold."""

    variables: dict[str, str] = field(default_factory=dict)
    secrets: dict[str, str] = field(default_factory=dict)
    environments: dict[str, Granted] = field(default_factory=dict)

    def by_environment(self, what):
        """Return environment → name → value; an environment's own go before the repository's."""
        own = getattr(self, what)
        return {NO_ENVIRONMENT: own, **{name: {**own, **getattr(e, what)} for name, e in self.environments.items()}}


class Loader(yaml.SafeLoader):
    """YAML as GitHub reads it: ``on`` is a word."""


class Dumper(yaml.SafeDumper):
    """Writes what ``Loader`` reads."""

    def ignore_aliases(self, data):
        return True


for each in (Loader, Dumper):
    each.yaml_implicit_resolvers = {
        first: [(tag, pattern) for tag, pattern in known if tag != "tag:yaml.org,2002:bool"]
        for first, known in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }
    each.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile(r"^(?:true|false)$", re.IGNORECASE), list("tTfF"))


def load(path):
    """Return the data of a workflow."""
    return yaml.load(path.read_text(encoding="utf-8"), Loader)  # noqa: S506 - a safe loader, see above


def dump(path, data):
    """Write a workflow."""
    path.write_text(yaml.dump(data, Dumper=Dumper, sort_keys=False, width=10_000), encoding="utf-8")


def as_expression(text):
    """Return a text with ``${{ }}`` in it as one expression."""
    found = EXPRESSION.findall(text)
    if not found:
        return quoted(text)
    if EXPRESSION.fullmatch(text.strip()) and len(found) == 1:
        return f"({found[0].strip()})"
    pieces = EXPRESSION.split(text)[::2]
    pattern = "".join(f"{piece}{{{place}}}" for place, piece in enumerate(pieces[:-1])) + pieces[-1]
    return f"format({quoted(pattern)}, {', '.join(each.strip() for each in found)})"


def quoted(text):
    return "'" + text.replace("'", "''") + "'"


def environment_of(job):
    """Return a job's environment as an expression; null where it has none."""
    named = job.get("environment")
    if isinstance(named, dict):
        named = named["name"]
    return None if named is None else as_expression(named)


def allows(permissions, name):
    """Return whether permissions hold a right to write."""
    if isinstance(permissions, str):
        return permissions == "write-all"
    return RANKS[(permissions or {}).get(name, "none")] == RANKS["write"]


@dataclass
class Rewriting:
    """Rewrites all workflows of a folder, in place."""

    folder: Any
    granted: Granted
    tokens: str | None = None
    """Address at which a job's token is asked for, without a query; null: nobody issues tokens."""
    request_token: str = ""

    def rewrite(self):
        """Rewrite every workflow."""
        flows = {path.name: load(path) for path in sorted(self.folder.glob("*.y*ml"))}
        callers: dict[str, list[Any]] = {}
        for flow in flows.values():
            for job in flow["jobs"].values():
                if str(job.get("uses", "")).startswith("./"):
                    callers.setdefault(job["uses"].rpartition("/")[2], []).append((flow, job))
        for name, flow in flows.items():
            flow["name"] = name.partition(".")[0]
            for job in flow["jobs"].values():
                job.pop("name", None)
                if "uses" not in job:
                    self.tell(flow, job, callers.get(name, []))
        for name, flow in flows.items():
            dump(self.folder / name, flow)

    def tell(self, flow, job, callers):
        """Write into one job what GitHub would give it."""
        for step in job["steps"]:
            # act serves a checkout from the copy, which is main, unless a ref is named: then it asks GitHub.
            if str(step.get("uses")).startswith("actions/checkout@") and step.get("with", {}).get("ref") == "main":
                del step["with"]["ref"]
        environment = environment_of(job)
        looked_up = environment or quoted(NO_ENVIRONMENT)
        for part in ("steps", "env"):
            if part in job:
                job[part] = replaced(job[part], looked_up, secrets=not callers)
        env = job.setdefault("env", {})
        env["STAND_IN_ENVIRONMENT"] = f"${{{{ {looked_up} }}}}"
        rights = [effective(flow, job), *(effective(*caller) for caller in callers)]
        if self.tokens and all(allows(right, "id-token") for right in rights):
            query = f"environment=${{{{ {environment} }}}}&" if environment else ""
            env["ACTIONS_ID_TOKEN_REQUEST_URL"] = f"{self.tokens}?{query}api-version=2.0"
            env["ACTIONS_ID_TOKEN_REQUEST_TOKEN"] = self.request_token

    def arguments(self):
        """Return what act has to be told on its command line."""
        found = [f"--var={name}={value}" for name, value in self.granted.variables.items()]
        found += [f"--secret={name}={value}" for name, value in self.granted.secrets.items()]
        found.append(f"--var={VARIABLES}={json.dumps(self.granted.by_environment('variables'))}")
        found.append(f"--secret={SECRETS}={json.dumps(self.granted.by_environment('secrets'))}")
        return found


def effective(flow, job):
    """Return a job's permissions: its own, else those of its workflow."""
    return job.get("permissions", flow.get("permissions"))


def replaced(data, environment, *, secrets):
    """Return data whose expressions look variables and secrets up by the environment."""
    if isinstance(data, dict):
        return {key: replaced(value, environment, secrets=secrets) for key, value in data.items()}
    if isinstance(data, list):
        return [replaced(value, environment, secrets=secrets) for value in data]
    if not isinstance(data, str):
        return data

    def one(match):
        text = re.sub(r"\bvars\.(\w+)", rf"fromJSON(vars.{VARIABLES})[{environment}].\1", match[0])
        if secrets:
            looked_up = rf"fromJSON(secrets.{SECRETS})[{environment}].\1"
            text = re.sub(r"\bsecrets\.(?!GITHUB_TOKEN\b)(\w+)", looked_up, text)
        return text

    return EXPRESSION.sub(one, data)


def slice_of(flow, keep, outputs):
    """Return a workflow with only some of its jobs; what they need is done already, with these outputs.

    Args:
        flow: data of the workflow.
        keep: ids of the jobs that run.
        outputs: id of a job that is needed → its outputs; null for one that was skipped.
    """
    jobs = {}
    for name, job in flow["jobs"].items():
        if name in keep:
            jobs[name] = job
        elif name in outputs:
            done = outputs[name]
            assert not EXPRESSION.search(json.dumps(done)), f"the outputs of {name} hold an expression"
            jobs[name] = {"runs-on": "ubuntu-24.04", "steps": [{"run": "true"}], "outputs": done or {}}
            if done is None:
                jobs[name]["if"] = "false"
    return {**flow, "jobs": jobs}
