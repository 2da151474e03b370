"""Documents are strict: what was written is read, what was not is refused with its path."""

from __future__ import annotations

import json
from dataclasses import dataclass, fields, is_dataclass
from enum import StrEnum

import pytest
from factories import make_bundle, make_plan, make_proof, make_request, make_source
from hypothesis import given
from hypothesis import strategies as st

from release_tool.core.bundle import Bundle
from release_tool.core.codec import DocumentFault, decode, decode_text, encode, encode_text
from release_tool.core.kinds import Activation, Format, ModelKind, PoolingMode
from release_tool.core.plan import ReleasePlan
from release_tool.core.proof import Proof
from release_tool.core.request import ReleaseRequest
from release_tool.core.source import SourceSnapshot


class Colour(StrEnum):
    RED = "red"
    BLUE = "blue"


@dataclass(frozen=True, slots=True, kw_only=True)
class Leaf:
    name: str
    size: int = 0
    ratio: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Tree:
    leaf: Leaf
    leaves: tuple[Leaf, ...] = ()
    pair: tuple[int, str] = (0, "")
    colour: Colour = Colour.RED
    numbers: dict[str, float] | None = None
    right: bool = False


TEXT = st.text(st.characters(exclude_categories=("Cs",)))
FLOATS = st.floats(allow_nan=False, allow_infinity=False)
LEAVES = st.builds(Leaf, name=TEXT, size=st.integers(), ratio=st.none() | FLOATS)
TREES = st.builds(
    Tree,
    leaf=LEAVES,
    leaves=st.lists(LEAVES, max_size=3).map(tuple),
    pair=st.tuples(st.integers(), TEXT),
    colour=st.sampled_from(Colour),
    numbers=st.none() | st.dictionaries(TEXT, FLOATS, max_size=3),
    right=st.booleans(),
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | FLOATS | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)
REQUESTS = st.builds(
    make_request,
    model=TEXT,
    version=TEXT,
    kinds=st.lists(st.sampled_from(ModelKind), max_size=2).map(tuple),
    formats=st.lists(st.sampled_from(Format), max_size=2).map(tuple),
    description=st.none() | TEXT,
    embedding_dimension=st.none() | st.integers(),
    pooling_mode=st.none() | st.sampled_from(PoolingMode),
    prune_ratio=st.none() | FLOATS,
    activation=st.none() | st.sampled_from(Activation),
    normalize_result=st.none() | st.booleans(),
    model_init_kwargs=st.dictionaries(TEXT, JSON, max_size=3),
)


@given(TREES)
def test_what_was_written_is_read(tree):
    assert decode_text(Tree, encode_text(tree)) == tree


@given(REQUESTS)
def test_a_request_survives_its_file(request_):
    assert decode_text(ReleaseRequest, encode_text(request_)) == request_


@pytest.mark.parametrize(
    "document", [make_plan(), make_source(), make_bundle(), make_proof()], ids=["plan", "source", "bundle", "proof"]
)
def test_every_document_survives_its_file(document):
    text = encode_text(document)
    assert decode_text(type(document), text) == document
    assert encode_text(decode_text(type(document), text)) == text


@given(TREES)
def test_equal_values_give_equal_bytes_with_one_final_newline(tree):
    text = encode_text(tree)
    assert text == encode_text(decode(Tree, json.loads(text)))
    assert text.endswith("}\n")
    assert not text.endswith("\n\n")


@given(TREES, TEXT.filter(lambda key: key not in {field.name for field in fields(Tree)}))
def test_an_unknown_key_is_refused(tree, key):
    data = encode(tree) | {key: 1}
    with pytest.raises(DocumentFault, match="unknown key"):
        decode(Tree, data)


NULLABLE = {"numbers"}


@pytest.mark.parametrize("key", [field.name for field in fields(Tree)])
def test_a_missing_key_is_refused_unless_it_may_be_null(key):
    tree = Tree(leaf=Leaf(name="a"))
    data = {name: value for name, value in encode(tree).items() if name != key}
    if key in NULLABLE:
        assert decode(Tree, data) == tree
    else:
        with pytest.raises(DocumentFault, match=f"missing key '{key}'"):
            decode(Tree, data)


@pytest.mark.parametrize(
    ("change", "path"),
    [
        ({"leaf": {"name": 1, "size": 0}}, r"\$\.leaf\.name: expected str, found int"),
        ({"leaf": []}, r"\$\.leaf: expected an object"),
        ({"leaf": {"name": "a", "size": True}}, r"\$\.leaf\.size"),
        ({"leaf": {"name": "a", "size": 1.0}}, r"\$\.leaf\.size"),
        ({"leaves": [{"name": "a", "size": 0}, 7]}, r"\$\.leaves\[1\]: expected an object"),
        ({"leaves": {}}, r"\$\.leaves: expected a list"),
        ({"pair": [1]}, r"\$\.pair: expected 2 items"),
        ({"pair": [1, 2]}, r"\$\.pair\[1\]"),
        ({"colour": "green"}, r"\$\.colour: 'green' is none of red, blue"),
        ({"colour": ["red"]}, r"\$\.colour"),
        ({"numbers": {"x": "1"}}, r"\$\.numbers\.x"),
        ({"numbers": []}, r"\$\.numbers: expected an object"),
        ({"right": 1}, r"\$\.right"),
        ({"right": None}, r"\$\.right"),
    ],
)
def test_a_wrong_type_is_refused_with_its_path(change, path):
    data = encode(Tree(leaf=Leaf(name="a"))) | change
    with pytest.raises(DocumentFault, match=path):
        decode(Tree, data)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "not JSON"),
        ("", "not JSON"),
        ('{"name": "a", "name": "b", "size": 0}', "given twice"),
        ('{"name": "a", "size": 0, "ratio": NaN}', "no JSON number"),
        ('{"name": "a", "size": 0, "ratio": Infinity}', "no JSON number"),
        ("[1]", "expected an object"),
        ('{"name": "a", "size": ' + "9" * 5000 + "}", "not JSON"),
        ("[" * 100_000, "not JSON"),
        ('{"name": "a", "size": 0, "ratio": 1e999}', "not JSON"),
        ('{"name": "a", "size": 0, "ratio": 1' + "0" * 400 + "}", "ratio"),
        ('{"name": "\\ud800", "size": 0}', "not JSON"),
    ],
)
def test_text_that_is_no_document_is_a_document_fault(text, words):
    with pytest.raises(DocumentFault, match=words):
        decode_text(Leaf, text)


@given(JSON, st.sampled_from([ReleasePlan, SourceSnapshot, Bundle, Proof, Tree]))
def test_no_json_ends_in_anything_but_a_document_fault(data, cls):
    document = fault = None
    try:
        document = decode(cls, data)
    except DocumentFault as error:
        fault = str(error)
    assert is_dataclass(document) or fault.startswith("$")


def test_numbers_that_are_none_are_never_written():
    with pytest.raises(ValueError, match="not JSON compliant"):
        encode_text(Leaf(name="a", ratio=float("nan")))
