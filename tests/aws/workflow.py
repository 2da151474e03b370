"""Execute a state machine by ministack's interpreter, with scripted services: a program of its own, and its caller.

Parameters, results, retries, catches, choices and waits are the interpreter's; what a task would ask of AWS is answered
by a script, and written down. Waits take no time.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

SECONDS = 60


@dataclass(frozen=True)
class Execution:
    """How it ended."""

    status: str
    error: str
    cause: str
    output: dict
    calls: list
    """(what was asked, its input) in order."""

    @property
    def asked(self):
        return [name for name, _ in self.calls]


def executed(jobs):
    """Execute a machine once for each job and return how each execution ended.

    Args:
        jobs: dicts of ``definition``, ``input`` and ``script``: what is asked → list of ``{"return": ...}`` or
            ``{"throw": [error, cause]}``; the last one stays.
    """
    environment = {**os.environ, "SFN_WAIT_SCALE": "0", "LOG_LEVEL": "ERROR"}
    done = subprocess.run(
        [sys.executable, __file__], input=json.dumps(jobs), env=environment, capture_output=True, text=True,
        check=False, timeout=SECONDS * 2,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return [Execution(**one) for one in json.loads(done.stdout)]


def name_of(resource, data):
    """Return what is asked, short: ``Validate``, ``job mine``, ``createModel``."""
    if resource.endswith("lambda:invoke"):
        return data["FunctionName"]
    if "createTrainingJob" in resource:
        return f"job {data['AlgorithmSpecification']['ContainerArguments'][-1]}"
    return resource.rpartition(":")[2]


def main():
    from ministack.services import stepfunctions as service

    told = []
    for number, job in enumerate(json.load(sys.stdin)):
        calls, script = [], job["script"]

        def invoke(resource, data, *_, calls=calls, script=script):
            name = name_of(resource, data)
            outcomes = script[name]
            turn = [one for one, _ in calls].count(name)
            calls.append((name, data))
            outcome = outcomes[min(turn, len(outcomes) - 1)]
            if "throw" in outcome:
                raise service._ExecutionError(*outcome["throw"])
            found = outcome["return"]
            return {"Payload": found} if resource.endswith("lambda:invoke") else found

        service._invoke_resource = invoke
        definition = json.dumps(job["definition"])
        machine = {"name": f"machine-{number}", "definition": definition, "roleArn": "arn:aws:iam::1:role/r"}
        made = answer(service._create_state_machine(machine))
        started = answer(service._start_execution(
            {"stateMachineArn": made["stateMachineArn"], "name": f"run-{number}", "input": json.dumps(job["input"])}
        ))  # fmt: skip
        until = time.monotonic() + SECONDS
        found = {"status": "RUNNING"}
        while found["status"] == "RUNNING" and time.monotonic() < until:
            time.sleep(0.01)
            found = answer(service._describe_execution({"executionArn": started["executionArn"]}))
        told.append({
            "status": found["status"], "error": found.get("error") or "", "cause": found.get("cause") or "",
            "output": json.loads(found.get("output") or "{}"), "calls": calls,
        })  # fmt: skip
    json.dump(told, sys.stdout)


def answer(reply):
    """Return the JSON of ministack's reply; its words where it is a refusal."""
    status, _, body = reply
    assert status == 200, body
    return json.loads(body)


if __name__ == "__main__":
    # This file's folder would hide others' modules by ours.
    sys.path = [place for place in sys.path if Path(place or ".").resolve() != Path(__file__).resolve().parent]
    main()
