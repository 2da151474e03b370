"""A client of Jenkins on top of python-jenkins: what a job declares, start a build, queue, builds.

python-jenkins keeps the session, the crumb and the login; requests go through its ``jenkins_request``, because its own
getters turn every failure, a gateway's 502 as well, into "does not exist". Promises: an answer of the server that is
none of Jenkins's is an error; no redirect is followed, and no address that Jenkins names; what a server says is shown
without markup and without our credentials.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import unquote, urlsplit

from release_tool.core.escape import one_line
from release_tool.core.notice import Job, Seen, known_result
from release_tool.errors import MissingExtra, RemoteFailed, Unreachable, UsageError
from release_tool.services.addresses import job_path
from release_tool.services.secrets import KEYS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from release_tool.services.clock import Clock
    from release_tool.services.secrets import Credentials

REQUEST_SECONDS = 30.0
BUSY_STATUS = frozenset({429, 502, 503, 504})
"""A gateway in front of a Jenkins that restarts, or Jenkins while it starts: nothing was done."""
PAGE = 100
MAX_PAGES = 20
BUILD_TREE = "number,queueId,timestamp,duration,building,result,actions[parameters[name,value]]"
MAX_WHY = 200


class Starter(Protocol):
    """What can start a build."""

    def start(self, job: str, parameters: Mapping[str, str]) -> int:
        """Start a build and return the number of its queue item.

        Raises:
            RemoteFailed: it was refused.
            Unreachable: no answer; it may have been started all the same.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueItem:
    """What became of an item of the queue."""

    why: str = ""
    """While it waits: for what, in Jenkins's words, one line."""
    cancelled: bool = False
    number: int | None = None
    """Of the build that it became."""


class JenkinsServer:
    """One Jenkins and one user of it."""

    def __init__(self, server: str, credentials: Credentials, clock: Clock) -> None:
        given = {"user": ("user", credentials.user), "token": ("API token", credentials.token)}
        missing = [key for key, (_, value) in given.items() if not value]
        if not credentials.user or not credentials.token:
            variables = " and ".join(KEYS[key] for key in missing)
            raise UsageError(
                f"{credentials.origin} has no {' and '.join(given[key][0] for key in missing)} of Jenkins.",
                hint=f"Set {variables}, or name a secret with --secret that holds {' and '.join(missing)}.",
            )
        try:
            import jenkins
        except ModuleNotFoundError as error:
            raise MissingExtra("publish", "jenkins") from error
        self.server = server
        self.credentials = credentials
        self.clock = clock
        self.ahead = timedelta(0)
        """By how much the server's clock was ahead of ours at its last answer."""
        self._client = jenkins.Jenkins(server, credentials.user, credentials.token, timeout=REQUEST_SECONDS, retries=0)
        session = self._client._session  # noqa: SLF001 - the library's only handle on its session
        session.max_redirects = 0  # a redirected POST becomes a GET, and a login page is no answer
        session.verify = True  # the library would let a variable of the environment switch this off

    def job(self, name: str) -> Job:
        """Return what a job declares.

        Raises:
            RemoteFailed: there is no such job, or the user may not see it.
            Unreachable: no answer.
        """
        definitions = "[parameterDefinitions[name,choices]]"
        data = self._get(f"{job_path(name)}/api/json", f"buildable,property{definitions},actions{definitions}")
        if data is None:
            raise RemoteFailed(
                f"Jenkins at {self.server} has no job {one_line(name)}, or this user may not see it.",
                hint="Check --job and --server; the user needs the rights Job/Read and Job/Build.",
            )
        declared: dict[str, tuple[str, ...]] = {}
        for holder in (*_dicts(data.get("property")), *_dicts(data.get("actions"))):
            for definition in _dicts(holder.get("parameterDefinitions")):
                choices = definition.get("choices")
                texts = tuple(str(item) for item in choices) if isinstance(choices, list) else ()
                declared[str(definition.get("name"))] = texts
        return Job(declared=declared, buildable=data.get("buildable") is not False)

    def start(self, job: str, parameters: Mapping[str, str]) -> int:
        """Start a build by ``buildWithParameters``; see ``Starter``."""
        self._client.crumb = None  # it is bound to a session, and a Jenkins that has restarted knows neither
        with self._asked(f"POST {job_path(job)}/buildWithParameters"):
            number = self._client.build_job(job, dict(parameters))
        return int(number)

    def queue_item(self, number: int, job: str) -> QueueItem | None:
        """Return what became of a queue item; null when Jenkins no longer knows it, or it is another job's."""
        data = self._get(f"queue/item/{number}/api/json", "why,cancelled,executable[number],task[name,url]")
        if data is None or not self._is_of(data, job):
            return None
        executable = data.get("executable")
        begun = executable.get("number") if isinstance(executable, dict) else None
        return QueueItem(
            why=self.credentials.words_of(str(data.get("why") or ""))[:MAX_WHY],
            cancelled=data.get("cancelled") is True,
            number=_whole(begun),
        )

    def queued(self, job: str) -> tuple[Seen, ...]:
        """Return every item of a job that waits in the queue."""
        tree = "items[id,inQueueSince,task[name,url],actions[parameters[name,value]]]"
        data = self._get("queue/api/json", tree) or {}
        return tuple(
            Seen(parameters=_parameters(item), at=_moment(item.get("inQueueSince")), queue_id=_whole(item.get("id")))
            for item in _dicts(data.get("items"))
            if self._is_of(item, job)
        )

    def build(self, job: str, number: int) -> Seen | None:
        """Return a build; null when Jenkins does not know it."""
        data = self._get(f"{job_path(job)}/{number}/api/json", BUILD_TREE)
        return None if data is None else _seen(data)

    def builds(self, job: str, since: datetime) -> tuple[Seen, ...]:
        """Return the builds of a job, newest first, at least all that began after a time."""
        found: list[Seen] = []
        for page in range(MAX_PAGES):
            tree = f"builds[{BUILD_TREE}]{{{page * PAGE},{(page + 1) * PAGE}}}"
            data = self._get(f"{job_path(job)}/api/json", tree) or {}
            listed = [_seen(item) for item in _dicts(data.get("builds"))]
            found += listed
            if len(listed) < PAGE or listed[-1].at < since:
                break
        return tuple(found)

    def address_of(self, job: str, number: int) -> str:
        """Return the address of a build below the server that a person named."""
        return f"{self.server}/{job_path(job)}/{number}/"

    def _is_of(self, item: dict[str, Any], job: str) -> bool:
        """Tell whether a queue item is of a job; its address may be below another name of the same server."""
        task = item.get("task")
        if not isinstance(task, dict):
            return False
        url = task.get("url")
        if isinstance(url, str):
            return unquote(urlsplit(url).path).rstrip("/").endswith("/" + unquote(job_path(job)))
        return bool(task.get("name") == job.rpartition("/")[2])

    def _get(self, path: str, tree: str) -> dict[str, Any] | None:
        """Return the JSON object at a path, null for 404."""
        import jenkins
        import requests

        request = requests.Request("GET", f"{self.server}/{path}", params={"tree": tree})
        with self._asked(f"GET {path}"):
            try:
                answer = self._client.jenkins_request(request)
            except jenkins.NotFoundException:
                return None
            data = answer.json()
        stated = answer.headers.get("Date")
        if stated is not None:
            self._compare_clocks(stated)
        if not isinstance(data, dict):
            raise self._strange(path)
        return data

    def _compare_clocks(self, stated: str) -> None:
        try:
            there = parsedate_to_datetime(stated)
        except ValueError:
            return
        if there.tzinfo is not None:
            self.ahead = there - self.clock.now()

    def _strange(self, what: str) -> RemoteFailed:
        return RemoteFailed(
            f"{self.server} does not answer {what} as Jenkins would.",
            hint="Check --server: it is the address of Jenkins itself, its path included.",
        )

    @contextmanager
    def _asked(self, what: str) -> Iterator[None]:
        """Translate what python-jenkins and requests raise; a 404 stays what it is for those who expect it."""
        import jenkins
        from requests import exceptions

        try:
            yield
        except jenkins.NotFoundException:
            raise RemoteFailed(f"{self.server} does not know {what} (404).", hint="Check --job and --server.") from None
        except jenkins.TimeoutException as error:
            raise Unreachable(f"{self.server} did not answer {what} within {REQUEST_SECONDS:.0f} s.") from error
        except jenkins.EmptyResponseException:
            raise self._strange(what) from None
        except exceptions.TooManyRedirects:
            raise RemoteFailed(
                f"{self.server} sends {what} to another address.", hint="Name that address with --server."
            ) from None
        except (exceptions.HTTPError, jenkins.JenkinsException) as error:
            # Without its cause: the server's page is a part of the message, and may repeat what was sent.
            raise self._refusal(what, error) from None
        except (ValueError, LookupError, TypeError) as error:
            raise self._strange(what) from error
        except (exceptions.RequestException, OSError) as error:
            said = self.credentials.words_of(str(error)) or type(error).__name__
            raise Unreachable(f"{self.server} did not answer {what}: {said}") from error

    def _refusal(self, what: str, error: Exception) -> Exception:
        """Return what a status means; python-jenkins keeps it in the exception that it replaced."""
        answer = getattr(error, "response", None)
        if answer is None:
            answer = getattr(error.__context__, "response", None)
        if answer is None:
            return self._strange(what)
        status, said = int(answer.status_code), self.credentials.words_of(answer.text)
        if status in BUSY_STATUS or (status >= 500 and what.startswith("GET")):
            return Unreachable(f"{self.server} can't answer {what} now ({status}): {said}")
        if status in {401, 403}:
            return RemoteFailed(
                f"{self.server} refuses {what} ({status}): {said}",
                hint=f"Check the user and the token from {self.credentials.origin}, and the user's rights:"
                " Overall/Read, Job/Read, Job/Build.",
            )
        return RemoteFailed(f"{self.server} refused {what} ({status}): {said}")


def _seen(data: dict[str, Any]) -> Seen:
    began, building = _moment(data.get("timestamp")), data.get("building") is True
    ended = None if building or data.get("result") is None else known_result(data["result"])
    lasted = timedelta(milliseconds=max(_whole(data.get("duration")) or 0, 0))
    return Seen(
        parameters=_parameters(data),
        at=began,
        queue_id=_whole(data.get("queueId")),
        number=_whole(data.get("number")),
        result=ended,
        ended=None if ended is None else began + min(lasted, timedelta(days=365)),
    )


def _dicts(value: Any) -> list[dict[str, Any]]:
    """Return the objects of a list; Jenkins mixes empty ones and nulls among them."""
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _whole(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _parameters(item: dict[str, Any]) -> dict[str, str]:
    found = {}
    for action in _dicts(item.get("actions")):
        for parameter in _dicts(action.get("parameters")):
            found[str(parameter.get("name"))] = str(parameter.get("value"))
    return found


def _moment(milliseconds: Any) -> datetime:
    """Return a time of Jenkins's; one that can't be is the beginning of time, so that nothing is taken for ours."""
    try:
        return datetime.fromtimestamp((_whole(milliseconds) or 0) / 1000, UTC)
    except (OverflowError, ValueError, OSError):
        return datetime.fromtimestamp(0, UTC)
