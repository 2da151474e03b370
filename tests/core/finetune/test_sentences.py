"""Queries that are made of the documents themselves."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from release_tool.core.finetune.answers import parse_answer
from release_tool.core.finetune.records import Document
from release_tool.core.finetune.salient import Frequencies, phrases_of, sentences_of, words_of
from release_tool.core.finetune.sentences import NOTHING, Sentences, queries_of
from release_tool.core.finetune.writing import Question, record_id

ENGLISH = Document(
    id="en",
    title="Heat transfer on blunt bodies at hypersonic speed",
    text="The heat transfer at the stagnation point of a blunt body was measured in a shock tube. Thin platinum gauges "
    "were glued to the surface and their resistance was recorded. The results agree with the theory of laminar "
    "boundary layers up to Mach numbers of eight. Above these the dissociation of oxygen must be taken into "
    "account, and the "
    "catalytic efficiency of the wall becomes important.",
)
GERMAN = Document(
    id="de",
    text="Die Grenzschicht an einer ebenen Platte wird im Windkanal untersucht. Die Ablösung der laminaren Strömung "
    "hängt vom Druckgradienten und von der Rauigkeit ab. Messungen mit Hitzdrähten bestätigen die Rechnung.",
)
JAPANESE = Document(
    id="ja",
    text="東京は日本の首都であり、世界最大の都市圏の中心である。新幹線は一九六四年に開業し、大阪との間を高速で結んだ。"
    "経済と文化の中心として多くの観光客が訪れる。",
)
THAI = Document(id="th", text="กรุงเทพมหานครเป็นเมืองหลวงของประเทศไทย แม่น้ำเจ้าพระยาไหลผ่านเมือง")
ALL = [ENGLISH, GERMAN, JAPANESE, THAI]


def made_of(document, n=5, seed=1, corpus=ALL):
    return queries_of(document, n, Frequencies.of(corpus), seed)


@pytest.mark.parametrize("document", ALL, ids=lambda one: one.id)
@pytest.mark.parametrize("n", [1, 3])
def test_there_are_as_many_as_asked_and_none_is_long(document, n):
    found = made_of(document, n)
    assert len(found) == n
    assert all(len(query.split()) < 20 for query in found)
    assert parse_answer(json.dumps({"queries": found}), n).queries == tuple(found)


@pytest.mark.parametrize("document", ALL, ids=lambda one: one.id)
def test_none_is_a_sentence_of_the_document_and_none_is_another_in_other_order(document):
    found = made_of(document)
    sentences = {" ".join(words_of(one)) for one in sentences_of(document.whole)}
    assert not {" ".join(words_of(one)) for one in found} & sentences
    assert len({tuple(sorted(words_of(one))) for one in found}) == len(found)


def test_english_documents_get_questions_and_others_do_not():
    assert any(query.startswith(("what", "how", "why")) for query in made_of(ENGLISH))
    assert not any(query.startswith(("what", "how", "why")) for query in made_of(GERMAN))


def test_the_words_are_those_of_the_document():
    own = set(words_of(GERMAN.whole))
    assert all(set(words_of(query)) <= own for query in made_of(GERMAN))


def test_queries_are_the_same_for_the_same_seed_and_others_for_another():
    assert made_of(ENGLISH) == made_of(ENGLISH)
    assert made_of(ENGLISH, seed=2) != made_of(ENGLISH)


def test_a_title_that_the_text_repeats_counts_once():
    repeated = Document(id="en", title=ENGLISH.title, text=f"{ENGLISH.title} {ENGLISH.text}")
    assert made_of(repeated) == made_of(ENGLISH)


def test_rare_words_tell_more_than_common_ones():
    many = [Document(id=str(number), text=f"flow over plate number{number}") for number in range(60)]
    one = Document(id="x", text="flow over plate. ablation of tungsten.")
    frequencies = Frequencies.of([*many, one])
    assert frequencies.is_common("flow")
    assert not frequencies.is_common("tungsten")
    assert {phrase.text for phrase in phrases_of(sentences_of(one.text), frequencies)} == {"ablation", "tungsten"}


def test_a_document_without_words_gets_a_reason():
    questions = [
        Question(id=record_id(name), document=Document(id=name, text=text), n=2)
        for name, text in (("a", "..."), ("b", ENGLISH.text), ("c", "the of and"))
    ]
    answers = list(Sentences(seed=1).answers(questions))
    assert [one.id for one in answers] == [one.id for one in questions]
    assert [one.error for one in answers] == [NOTHING, "", NOTHING]


@given(st.text(), st.text() | st.none(), st.integers(1, 10))
def test_no_document_breaks_it(text, title, n):
    document = Document(id="x", text=text, title=title)
    found = made_of(document, n, corpus=[document])
    assert len(found) <= n
    assert all(query.strip() for query in found)
