"""Ask Jenkins for a build at most once, and wait for what becomes of it.

The order makes it safe to be killed anywhere: the request's time is saved, the request is sent, the queue item is
saved, then the build, then its result. Whoever finds a time without a queue item looks for the build, by its parameters
and the time of the release, before sending anything; so does a run that finds no notice at all.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeVar

from release_tool.core.notice import (
    CANCELLED,
    GONE,
    MISMATCHED,
    SUCCESS,
    Build,
    earliest,
    find_earlier,
    is_same,
    misfits,
    shown,
    with_digest,
)
from release_tool.errors import RemoteFailed, Unreachable, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import timedelta

    from release_tool.core.notice import BuildNotice, Seen
    from release_tool.documents import WorkFolder
    from release_tool.services.clock import Clock
    from release_tool.services.jenkins import JenkinsServer, Starter

FIRST_PAUSE = 1.0
GROWTH = 1.5
LONGEST_PAUSE = 30.0
"""Seconds between two looks at a build, and between two tries to reach a server."""
SETTLING = (1.0, 2.0, 4.0)
"""Seconds to wait before looking again for what was just sent: Jenkins may still be putting it into its queue."""
STARTING_SECONDS = 30.0
"""How long a silent server is asked again before anything was started."""
SILENT_SECONDS = 600.0
"""The same once something was: Jenkins may be restarting, which takes minutes."""
TRIES = 3
"""Requests that were lost on the way and left no build behind."""

Result = TypeVar("Result")


class Kept:
    """A notice, written anew at every change of one of its builds."""

    def __init__(self, work: WorkFolder, name: str, notice: BuildNotice) -> None:
        self.work = work
        self.name = name
        self.notice = notice

    def saver(self, index: int) -> Callable[[Build], Build]:
        """Return what writes one build down."""

        def save(build: Build) -> Build:
            builds = (*self.notice.builds[:index], build, *self.notice.builds[index + 1 :])
            self.notice = replace(self.notice, builds=builds)
            self.work.write(self.name, self.notice)
            return build

        return save


@dataclass(frozen=True, slots=True, kw_only=True)
class Notifier:
    """One run of a command that asks for builds."""

    starter: Starter
    server: JenkinsServer | None
    """Null without a user's token: then builds can be started by the webhook and not be looked at."""
    job: str
    approved: str | None
    since: str
    """UTC: a build that began before is another's."""
    before: timedelta
    """By how much less."""
    clock: Clock
    seconds: float
    """How long to wait for all results together."""
    deadline: float
    """The same by the clock's ``elapsed``."""
    again: bool
    """Whether a build that failed is followed by another one."""
    say: Callable[[str], None]

    def request(self, build: Build, save: Callable[[Build], Build]) -> Build:
        """Return a build that has a queue item or a number: an earlier one of ours, or one that is started now.

        Args:
            build: as far as it has got.
            save: writes it down, and returns it.

        Raises:
            RemoteFailed: Jenkins refused.
            Unreachable: it did not answer.
            UsageError: nobody can tell whether it was started before.
        """
        if build.result is not None:
            if not self.again or build.result == SUCCESS:
                return build
            build = Build(parameters=build.parameters, after=build.build_number or build.after)
        if build.queue_id is not None or build.build_number is not None:
            return build
        if self.server is None:
            self._refuse_unknown(build)
            return self._start(build, save)
        build = self._fitted(self.server, build)
        found = self._look(build, settle=build.requested_at is not None)
        if found is not None and self.again and build.requested_at is None and found.result not in {None, SUCCESS}:
            build, found = replace(build, after=found.number), None
        if found is not None:
            self.say("Found the build that was asked for earlier.")
            return save(self._adopted(build, found))
        return self._start(build, save)

    def follow(self, build: Build, save: Callable[[Build], Build]) -> Build:
        """Return a build with its result, whatever that is.

        Raises:
            Unreachable: it has none in time, or Jenkins is silent for too long.
            RemoteFailed: Jenkins refuses to say.
        """
        if self.server is None or build.result is not None:
            return build
        if build.build_number is None:
            build = self._until_begun(self.server, build, save)
        return build if build.result is not None else self._until_ended(self.server, build, save)

    def _refuse_unknown(self, build: Build) -> None:
        if build.requested_at is not None and not self.again:
            raise UsageError(
                f"A build was asked for at {build.requested_at} and the answer was lost: without a user's token nobody"
                " can look whether it runs.",
                hint="Set RELEASE_TOOL_JENKINS_USER and RELEASE_TOOL_JENKINS_TOKEN; or say --again to ask for another.",
            )

    def _fitted(self, server: JenkinsServer, build: Build) -> Build:
        """Return the build with the parameters that the job declares."""
        job = self._patiently(lambda: server.job(self.job), build)
        fitted = replace(build, parameters=with_digest(build.parameters, self.approved, job))
        wrong = misfits(fitted.parameters, job)
        if wrong:
            raise RemoteFailed(
                f"The job {self.job} can't do this: {'; '.join(wrong)}.",
                hint="Nothing was started. Check --job: Jenkins drops what a job does not declare.",
            )
        if not job.buildable:
            raise RemoteFailed(f"The job {self.job} is disabled.", hint="Nothing was started. Enable it in Jenkins.")
        return fitted

    def _start(self, build: Build, save: Callable[[Build], Build]) -> Build:
        for left in reversed(range(TRIES)):
            build = save(replace(build, requested_at=shown(self.clock.now())))
            try:
                return save(replace(build, queue_id=self.starter.start(self.job, build.parameters)))
            except Unreachable as error:
                if self.server is None:
                    raise
                self.say(f"{error} Looking whether it has arrived.")
                found = self._look(build, settle=True)
                if found is not None:
                    return save(self._adopted(build, found))
                if not left:
                    raise
        raise AssertionError  # the last try returned or raised

    def _look(self, build: Build, *, settle: bool) -> Seen | None:
        """Return what Jenkins lists of this build, in its queue or begun."""
        server = self.server
        if server is None:
            return None
        for pause in (0.0, *SETTLING) if settle else (0.0,):
            self.clock.sleep(pause)
            # The queue first: what leaves it in between is then among the builds.
            queued = self._patiently(lambda: server.queued(self.job), build)
            since = earliest(self.since, server.ahead, self.before)
            begun = self._patiently(lambda: server.builds(self.job, since), build)  # noqa: B023 - called at once
            found = find_earlier(build, (*queued, *begun), since)
            if found is not None:
                return found
        return None

    def _adopted(self, build: Build, found: Seen) -> Build:
        known = replace(build, requested_at=build.requested_at or shown(found.at), queue_id=found.queue_id)
        return known if found.number is None else self._begun(known, found.number)

    def _begun(self, build: Build, number: int) -> Build:
        url = None if self.server is None else self.server.address_of(self.job, number)
        return replace(build, build_number=number, url=url)

    def _until_begun(self, server: JenkinsServer, build: Build, save: Callable[[Build], Build]) -> Build:
        pauses, said = growing(), ""
        while True:
            queue_id = build.queue_id or 0
            item = self._patiently(lambda: server.queue_item(queue_id, self.job), build)  # noqa: B023 - called at once
            if item is None:
                # Jenkins forgets an item five minutes after it has left the queue, and all of them when it restarts.
                found = self._look(build, settle=True)
                if found is None:
                    return save(self._over(build, GONE))
                adopted = self._adopted(build, found)
                build = adopted if adopted == build else save(adopted)
                if build.build_number is not None:
                    return build
            elif item.cancelled:
                return save(self._over(build, CANCELLED))
            elif item.number is not None:
                return save(self._begun(build, item.number))
            elif item.why and item.why != said:
                said = item.why
                self.say(f"In Jenkins's queue: {said}")
            self._pause(next(pauses), f"Item {build.queue_id} is still in Jenkins's queue")

    def _until_ended(self, server: JenkinsServer, build: Build, save: Callable[[Build], Build]) -> Build:
        pauses, number, missing = growing(), build.build_number or 0, 0
        self.say(f"Build {number} of {self.job}: {build.url}")
        while True:
            seen = self._patiently(lambda: server.build(self.job, number), build)
            if seen is None:
                missing += 1
                if missing > len(SETTLING):
                    return save(self._over(build, GONE))
            elif not is_same(build.parameters, seen.parameters):
                return save(self._over(build, MISMATCHED))
            elif seen.result is not None:
                ended = seen.ended or self.clock.now()
                return save(replace(build, result=seen.result, ended_at=shown(ended)))
            self._pause(next(pauses), f"Build {number} of {self.job} has not ended")

    def _over(self, build: Build, result: str) -> Build:
        return replace(build, result=result, ended_at=shown(self.clock.now()))

    def _pause(self, seconds: float, what: str) -> None:
        """Wait, unless the time for waiting ends before.

        Raises:
            Unreachable: it does.
        """
        if self.clock.elapsed() + seconds > self.deadline:
            raise Unreachable(
                f"{what} after {self.seconds:.0f} s.",
                hint="Run the same command again: it goes on waiting for the same build; or give more --timeout.",
            )
        self.clock.sleep(seconds)

    def _patiently(self, action: Callable[[], Result], build: Build) -> Result:
        """Ask again while nobody answers; only for what changes nothing."""
        limit = STARTING_SECONDS if build.requested_at is None else SILENT_SECONDS
        began, pauses = self.clock.elapsed(), growing()
        while True:
            try:
                return action()
            except Unreachable as error:
                pause = next(pauses)
                until = self.clock.elapsed() + pause
                if until - began > limit or until > self.deadline:
                    raise
                self.say(f"{error} Asking again in {pause:.0f} s.")
                self.clock.sleep(pause)


def growing() -> Iterator[float]:
    """Yield pauses in seconds, each longer than the one before, up to a limit."""
    pause = FIRST_PAUSE
    while True:
        yield pause
        pause = min(pause * GROWTH, LONGEST_PAUSE)
