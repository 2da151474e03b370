"""The rules of a notice: parameters of a release, what a job takes, and which build is ours."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from release_tool.core.codec import decode_text, encode_text
from release_tool.core.kinds import Format
from release_tool.core.naming import name_archive
from release_tool.core.notice import (
    LISTING_PARAMETERS,
    Build,
    BuildNotice,
    Job,
    Seen,
    Way,
    earliest,
    find_earlier,
    is_same,
    known_result,
    misfits,
    parsed,
    release_parameters,
    shown,
    with_digest,
)

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
PARAMETERS = {"BASE_DOWNLOAD_PATH": "ml-models/huggingface/org/name", "VERSION": "1.0.0", "FORMAT": "BOTH"}
OTHER = {**PARAMETERS, "VERSION": "1.0.1"}


def keys(*formats, prefix="org", name="name", version="1.0.0", source="huggingface"):
    found = []
    for fmt in formats:
        names = name_archive(model_source=source, prefix=prefix, model_name=name, version=version, fmt=fmt)
        found += [names.key, names.config_key]
    return found


def seen(minutes=0, number=1, *, parameters=PARAMETERS, queue_id=None, result=None):
    at = NOON + timedelta(minutes=minutes)
    return Seen(parameters=parameters, at=at, number=number, queue_id=queue_id, result=result)


def test_a_release_of_both_formats_is_one_build():
    found = release_parameters([*keys(*Format), "releases/claims/x.json", "releases/abc/plan.json"])
    assert found == (PARAMETERS,)


@pytest.mark.parametrize(("fmt", "word"), [(Format.ONNX, "ONNX"), (Format.TORCH_SCRIPT, "TORCH_SCRIPT")])
def test_a_release_of_one_format_names_it_in_capitals(fmt, word):
    assert release_parameters(keys(fmt)) == ({**PARAMETERS, "FORMAT": word},)


def test_an_encoder_and_its_tokenizer_are_two_builds():
    found = release_parameters([*keys(Format.TORCH_SCRIPT, name="x-tokenizer"), *keys(*Format, name="x")])
    assert [(item["BASE_DOWNLOAD_PATH"], item["FORMAT"]) for item in found] == [
        ("ml-models/huggingface/org/x", "BOTH"),
        ("ml-models/huggingface/org/x-tokenizer", "TORCH_SCRIPT"),
    ]


def test_a_name_without_a_prefix_keeps_its_folder():
    found = release_parameters(keys(Format.TORCH_SCRIPT, source="amazon", prefix="", name="metrics_correlation"))
    assert found[0]["BASE_DOWNLOAD_PATH"] == "ml-models/amazon/metrics_correlation"


def test_what_is_no_archive_asks_for_nothing():
    assert release_parameters(["releases/claims/ml-models/a/b/1/onnx/b.zip.json", "ml-models/a", ""]) == ()


def test_the_listing_is_published_by_its_folder_alone():
    assert LISTING_PARAMETERS == {"BASE_DOWNLOAD_PATH": "ml-models/model_listing"}


def test_the_digest_goes_only_to_a_job_that_declares_it():
    plain = Job(declared=dict.fromkeys(PARAMETERS, ()), buildable=True)
    knows = Job(declared={**plain.declared, "APPROVED_DIGEST": ()}, buildable=True)
    assert with_digest(PARAMETERS, "d" * 64, plain) == PARAMETERS
    assert with_digest(PARAMETERS, "d" * 64, None) == PARAMETERS
    assert with_digest(PARAMETERS, "d" * 64, knows) == {**PARAMETERS, "APPROVED_DIGEST": "d" * 64}


def test_what_a_job_would_drop_or_refuse_is_named():
    job = Job(declared={"BASE_DOWNLOAD_PATH": (), "FORMAT": ("", "ONNX")}, buildable=True)
    assert misfits(PARAMETERS, job) == ("it declares no parameter VERSION", "its parameter FORMAT has no choice BOTH")
    assert misfits({"FORMAT": "ONNX"}, job) == ()


def test_a_build_may_have_more_parameters_than_ours():
    assert is_same(PARAMETERS, {**PARAMETERS, "DEBUG": "false"})
    assert not is_same(PARAMETERS, {key: PARAMETERS[key] for key in ("VERSION", "FORMAT")})
    assert not is_same(PARAMETERS, OTHER)


@pytest.mark.parametrize(
    ("listed", "number"),
    [
        ([], None),
        ([seen(5, 7)], 7),
        ([seen(5, 7), seen(9, 8)], 8),
        ([seen(5, 7, parameters=OTHER)], None),
        ([seen(-1, 7)], 7),  # within what two clocks may differ
        ([seen(-3, 7)], None),
        ([seen(-60, 3), seen(5, 4), seen(6, 5, parameters=OTHER)], 4),
    ],
)
def test_our_build_is_the_latest_with_our_parameters_since_the_release(listed, number):
    found = find_earlier(Build(parameters=PARAMETERS), listed, earliest(shown(NOON), timedelta(0)))
    assert (None if found is None else found.number) == number


def test_a_clock_that_is_ahead_moves_the_limit_with_it():
    hour = timedelta(hours=1)
    build, listed = Build(parameters=PARAMETERS), [seen(30, 7)]
    assert find_earlier(build, listed, earliest(shown(NOON), hour)) is None
    assert find_earlier(build, [seen(-50, 7)], earliest(shown(NOON), -hour)).number == 7


def test_what_waits_in_the_queue_is_later_than_what_has_begun():
    listed = [seen(9, None, queue_id=40), seen(5, 7, queue_id=39)]
    assert find_earlier(Build(parameters=PARAMETERS), listed, NOON).queue_id == 40


def test_the_number_of_the_queue_item_decides_before_time_does():
    listed = [seen(-500, 7, queue_id=40), seen(5, 9, queue_id=41)]
    assert find_earlier(Build(parameters=PARAMETERS, queue_id=40), listed, NOON).number == 7


def test_a_number_of_the_queue_that_another_release_has_now_is_not_ours():
    listed = [seen(5, 7, queue_id=40, parameters=OTHER), seen(6, 8, queue_id=41)]
    assert find_earlier(Build(parameters=PARAMETERS, queue_id=40), listed, NOON).number == 8


def test_builds_of_an_earlier_try_are_passed_over():
    listed = [seen(5, 7, result="FAILURE")]
    assert find_earlier(Build(parameters=PARAMETERS, after=7), listed, NOON) is None
    assert find_earlier(Build(parameters=PARAMETERS, after=6), listed, NOON).number == 7


@given(st.lists(st.tuples(st.integers(-10, 10), st.booleans()), max_size=6), st.randoms())
def test_the_order_in_which_builds_are_listed_does_not_matter(rows, random):
    listed = [
        seen(minutes, number, parameters=PARAMETERS if own else OTHER)
        for number, (minutes, own) in enumerate(rows, start=1)
    ]
    mixed = list(listed)
    random.shuffle(mixed)
    build = Build(parameters=PARAMETERS)
    assert find_earlier(build, listed, NOON) == find_earlier(build, mixed, NOON)


@pytest.mark.parametrize("word", ["SUCCESS", "NOT_BUILT", "ABORTED"])
def test_results_of_jenkins_are_kept(word):
    assert known_result(word) == word


@pytest.mark.parametrize("word", [None, 1, "", "success", "A" * 40, "OK\n::set-output", ["SUCCESS"]])
def test_anything_else_is_a_failure(word):
    assert known_result(word) == "FAILURE"


@pytest.mark.parametrize(
    ("results", "result"),
    [
        (("SUCCESS", "SUCCESS"), "SUCCESS"),
        (("SUCCESS", None), None),
        ((None, "ABORTED"), "ABORTED"),
        (("SUCCESS", "UNSTABLE"), "UNSTABLE"),
    ],
)
def test_a_release_has_succeeded_when_all_of_its_builds_have(results, result):
    builds = tuple(Build(parameters=PARAMETERS, result=one) for one in results)
    notice = BuildNotice(server="https://ci", job="j", way=Way.JENKINS, builds=builds)
    assert notice.result == result
    assert decode_text(BuildNotice, encode_text(notice)) == notice


@given(st.datetimes(min_value=datetime(2000, 1, 1), max_value=datetime(2200, 1, 1), timezones=st.just(UTC)))  # noqa: DTZ001
def test_a_time_that_was_written_reads_back_to_the_second(moment):
    assert parsed(shown(moment)) == moment.replace(microsecond=0)
