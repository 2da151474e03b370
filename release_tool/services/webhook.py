"""Start a build by the Generic Webhook Trigger plugin.

Read from the plugin's source: it answers 200 with ``triggered: false`` where a job's filter did not match or the job
is disabled; where all jobs are set to answer silently it sends an empty 200, even when starting one failed; its 403
repeats every header of the request, the token included; its 500 holds a message in the place of a job's result.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from release_tool.core.escape import one_line
from release_tool.errors import MissingExtra, RemoteFailed, Unreachable, UsageError
from release_tool.services.jenkins import BUSY_STATUS, REQUEST_SECONDS
from release_tool.services.secrets import WEBHOOK_VARIABLE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from release_tool.services.secrets import Credentials

PATH = "generic-webhook-trigger/invoke"
_QUEUE_ITEM = re.compile(r"(?:^|/)queue/item/([0-9]{1,18})/?$")


class Webhook:
    """The webhook of one Jenkins."""

    def __init__(self, server: str, credentials: Credentials) -> None:
        if not credentials.webhook_token:
            raise UsageError(
                f"{credentials.origin} has no token of the webhook.",
                hint=f"Set {WEBHOOK_VARIABLE}, or name a secret with --secret.",
            )
        try:
            import requests  # noqa: F401 - only whether it is there
        except ModuleNotFoundError as error:
            raise MissingExtra("publish", "requests") from error
        self.server = server
        self.credentials = credentials

    def start(self, job: str, parameters: Mapping[str, str]) -> int:
        """Start a build; see ``jenkins.Starter``."""
        import requests

        try:
            # Its own hook for the header: another value for this host in a netrc file would replace a plain one.
            answer = requests.post(
                f"{self.server}/{PATH}",
                json=dict(parameters),
                auth=self._authorise,
                timeout=REQUEST_SECONDS,
                allow_redirects=False,
            )
        except (requests.exceptions.RequestException, OSError) as error:
            said = self.credentials.words_of(str(error)) or type(error).__name__
            raise Unreachable(f"{self.server} did not answer the webhook: {said}") from error
        if answer.status_code != 200:
            raise self._refusal(answer, job)
        if not answer.content.strip():
            raise RemoteFailed(
                f"The webhook of {self.server} answered with nothing: whether it started a build can't be known.",
                hint="Switch off 'Silent response' in the job's trigger; the next run looks for the build first.",
            )
        return self._queue_id(self._entry(self._jobs(answer.text), job), job)

    def _authorise(self, request: Any) -> Any:
        request.headers["Authorization"] = f"Bearer {self.credentials.webhook_token}"
        return request

    def _jobs(self, text: str) -> dict[str, Any]:
        try:
            data = json.loads(text)
        except ValueError:
            data = None
        jobs = data.get("jobs") if isinstance(data, dict) else None
        if not isinstance(jobs, dict):
            raise RemoteFailed(
                f"{self.server} does not answer the webhook as the plugin would: {self.credentials.words_of(text)}",
                hint="Check --server: it is the address of Jenkins itself, its path included.",
            )
        return jobs

    def _entry(self, jobs: dict[str, Any], job: str) -> dict[str, Any]:
        entry = jobs.get(job)
        if entry is None:
            names = self.credentials.words_of(", ".join(jobs))
            raise RemoteFailed(
                f"The webhook's token belongs to other jobs than {one_line(job)}: {names or 'none'}.",
                hint="Check --job: its full name, folders included; and the token.",
            )
        if not isinstance(entry, dict):
            raise RemoteFailed(f"The webhook could not start {one_line(job)}: {self.credentials.words_of(str(entry))}")
        return entry

    def _queue_id(self, entry: dict[str, Any], job: str) -> int:
        if entry.get("triggered") is not True:
            tested = self.credentials.words_of(str(entry.get("regexpFilterText") or ""))
            raise RemoteFailed(
                f"The webhook answered 200 and did not start {one_line(job)} (triggered: false, on {tested!r}).",
                hint="The job is disabled, or its trigger has a filter that these parameters do not pass.",
            )
        found = _QUEUE_ITEM.search(str(entry.get("url") or ""))
        if found is None:
            raise RemoteFailed(
                f"The webhook started {one_line(job)} and named no item of the queue.",
                hint="Run again: it looks for the build by its parameters.",
            )
        return int(found[1])

    def _refusal(self, answer: Any, job: str) -> Exception:
        status, said = int(answer.status_code), self.credentials.words_of(answer.text)
        if status in BUSY_STATUS:
            return Unreachable(f"{self.server} can't answer the webhook now ({status}): {said}")
        hint = None
        if 300 <= status < 400:
            hint = "It sends to another address: name that with --server."
        elif status == 404:
            hint = f"No job has this token ({self.credentials.origin}), or the plugin is not installed."
        elif status in {401, 403}:
            hint = "The plugin's whitelist, or something in front of Jenkins, does not let this machine in."
        elif status == 500:
            hint = f"Look at Jenkins's own log; the next run looks for a build of {one_line(job)} first."
        return RemoteFailed(f"{self.server} refused the webhook ({status}): {said}", hint=hint)
