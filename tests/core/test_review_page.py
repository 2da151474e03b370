"""The page: what it says first, and that no text of a model becomes a part of it."""

from __future__ import annotations

import re
from dataclasses import fields, is_dataclass, replace
from enum import Enum
from html.parser import HTMLParser

import pytest
from factories import (
    make_artifact,
    make_bundle,
    make_comparison,
    make_facts,
    make_model_facts,
    make_plan,
    make_proof,
    make_quality,
    make_request,
    make_source,
    sha,
)
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from releases import one_changed, write_release

from release_tool.core.beginning import MAX_SUMMARY_BYTES, beginning
from release_tool.core.bundle import (
    MAX_WARNINGS,
    ExportFacts,
    FileDigest,
    QuantisationRound,
    Quantised,
    QuantisedWeight,
)
from release_tool.core.certificate import fold
from release_tool.core.escape import markdown, one_line
from release_tool.core.kinds import Format, ModelKind
from release_tool.core.page import CompatRow, Level
from release_tool.core.page_build import Reviewed, make_page
from release_tool.core.plan import LeftOut, LicenceFacts, RemoteCode
from release_tool.core.probes import Probe, ProbeSet
from release_tool.core.quality import Budget
from release_tool.core.render import render_html, render_markdown
from release_tool.core.review import blockers, make_review
from release_tool.core.variants import Variant
from release_tool.documents import WorkFolder
from release_tool.errors import IntegrityError, UsageError
from release_tool.packaged import packaged_probes, read_packaged
from release_tool.steps.review_reading import read_release

HTML = read_packaged("templates/review.html.j2").decode()
MARKDOWN = read_packaged("templates/review.md.j2").decode()
ALLOWED_HREF = re.compile(r"#[a-z]+")

HOSTILE = {
    "script": "<script>alert(1)</script>",
    "attribute": "\" onmouseover='x()' style=x a=\"",
    "closing": "</td></tr></table></style></svg></title><img src=x onerror=y>",
    "template": "{{ 7*7 }}{% for x in page %}{% endfor %}{# c #}",
    "link": "[click](https://evil.example) ![i](https://evil.example/i.png) <https://evil.example>",
    "lines": "a\n\n# heading\n\n- list\n```\nfence\n~~~\n| a | b |\n|---|---|\r\nx",
    "pipes": "| a || b \\| c \\",
    "backticks": "` `` ``` ````",
    "command": "::error::x %0A::set-output name=a::b $(id) `id`",
    "bidi": "abc\u202edcba\u2066x\u2069\u200b\ufeff\x1b[31m\x00",
    "surrogate": "a\ud800b\udfff\uffff",
    "long": "n" * 10_000,
    "mention": "@everyone www.evil.example a@evil.example",
}


class Structure(HTMLParser):
    """Collects elements with the names of their attributes, and what could act or lead away."""

    VOID = frozenset({"meta", "br", "img", "link", "input"})

    def __init__(self):
        super().__init__(convert_charrefs=True)
        self.shape = []
        self.open = []
        self.active = []
        self.text = []

    def handle_starttag(self, tag, attrs):
        names = tuple(name for name, _ in attrs)
        self.shape.append((tag, names))
        given = dict(attrs)
        if tag in {"script", "iframe", "object", "img", "link", "form", "base", "embed"}:
            self.active.append(tag)
        self.active += [name for name in names if name.startswith("on") or name in {"src", "style", "srcset"}]
        if "href" in given and not ALLOWED_HREF.fullmatch(given["href"]):
            self.active.append(given["href"])
        if tag not in self.VOID and tag not in {"line", "circle", "polygon", "path", "rect"}:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if self.open and self.open[-1] == tag:
            self.open.pop()

    def handle_endtag(self, tag):
        assert self.open, f"</{tag}> closes nothing"
        assert self.open[-1] == tag, f"</{tag}> closes <{self.open[-1]}>"
        self.open.pop()

    def handle_data(self, data):
        self.text.append(data)

    def handle_comment(self, data):
        self.active.append(f"comment {data}")


def structure(html):
    parser = Structure()
    parser.feed(html)
    parser.close()
    assert parser.open == []
    return parser


def markdown_shape(text):
    """Return the block and inline tokens, without their text, as a renderer of tables and HTML sees them."""
    parser = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
    every = [each for token in parser.parse(text) for each in (token, *(token.children or ()))]
    return [(each.type, each.tag) for each in every if each.type not in {"text", "softbreak", "text_special"}]


KEPT = frozenset(
    {"schema", "ring", "sha256", "archive_sha256", "answers_sha256", "probes_sha256", "shipped_probes", "origin"}
)


def poison(value, text, name=""):
    """Return a document with ``text`` behind every string that a model, a card or a server could have written."""
    if is_dataclass(value):
        return replace(value, **{f.name: poison(getattr(value, f.name), text, f.name) for f in fields(value)})
    if isinstance(value, tuple):
        return tuple(poison(item, text, name) for item in value)
    if isinstance(value, dict):
        return {poison(key, text, "key"): poison(item, text, name) for key, item in value.items()}
    if isinstance(value, str) and not isinstance(value, Enum) and name not in KEPT:
        return value + text
    return value


@pytest.fixture(scope="module")
def reviewed(tmp_path_factory):
    """Return a release with something in every place of the page."""
    folder = tmp_path_factory.mktemp("release")
    facts = make_facts(
        requested_revision="main",
        licence=LicenceFacts(declared="cc-by-nc-4.0", listed=False),
        remote_code=(RemoteCode(repo="acme/code", revision="d" * 40, path="modeling.py", digest="sha256:" + "e" * 64),),
    )
    plan = make_plan(
        source=replace(facts, model=replace(facts.model, query_prefix="query: ", passage_prefix="passage: ")),
        request=make_request(allow_pickle=True),
        left_out=(LeftOut(id="onnx-int8", reason="nobody asked"),),
        warnings=("The card says nothing about its language.",),
        lineage={"base": "acme/base", "steps": 3},
        replaces={"ml-models/x.zip": "0" * 64},
        budgets={"seconds": 1.5},
    )

    def change(proof):
        return replace(one_changed(proof, 2, error="refused: bad input"), note="a note", pinned=False)

    def warn(bundle):
        return replace(bundle, warnings=("float16 weights were loaded as float32",))

    def timed(speed):
        noted = tuple(replace(one, note="a note") for one in speed.measured)
        return replace(speed, budgets={"bytes": 1e9}, measured=noted)

    write_release(
        folder, plan=plan, rings=("runtime", "node"), change_proof=change, change_bundle=warn, change_speed=timed
    )
    row = CompatRow(
        artifact="onnx", versions="2.4 to 2.8", level=Level.STOP, sign="✕", verdict="refused", basis="derived",
        reasons=("the opset is newer",), target=True,
    )  # fmt: skip
    return replace(read_release(WorkFolder(folder)), compat=(row,))


def poisoned(reviewed, text):
    """Return the same release with every string changed, keys of mappings alike."""
    review = reviewed.review
    changed = poison(replace(reviewed, review=None, compat=()), text, "")
    compat = tuple(
        replace(row, artifact=row.artifact + text[:60], reasons=(row.reasons[0] + text[:300],))
        for row in reviewed.compat
    )
    reasons = tuple(reason + text for reason in review.reasons)
    return replace(changed, review=replace(review, reasons=reasons, model_id=review.model_id + text), compat=compat)


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_hostile_text_gives_birth_to_no_element_and_no_attribute(reviewed, text):
    plain, hostile = (structure(render_html(HTML, make_page(one))) for one in (reviewed, poisoned(reviewed, text)))
    assert hostile.shape == plain.shape
    assert hostile.active == plain.active == []


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_hostile_text_gives_birth_to_no_markdown(reviewed, text):
    plain, hostile = (render_markdown(MARKDOWN, make_page(one)) for one in (reviewed, poisoned(reviewed, text)))
    shape = [item for item in markdown_shape(hostile) if item != ("html_inline", "")]
    assert shape == [item for item in markdown_shape(plain) if item != ("html_inline", "")]
    inline = [c for t in MarkdownIt("commonmark", {"html": True}).parse(hostile) for c in t.children or ()]
    assert {c.content for c in inline if c.type == "html_inline"} <= {"<!-- -->"}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_nothing_invisible_and_nothing_endless_reaches_a_page(reviewed, text):
    page = make_page(poisoned(reviewed, text))
    for written in (render_html(HTML, page), render_markdown(MARKDOWN, page)):
        written.encode()
        assert not re.search("[\x00-\x08\x0b-\x1f\x7f\u200b\u202a-\u202e\u2066-\u2069\ufeff]", written)
        # config.json alone is shown at length, folded away.
        assert "n" * 1000 not in re.sub(r"<pre>.*?</pre>|```.*?```", "", written, flags=re.DOTALL)
        assert "\n::" not in written


def test_text_that_looks_like_a_template_is_not_one(reviewed):
    written = render_html(HTML, make_page(poisoned(reviewed, "{{ 7*7 }}")))
    assert "{{ 7*7 }}" in written
    assert "49" not in re.findall(r"<h1>(.*?)</h1>", written)[0]


def test_the_page_is_self_contained_and_forbids_everything_else(reviewed):
    written = render_html(HTML, make_page(reviewed))
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', written).group(1)
    assert policy.startswith("default-src 'none'; style-src 'unsafe-inline'; img-src data:")
    assert not re.search(r"(src|href)=\"(?!#)", written.replace('xmlns="http', ""))
    assert "@import" not in written
    assert "url(" not in written


def test_everything_that_an_approver_asks_for_stands_in_both_pages(reviewed):
    page = make_page(reviewed)
    bundle = reviewed.bundles["onnx"]
    parser = structure(render_html(HTML, page))
    html = " ".join("".join(parser.text).split())
    markdown = render_markdown(MARKDOWN, page).replace("\\", "")
    for text in (
        "acme/tiny", "1.0.0", "c" * 40, "cc-by-nc-4.0", "not accepted: publish will refuse", bundle.archive.sha256,
        bundle.config.sha256, "nobody asked", "The card says nothing about its language.", "refused: bad input",
        "float16 weights were loaded as float32", "2.4 to 2.8", "the opset is newer", "acme/base", "ml-models/x.zip",
        "onnxruntime 1.16.3", "stand-in: installed versions, not the server's own", "modeling.py",
        "reading such a file can run",
        page.proofs[0].passed, f"{bundle.archive.size:,} bytes", "seconds",
    ):  # fmt: skip
        assert text in html, text
        assert text in markdown, text


def test_the_table_counts_the_probes_that_are_equal(reviewed):
    row = make_page(reviewed).proofs[0]
    total = len(packaged_probes().for_kind(ModelKind.DENSE))
    assert total >= 64
    assert row.passed == f"{total - 1} of {total}"
    assert (row.verdict, row.worst, row.worst_probe) == ("differs", "refused", reviewed_probe(reviewed))
    assert row.reasons == (
        f"probe {row.worst_probe} (whitespace, 4 tokens): the runtime refused it: refused: bad input",
    )


def reviewed_probe(reviewed):
    """Return the id of the probe that the fixture lets fail."""
    return reviewed.certificates["onnx"].proofs[0].comparisons[2].probe


@given(st.text(st.sampled_from("`*_[]()<>#+!|~$&:@-=.\\ ab1/w\n"), min_size=1, max_size=30))
def test_no_text_becomes_markup_in_a_cell_a_line_or_a_list(text):
    """The same as GitHub's own renderer was seen to say of 60,000 such texts."""

    def shape(shown):
        return markdown_shape(f"| h | k |\n|---|---|\n| {shown} | z |\n\n{shown}\n\n- {shown}\n\n> {shown}\n")

    if one_line(text):
        inline = ("html_inline", "")
        assert [item for item in shape(markdown(text)) if item != inline] == shape("x")


def first_lines(reviewed):
    page = make_page(reviewed)
    body = structure(render_html(HTML, page)).text
    seen = [text.strip() for text in body if text.strip()]
    style_end = next(index for index, text in enumerate(seen) if text.startswith(":root"))
    return seen[style_end + 1 : style_end + 3], render_markdown(MARKDOWN, page).splitlines()[0]


def test_the_first_line_of_a_red_release_says_so_and_why(reviewed):
    html, markdown = first_lines(reviewed)
    assert html[1].startswith("NOT RELEASABLE: torch_script: ")
    assert "refused" in html[1]
    assert markdown.startswith("**NOT RELEASABLE")
    assert "refused" in markdown
    assert make_page(reviewed).digest is None


def test_the_first_line_says_that_the_models_own_code_ran(reviewed):
    html, markdown = first_lines(reviewed)
    assert html[1].endswith("The oracle ran code that the model brings along.")
    assert "brings along" in markdown


def green(reviewed, **over):
    """Return the release as if nothing were wrong, with the plan changed."""
    facts = make_facts()
    plan = make_plan(**{"source": facts, **over})
    review = make_review(plan, reviewed.review.files, (), ())
    certificates = {
        name: replace(
            one, plan=plan, proofs=tuple(replace(p, pinned=True, comparisons=p.comparisons[3:]) for p in one.proofs)
        )
        for name, one in reviewed.certificates.items()
    }
    bundles = {name: replace(one, warnings=()) for name, one in reviewed.bundles.items()}
    return replace(reviewed, plan=plan, review=review, certificates=certificates, bundles=bundles, compat=())


def test_a_release_without_a_fault_is_simply_ready(reviewed):
    page = make_page(green(reviewed))
    assert page.headline == "Ready for approval."
    assert page.level is Level.OK
    assert page.notices == ()
    assert "".join(page.digest_groups) == page.digest


def titles(reviewed):
    return [notice.title for notice in make_page(reviewed).notices]


def test_a_missing_node_and_versions_that_stood_in_are_said(reviewed):
    given = green(reviewed)
    alone = {
        name: replace(one, proofs=tuple(replace(p, pinned=False) for p in one.proofs if p.ring == "runtime"))
        for name, one in given.certificates.items()
    }
    page = make_page(replace(given, certificates=alone))
    assert [notice.title for notice in page.notices] == ["Not served by a real node", "Stand-in: versions not pinned"]
    assert "torch_script, onnx" in page.notices[0].text
    assert page.headline != "Ready for approval."


def test_a_library_that_is_not_the_servers_is_named(reviewed):
    rows = {(row.artifact, row.ring): row.versions_note for row in make_page(green(reviewed)).proofs}
    assert rows[("onnx", "runtime")] == "the server's own versions, but for torch"  # 2.13 where the server has 2.5.1
    assert rows[("onnx", "node")] == "the server's own versions"


def test_a_warning_of_both_archives_is_said_once(reviewed):
    found = [notice for notice in make_page(reviewed).notices if notice.title.startswith("Warning, ")]
    assert [notice.title for notice in found] == ["Warning, torch_script, onnx"]


def test_other_probes_than_the_shipped_ones_are_said(reviewed):
    page = make_page(replace(green(reviewed), shipped_probes="0" * 64))
    assert [notice.title for notice in page.notices] == ["Other probes"]
    assert page.notices[0].text.startswith("torch_script in the node ring, onnx in the node ring")


def test_probes_that_a_ring_can_not_be_asked_are_named(reviewed):
    given = green(reviewed)
    some = {
        name: replace(one, proofs=tuple(replace(p, note="n", not_asked=("empty", "blank")) for p in one.proofs))
        for name, one in given.certificates.items()
    }
    row = make_page(replace(given, certificates=some)).proofs[0]
    assert row.note == "n Not asked, because this ring refuses them of every model: empty, blank."


@pytest.mark.parametrize(
    ("licence", "expected"),
    [
        (LicenceFacts(declared="mit", listed=True), []),
        (LicenceFacts(declared=None, listed=False), ["Licence"]),
        (LicenceFacts(declared="odd", listed=False), ["Licence"]),
        (LicenceFacts(declared="odd", listed=False, accepted="odd"), []),
        (LicenceFacts(declared="odd", listed=False, accepted="mit"), ["Licence"]),
        (LicenceFacts(declared=None, listed=False, accepted="mit"), []),
    ],
)
def test_a_licence_that_publish_would_refuse_is_said(reviewed, licence, expected):
    assert titles(green(reviewed, source=make_facts(licence=licence))) == expected


def test_a_target_version_that_refuses_the_archive_is_said(reviewed):
    given = green(reviewed)
    assert "onnx: refused on OpenSearch 2.4 to 2.8" in titles(replace(given, compat=reviewed.compat))
    elsewhere = (replace(reviewed.compat[0], target=False),)
    assert titles(replace(given, compat=elsewhere)) == []


def test_notices_stand_gravest_first(reviewed):
    order = list(Level)
    levels = [order.index(notice.level) for notice in make_page(reviewed).notices]
    assert levels == sorted(levels, reverse=True)


def test_equal_documents_give_an_equal_page(reviewed):
    once, twice = (render_html(HTML, make_page(reviewed)) for _ in range(2))
    assert once == twice


@pytest.mark.parametrize("template", ["{{ page.nothing }}", "{{ page.title", "{{ page.__class__.__mro__ }}", "{{ x }}"])
def test_a_template_that_names_what_is_not_there_is_a_named_error(reviewed, template):
    page = make_page(reviewed)
    for render in (render_html, render_markdown):
        with pytest.raises(UsageError, match="can't be rendered"):
            render(template, page)


def test_a_template_that_forgets_every_filter_still_escapes(reviewed):
    page = make_page(poisoned(reviewed, "<b>*x*</b>"))
    assert render_html("{{ page.title }}", page) == "acme/tiny&lt;b&gt;*x*&lt;/b&gt; 1.0.0&lt;b&gt;*x*&lt;/b&gt;\n"
    assert "<b>" not in render_markdown("{{ page.title }}", page).replace("\\<b", "")


@pytest.mark.parametrize("kind", ModelKind)
@pytest.mark.parametrize("rings", [("runtime",), ("runtime", "node", "legacy")])
def test_every_kind_has_a_page(tmp_path, kind, rings):
    plan = make_plan(kind, artifacts=(make_artifact(kind),))
    write_release(tmp_path, kind, plan=plan, rings=rings)
    page = make_page(read_release(WorkFolder(tmp_path)))
    assert page.reasons == ()
    assert structure(render_html(HTML, page)).active == []
    assert {row.ring for row in page.proofs} == set(rings)
    assert page.rings == rings
    assert all(row.verdict == "equal within tolerance" for row in page.proofs)


SHAPES = (
    ("empty", "empty", 2),
    ("one-1", "one-token", 3),
    ("cjk-1", "cjk", 41),
    ("len-200", "long", 200),
    ("cut-1", "cut", 512),
)


def quantised(plan, rows):
    """Return bundle and certificate of an int8 archive: one weight of three stayed in float32."""
    kind, name = ModelKind.SPARSE, "onnx-int8"
    weights = tuple(
        QuantisedWeight(name=f"encoder.layer.{n}.output", sensitivity=0.001 * 10**n, kept=n == 2) for n in range(3)
    )
    rounds = (
        QuantisationRound(kept=0, figures={"cosine": 0.91, "kept_per_cent": 97.2}),
        QuantisationRound(kept=1, figures={"cosine": 0.985, "kept_per_cent": 99.6}),
    )
    export = ExportFacts(
        versions={"onnx": "1.23.0"},
        attention="eager",
        fused_operators={"Attention": 1, "BiasGelu": 1, "SkipLayerNormalization": 2},
        quantised=Quantised(weights=weights, rounds=rounds),
    )
    bundle = make_bundle(kind, Format.ONNX, artifact=name, export=export)
    near = tuple(replace(row, cosine=1 - 2e-5 * row.tokens, max_abs=0.1) for row in rows)
    proof = make_proof(kind, artifact=name, variant=Variant.INT8, comparisons=near)
    quality = make_quality(kind, artifact=name, variant="int8", budget=Budget(kept_per_cent=99.0))
    return bundle, fold(plan, make_source(), bundle, (proof,), {}, quality)


def shown(verdict):
    """Return a small release with everything on it, apart from what other parts of the project may change."""
    kind = ModelKind.SPARSE
    int8 = make_artifact(
        kind,
        Format.ONNX,
        id="onnx-int8",
        variant=Variant.INT8,
        registered_name="huggingface/acme/tiny-int8",
        file_name="acme_tiny-int8-1.0.0-onnx.zip",
        key="ml-models/huggingface/acme/tiny-int8/1.0.0/onnx/acme_tiny-int8-1.0.0-onnx.zip",
        config_key="ml-models/huggingface/acme/tiny-int8/1.0.0/onnx/config.json",
        expected_bytes=60_000,
    )
    plan = make_plan(
        kind,
        request=make_request(kinds=(kind,), variants=(Variant.INT8,)),
        artifacts=(make_artifact(kind), int8),
        left_out=(LeftOut(id="onnx", reason="not asked for (--variant)"),),
        warnings=("The card names no language.",),
    )
    files = tuple(
        FileDigest(path=name, size=900 * 7**index, sha256=sha(str(index)))
        for index, name in enumerate(("archives/acme_tiny-1.0.0-torch_script.zip", "plan.json", "source.json"))
    )
    rows = [
        make_comparison(kind, probe=probe, shape=shape, tokens=tokens, tokens_reference=tokens, max_abs=1.3e-7 * tokens)
        for probe, shape, tokens in SHAPES
    ]
    bad = [*rows[:3], replace(rows[3], missing=2, extra=1), replace(rows[4], error="refused")]
    proofs = (
        make_proof(kind, "runtime", comparisons=(replace(rows[0], max_abs=0.0), *rows[1:])),
        make_proof(kind, "node", comparisons=tuple(bad if verdict == "red" else rows), pinned=False),
    )
    bundle = make_bundle(kind)
    certificate = fold(plan, make_source(), bundle, proofs, {})
    bundle_int8, certificate_int8 = quantised(plan, rows)
    probes = ProbeSet(
        texts=tuple(Probe(id=row.probe, shape=row.shape, text="") for row in rows),
        pairs=(),
        sha256=proofs[0].probes_sha256,
    )
    reasons = blockers(plan, {"torch_script": certificate, int8.id: certificate_int8}, probes)
    known = {"artifact": "torch_script", "target": True, "reasons": ()}
    compat = (
        CompatRow(**known, versions="3.0 - 3.9", level=Level.OK, sign="✓", verdict="deploys", basis="measured"),
        CompatRow(**known, versions="2.19", level=Level.ATTENTION, sign="!", verdict="unknown", basis="unknown"),
    )
    return Reviewed(
        plan=plan,
        source=make_source(),
        bundles={"torch_script": bundle, int8.id: bundle_int8},
        certificates={"torch_script": certificate, int8.id: certificate_int8},
        configs=dict.fromkeys(("torch_script", int8.id), '{\n  "name": "huggingface/acme/tiny"\n}'),
        review=make_review(plan, files, reasons, ()),
        compat=compat,
        shipped_probes=probes.sha256,
    )


@pytest.mark.parametrize("verdict", ["green", "red"])
def test_the_page_is_the_one_that_was_looked_at(golden, verdict):
    """The files of tests/golden were looked at in a browser, light and dark; look again when they change."""
    page = make_page(shown(verdict))
    assert (page.digest is None) == (verdict == "red")
    golden(f"review-{verdict}.html", render_html(HTML, page))
    golden(f"review-{verdict}.md", render_markdown(MARKDOWN, page))


def luminance(colour):
    """Return the relative luminance of ``#rrggbb`` (WCAG 2)."""
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one, other):
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("palette", [0, 1], ids=["light", "dark"])
def test_every_text_can_be_read_on_every_ground_it_stands_on(palette):
    """WCAG AA: 4.5 to 1 for text."""
    colours = dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6})", HTML.split(":root {")[palette + 1].split("}")[0]))
    pairs = [(text, ground) for text in ("ink", "soft", "runtime", "stop") for ground in ("paper", "panel", "faint")]
    pairs += [(tone, f"{tone}-bg") for tone in ("ok", "attention", "stop", "note")]
    pairs += [("ink", f"{tone}-bg") for tone in ("ok", "attention", "stop", "note")]
    pairs += [("panel", tone) for tone in ("ok", "attention", "stop", "note")]
    pairs += [(tone, "paper") for tone in ("ok", "attention", "note")]
    faint = {pair: round(contrast(colours[pair[0]], colours[pair[1]]), 2) for pair in pairs}
    assert not {pair: ratio for pair, ratio in faint.items() if ratio < 4.5}


# --- lists that a model or a job of it could make long ----------------------------------------------------------------


def flooded(reviewed, char):
    """Return a release whose every list is long, of texts that grow when they are escaped."""
    text = char * 2000
    many = {f"{number} {text}": text for number in range(100)}
    plan = replace(reviewed.plan, warnings=tuple(many), lineage=many)

    def flood(proof):
        rows = tuple(replace(proof.comparisons[0], probe=name, shape=name, error=text) for name in many)
        return replace(proof, versions=many, comparisons=rows, note=text)

    bundles = {
        name: replace(
            bundle,
            warnings=tuple(f"{name} {number} {text}" for number in range(MAX_WARNINGS)),
            export=replace(bundle.export, versions=many, inputs=tuple(many)),
        )
        for name, bundle in reviewed.bundles.items()
    }
    certificates = {
        name: replace(one, plan=plan, bundle=bundles[name], proofs=tuple(flood(proof) for proof in one.proofs))
        for name, one in reviewed.certificates.items()
    }
    review = replace(reviewed.review, digest=None, reasons=tuple(many))
    configs = dict.fromkeys(bundles, text * 100)
    return replace(reviewed, plan=plan, bundles=bundles, certificates=certificates, review=review, configs=configs)


def test_long_lists_are_cut_and_say_how_long_they_are(reviewed):
    page = make_page(flooded(reviewed, "x"))
    for card in page.artifacts:
        assert len(card.warnings) == 21
        assert card.warnings[-1] == f"and 180 more, which bundle-{card.id}.json holds"
    assert page.warnings[-1] == "and 80 more, which plan.json holds"
    assert page.reasons[-1] == "and 80 more, which review.json holds"
    assert (len(page.lineage), page.lineage[-1].value) == (41, "60 more, which plan.json holds")
    titles = [notice.title for notice in page.notices]
    assert (titles.count("Warning, onnx"), titles.count("Warning of the plan")) == (21, 21)
    assert {(len(row.versions), row.versions[-1].value) for row in page.proofs} == {(21, "80 more")}
    shapes = [row.shape for row in page.shapes if row.artifact == "onnx"]
    assert (len(shapes), shapes[-1]) == (61, "and 40 more")


@pytest.mark.parametrize("char", ["x", "|", "<", "@", "\U0001f600", "\x00"])
def test_however_hostile_a_step_summary_shows_what_comes_first(reviewed, char):
    text = render_markdown(MARKDOWN, make_page(flooded(reviewed, char)))
    before, _, _ = text.partition("\n## What it is\n")
    assert len(before.encode()) < MAX_SUMMARY_BYTES // 2, "what comes first is never cut"
    # Each @ becomes eleven signs: of such a page the beginning is shown.
    assert (len(text.encode()) < MAX_SUMMARY_BYTES) == (char != "@")
    assert beginning(text, MAX_SUMMARY_BYTES).startswith(before)


# --- whose weights, and who ran them ----------------------------------------------------------------------------------


CODE = (RemoteCode(repo="acme/code", revision="d" * 40, path="modeling.py", digest="sha256:" + "e" * 64),)


@pytest.mark.parametrize(
    ("code", "allowed", "weights", "says"),
    [
        ((), False, "safetensors", ""),
        ((), True, "safetensors", ""),
        ((), True, "pickle", " The oracle read weights that can run code."),
        (CODE, False, "safetensors", " The oracle ran code that the model brings along."),
        (CODE, True, "pickle", " The oracle ran code that the model brings along and read weights that can run code."),
    ],
)
def test_the_first_line_says_what_of_the_model_could_run(tmp_path, code, allowed, weights, says):
    facts = make_facts(remote_code=code, model=make_model_facts(weights_format=weights))
    write_release(
        tmp_path, plan=make_plan(source=facts, request=make_request(allow_pickle=allowed)), rings=("runtime", "node")
    )
    page = make_page(read_release(WorkFolder(tmp_path), look_inside=False))
    _, dot, rest = page.headline.partition("below.") if says or allowed else page.headline.partition("approval.")
    assert dot
    assert rest == says
    assert render_markdown(MARKDOWN, page).startswith(f"**{page.headline}**")
    pickles = [notice.text for notice in page.notices if notice.title == "Pickle allowed"]
    assert bool(pickles) == allowed
    assert ("were read" in "".join(pickles)) == (weights == "pickle")


def test_weights_of_a_fine_tuning_run_are_named_before_the_approval(tmp_path):
    facts = make_facts(origin="folder", model_id="sentence-transformers/famous")
    write_release(
        tmp_path, plan=make_plan(source=facts, request=make_request(tune_run_id="4712")), rings=("runtime", "node")
    )
    page = make_page(read_release(WorkFolder(tmp_path), look_inside=False))
    (notice,) = [notice for notice in page.notices if notice.title == "Weights of a fine-tuning run"]
    assert notice.level is Level.ATTENTION
    assert page.level is Level.ATTENTION
    assert "run 4712, not from what the hub has under the name sentence-transformers/famous" in notice.text
    assert [fact.value for fact in page.identity if fact.label == "Fine-tuning run"] == ["4712"]
    text = render_markdown(MARKDOWN, page)
    assert text.index("4712") < text.index("## What it is")


def test_a_release_from_the_hub_names_no_run(reviewed):
    page = make_page(reviewed)
    assert not [fact for fact in page.identity if fact.label == "Fine-tuning run"]
    assert not [notice for notice in page.notices if "fine-tuning" in notice.title]


# --- the likely cause -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("template", "render"), [(HTML, render_html), (MARKDOWN, render_markdown)])
def test_a_red_proof_has_its_likely_cause_beside_it(reviewed, template, render):
    from release_tool.core.diagnosis import diagnose

    page = make_page(reviewed)
    causes = [row.diagnosis for row in page.proofs]
    proofs = {(p.artifact, p.ring): p for one in reviewed.certificates.values() for p in one.proofs}
    expected = [str(diagnose(proofs[row.artifact, row.ring], reviewed.plan.tolerances)) for row in page.proofs]
    assert causes == expected
    assert all(causes)
    assert render(template, page).count("Most likely:") == len(causes)


def test_a_green_proof_has_no_cause(tmp_path):
    write_release(tmp_path, plan=make_plan(), rings=("runtime",))
    page = make_page(read_release(WorkFolder(tmp_path)))
    assert {row.diagnosis for row in page.proofs} == {""}
    assert "Most likely" not in render_html(HTML, page)


def test_a_servers_words_in_the_cause_are_text_and_nothing_else(tmp_path):
    said = "<img src=x onerror=alert(1)> **bold** [a](http://evil.example)"

    def change(proof):
        return replace(proof, comparisons=tuple(replace(item, error=said) for item in proof.comparisons))

    write_release(tmp_path, plan=make_plan(), rings=("runtime",), change_proof=change)
    page = make_page(read_release(WorkFolder(tmp_path)))
    assert any("onerror" in row.diagnosis for row in page.proofs), "the cause repeats the server's words"
    assert "<img" not in render_html(HTML, page)
    assert structure(render_html(HTML, page)).active == []
    written = render_markdown(MARKDOWN, page)
    line = next(line for line in written.splitlines() if "Most likely:" in line)
    assert "**bold**" not in line
    assert "](" not in line.replace("\\]", "")


# --- speed ------------------------------------------------------------------------------------------------------------


def test_the_page_shows_speed_its_budget_and_what_it_was_measured_beside(tmp_path):
    write_release(tmp_path, change_speed=lambda speed: replace(speed, budgets={"slower": 1.2}))
    given = read_release(WorkFolder(tmp_path))
    page = make_page(given)
    assert given.review.reasons == ()
    assert [(row.artifact, row.verdict) for row in page.speed] == [
        ("torch_script", "within budget"), ("onnx", "within budget")
    ]  # fmt: skip
    for text in (render_html(HTML, page), render_markdown(MARKDOWN, page)):
        assert "64 tokens: 11.0 / 13.0 ms" in text
        assert "64 tokens: x1.10 (1.05 to 1.15)" in text


def test_an_archive_over_its_budget_of_speed_can_not_be_approved(tmp_path):
    write_release(tmp_path, change_speed=lambda speed: replace(speed, budgets={"slower": 1.01}))
    given = read_release(WorkFolder(tmp_path))
    assert given.review.digest is None
    assert "onnx: speed and size: runtime: 64 tokens take 1.100" in " ".join(given.review.reasons)
    assert all(row.level is Level.STOP for row in make_page(given).speed)


def test_budgets_that_bench_took_in_the_place_of_the_plans_are_told(tmp_path):
    plan = make_plan(budgets={"slower": 1.05, "larger": 1.5})
    write_release(tmp_path, plan=plan, change_speed=lambda speed: replace(speed, budgets={"slower": 1.2}))
    (note, _) = [row.note for row in make_page(read_release(WorkFolder(tmp_path))).speed]
    assert "slower 1.2 in the place of the plan's 1.05" in note
    assert "the plan's larger was left out" in note


def test_a_budget_that_the_rounds_left_open_is_not_called_kept(tmp_path):
    write_release(tmp_path, change_speed=lambda speed: replace(speed, budgets={"slower": 1.1}))
    given = read_release(WorkFolder(tmp_path))
    assert given.review.reasons == ()
    for row in make_page(given).speed:
        assert (row.level, row.verdict) == (Level.NOTE, "left open")
        assert "left open by the rounds: 64 tokens" in row.note


def test_a_budget_that_nothing_was_measured_for_is_not_called_kept(tmp_path):
    def alone(speed):
        (measured,) = speed.measured
        return replace(speed, budgets={"slower": 1.2}, measured=(replace(measured, beside=None),))

    write_release(tmp_path, change_speed=alone)
    assert {row.verdict for row in make_page(read_release(WorkFolder(tmp_path))).speed} == {"not judged"}


def test_a_budget_of_the_plan_that_nothing_was_measured_for_stops_a_release(tmp_path):
    def alone(speed):
        (measured,) = speed.measured
        return replace(speed, measured=(replace(measured, beside=None),))

    write_release(tmp_path, plan=make_plan(budgets={"slower": 1.2, "bytes": 1e9, "memory": 1e12}), change_speed=alone)
    given = read_release(WorkFolder(tmp_path))
    assert given.review.digest is None
    assert "onnx: nothing was measured for the plan's budgets: slower (bench)" in given.review.reasons


def test_bytes_that_the_plan_allows_are_held_without_bench(tmp_path):
    write_release(tmp_path, plan=make_plan(budgets={"bytes": 1.0}))
    given = read_release(WorkFolder(tmp_path))
    assert given.review.digest is None
    assert "onnx: speed and size: it has" in " ".join(given.review.reasons)


@pytest.mark.parametrize("lie", [{"size": 1}, {"variant": "int8"}, {"kind": ModelKind.SPARSE}])
def test_speed_of_something_else_than_the_bundle_stops_a_release(tmp_path, lie):
    write_release(tmp_path, change_speed=lambda speed: replace(speed, **lie))
    given = read_release(WorkFolder(tmp_path))
    assert given.review.digest is None
    assert "onnx: speed and size: it is about another archive" in " ".join(given.review.reasons)


def test_a_certificate_that_was_made_before_bench_is_told(tmp_path):
    write_release(tmp_path, change_speed=lambda speed: speed)
    work = WorkFolder(tmp_path)
    read_release(work)
    write_release(tmp_path)
    with pytest.raises(IntegrityError, match=r"speed-torch_script\.json"):
        read_release(work)
