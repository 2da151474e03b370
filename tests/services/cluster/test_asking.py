"""Many questions: answers in their order, memory bounded, a server that can't now asked again, a kill survived."""

from __future__ import annotations

import fcntl
import itertools
import threading
import time

import pytest

from release_tool.core.ml.answers import SHOWN_FAULTS, Answer, Lines
from release_tool.errors import Refused, ServiceUnable, Unreachable, UsageError
from release_tool.services.cluster import asking
from release_tool.services.cluster.answer_file import AnswerFile
from release_tool.services.cluster.asking import WINDOW, ask_all


@pytest.fixture(autouse=True)
def hasty(monkeypatch):
    monkeypatch.setattr(asking, "FIRST_PAUSE", 0.001)
    monkeypatch.setattr(asking, "LAST_PAUSE", 0.01)


def test_answers_come_in_the_order_of_the_questions_though_the_first_takes_longest():
    def send(number):
        time.sleep(0.05 if number == 0 else 0)
        return number * 2

    turns = list(ask_all(range(40), send, parallel=4))
    assert [(turn.question, turn.reply) for turn in turns] == [(number, number * 2) for number in range(40)]
    assert turns[0].seconds >= 0.05 > turns[1].seconds


def test_so_many_are_asked_at_once_as_one_said():
    lock, now, most = threading.Lock(), 0, 0

    def send(_):
        nonlocal now, most
        with lock:
            now += 1
            most = max(most, now)
        time.sleep(0.005)
        with lock:
            now -= 1

    list(ask_all(range(60), send, parallel=6))
    assert most == 6


def test_no_more_questions_are_read_than_the_window_holds():
    taken = 0

    def endless():
        nonlocal taken
        for number in itertools.count():
            taken += 1
            yield number

    turns = ask_all(endless(), lambda number: number, parallel=3)
    for _ in range(10):
        next(turns)
    assert taken <= 10 + 3 * WINDOW
    turns.close()


def test_a_server_that_is_asked_too_much_is_asked_again_until_it_answers():
    refusals = iter([True, True, False] * 100)

    def send(number):
        if number % 5 == 0 and next(refusals):
            raise ServiceUnable("too many requests")
        return number

    told = []
    assert [turn.reply for turn in ask_all(range(50), send, parallel=4, tell=told.append)] == list(range(50))
    assert told == ["too many requests"]


def test_all_threads_wait_when_one_is_told_to():
    pace = asking.Pace(patience=1.0)
    pace.slow(0.05)
    started = time.monotonic()
    pace.wait()
    assert time.monotonic() - started >= 0.05
    pace.slow(60)
    threading.Timer(0.02, pace.end).start()
    pace.wait()
    assert time.monotonic() - started < 10


def test_a_refusal_is_an_answer_to_its_question_alone():
    def send(number):
        if number == 3:
            raise Refused("no such thing", status=400)
        return number

    turns = list(ask_all(range(6), send, parallel=2))
    assert [turn.reply for turn in turns] == [0, 1, 2, None, 4, 5]
    assert [turn.refused is None for turn in turns] == [True, True, True, False, True, True]


@pytest.mark.parametrize("status", [401, 403, 404])
def test_a_refusal_that_would_meet_every_question_ends_the_run(status):
    def send(_):
        raise Refused("who are you", status=status)

    with pytest.raises(Refused, match="who are you"):
        list(ask_all(range(100), send, parallel=2))


def test_what_stands_before_a_failure_is_answered_and_the_failure_is_raised():
    def send(number):
        if number >= 7:
            raise ServiceUnable("no memory")
        return number

    answered = []
    with pytest.raises(ServiceUnable, match="no memory"):
        answered.extend(turn.reply for turn in ask_all(range(50), send, parallel=4, patience=0))
    # What is raised while a list is extended leaves in it what came before.
    assert answered == list(range(7))


def test_a_connection_that_was_cut_is_made_again_and_one_that_was_refused_is_not():
    asked = itertools.count()

    def send(number):
        if next(asked) == 2:
            raise Unreachable("cut") from ConnectionResetError()
        return number

    assert [turn.reply for turn in ask_all(range(5), send, parallel=1)] == list(range(5))

    def nobody(_):
        next(asked)
        raise Unreachable("nobody") from ConnectionRefusedError()

    asked = itertools.count()
    with pytest.raises(Unreachable, match="nobody"):
        list(ask_all(range(5), nobody, parallel=1))
    assert next(asked) <= 5


# --- the file of answers ----------------------------------------------------------------------------------------------


def answer(line, **over):
    return Answer(**{"line": line, "id": None, "asked": f"digest{line}", "results": [line], **over})


def questions(last):
    return ((line, f"digest{line}") for line in range(1, last + 1))


def test_a_file_has_its_name_only_when_every_answer_is_in_it(tmp_path):
    path = tmp_path / "answers.jsonl"
    with AnswerFile(path) as file:
        assert file.take_up(questions(2)) == (0, Lines())
        file.write(answer(1))
        assert not path.exists()
        assert file.part.read_text(encoding="utf-8").count("\n") == 1  # a kill would lose nothing of it
        file.write(answer(2))
        file.finish()
    assert path.read_text(encoding="utf-8").count("\n") == 2
    assert not file.part.exists()
    with pytest.raises(UsageError, match="is there already"), AnswerFile(path):
        pass
    with AnswerFile(path, overwrite=True):
        assert path.exists()


@pytest.mark.parametrize("torn", [b"", b'{"line":3,"ask', b'{"line":3,"asked":"digest3","inference_results":[]}'])
def test_a_run_goes_on_after_the_last_whole_line(tmp_path, torn):
    path = tmp_path / "answers.jsonl"
    with AnswerFile(path) as file:
        file.write(answer(1))
        file.write(answer(2, results=None, error={"message": "no"}))
    with file.part.open("ab") as stream:
        stream.write(torn)
    rest = questions(4)
    with AnswerFile(path) as file:
        assert file.take_up(rest) == (2, Lines(count=1, first=[2]))
        assert next(rest) == (3, "digest3")
        file.write(answer(3))
        file.finish()
    lines = path.read_text(encoding="utf-8").splitlines()
    assert lines == [answer(1).text(), answer(2, results=None, error={"message": "no"}).text(), answer(3).text()]


@pytest.mark.parametrize(
    "asked", [[(1, "digest1"), (2, "another")], [(1, "digest1"), (3, "digest2")], [(1, "digest1")]]
)
def test_answers_to_other_questions_are_not_gone_on_with(tmp_path, asked):
    path = tmp_path / "answers.jsonl"
    with AnswerFile(path) as file:
        file.write(answer(1))
        file.write(answer(2))
        before = file.part.read_bytes()
    with AnswerFile(path) as file, pytest.raises(UsageError, match=r"other questions than these \(its line 2\)"):
        file.take_up(iter(asked))
    assert file.part.read_bytes() == before


def test_a_file_that_is_no_file_of_answers_is_left_as_it_is(tmp_path):
    path = tmp_path / "answers.jsonl"
    part = tmp_path / "answers.jsonl.part"
    part.write_text("a letter\n", encoding="utf-8")
    with AnswerFile(path) as file, pytest.raises(UsageError, match="other questions"):
        file.take_up(questions(3))
    assert part.read_text(encoding="utf-8") == "a letter\n"
    part.unlink()
    part.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UsageError, match="can't be written"), AnswerFile(path):
        pass
    assert not (tmp_path / "elsewhere").exists()


def test_two_runs_never_write_one_file(tmp_path):
    path = tmp_path / "answers.jsonl"
    with AnswerFile(path), pytest.raises(UsageError, match="Another run writes"), AnswerFile(path):
        pass
    with (tmp_path / "answers.jsonl.part").open("ab") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)  # the first one has let go of it


def test_an_answer_that_is_there_does_not_wait_for_the_window_to_fill():
    answered, given = threading.Event(), []

    def questions():
        yield "a"
        assert answered.wait(10)
        time.sleep(0.05)  # until the answer is in its place
        yield "b"
        given.append("c")
        yield "c"

    def send(question):
        answered.set()
        return question

    turns = ask_all(questions(), send, parallel=4)
    assert next(turns).reply == "a"
    assert not given
    assert [turn.reply for turn in turns] == ["b", "c"]


def test_of_lines_without_an_answer_only_the_first_are_kept_and_all_are_counted():
    lines = Lines()
    for line in range(1, 100_001):
        lines.add(line)
    assert lines == Lines(count=100_000, first=list(range(1, SHOWN_FAULTS + 1)))
