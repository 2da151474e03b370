"""Settings are read as they are in effect, judged by what stands in the way, and changed without losing any."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from release_tool.core.ml import changes as made
from release_tool.core.ml import cluster_settings as names
from release_tool.core.ml.changes import plan_changes, with_address, with_endpoint, write
from release_tool.core.ml.cluster_settings import (
    BY_NAME,
    SETTINGS,
    Kind,
    ValueFault,
    parse_value,
    read_settings,
    size_of,
)
from release_tool.core.ml.cluster_state import Level, NodeFacts, State, findings, read_node_facts, read_plugins

PREFIX = names.PREFIX
ALL_PLUGINS = ("opensearch-knn", "opensearch-ml", "opensearch-neural-search")


def effective(**parts):
    return read_settings({part: {PREFIX + key: value for key, value in found.items()} for part, found in parts.items()})


def node(**over):
    facts = {
        "name": "n1", "roles": ("data",), "memory": 8 << 30, "heap_percent": 30, "disk_free": 50 << 30, "models": 0
    }  # fmt: skip
    return NodeFacts(**{**facts, **over})


def judged(settings, *, version="3.6.0", nodes=None, plugins=ALL_PLUGINS, url=None):
    state = State(
        version=version, plugins=plugins, settings=read_settings({"defaults": prefixed(settings)}),
        nodes=(node(),) if nodes is None else nodes,
    )  # fmt: skip
    return {one.what: one for one in findings(state, url)}


def prefixed(settings):
    return {PREFIX + key: value for key, value in settings.items()}


def test_transient_goes_before_persistent_and_that_before_defaults():
    found = effective(defaults={"a": 1, "b": 1, "c": 1}, persistent={"b": 2, "c": 2}, transient={"c": 3})
    assert {key: (one.value, one.source) for key, one in found.all.items()} == {
        "a": (1, "default"), "b": (2, "persistent"), "c": (3, "transient")
    }  # fmt: skip
    assert read_settings({"defaults": {"cluster.name": "x"}}).all == {}


@pytest.mark.parametrize(
    ("name", "what"),
    [
        (names.VIA_URL, "register by address"),
        (names.VIA_FILE, "register from a file"),
        (names.REMOTE, "remote models"),
        (names.CONTROLLER, "limits of rates"),
    ],
)
def test_a_switch_that_is_off_blocks_its_thing_and_says_how_to_set_it(name, what):
    assert judged({name: "true"})[what].level is Level.OK
    found = judged({name: "false"})[what]
    assert (found.level, found.apply) == (Level.BLOCKED, (f"{name}=true",))


def test_without_local_models_nothing_is_registered_or_deployed():
    found = judged({names.LOCAL_MODEL: "false"})
    for what in ("register by address", "register from a file", "deploy local models"):
        assert found[what].level is Level.BLOCKED
        assert f"{names.LOCAL_MODEL}=true" in found[what].apply


def test_a_server_without_a_setting_is_not_blocked_by_it():
    found = judged({names.ONLY_ML_NODE: "false"}, version="2.4.0")
    assert not [one for one in found.values() if one.level is Level.BLOCKED]


def test_nodes_of_another_role_run_no_model():
    blocked = judged({names.ONLY_ML_NODE: "true"})["deploy local models"]
    assert (blocked.level, blocked.apply) == (Level.BLOCKED, (f"{names.ONLY_ML_NODE}=false",))
    dedicated = judged({names.ONLY_ML_NODE: "true"}, nodes=(node(), node(name="n2", roles=("ml",))))
    assert "1 node, 1 of the role ml" in dedicated["deploy local models"].why
    by_role = judged({names.LOCAL_ROLES: ["ml"]})["deploy local models"]
    assert (by_role.level, by_role.apply) == (Level.BLOCKED, ())
    assert judged({names.EXCLUDED: "n1, n7"})["deploy local models"].level is Level.BLOCKED


def test_a_cluster_whose_nodes_run_all_that_they_may_is_full():
    full = judged({names.MAX_MODELS: "10"}, nodes=(node(models=10), node(name="n2", models=11)))
    assert full["deploy local models"].apply == (f"{names.MAX_MODELS}=20",)
    room = judged({names.MAX_MODELS: "10"}, nodes=(node(models=10), node(name="n2", models=9)))
    assert room["deploy local models"].level is Level.OK


def test_breakers_are_seen_before_a_model_meets_them():
    assert judged({names.HEAP: "85", names.DISK: "5gb"})["circuit breakers"].level is Level.OK
    heap = judged({names.HEAP: "85"}, nodes=(node(heap_percent=91),))["circuit breakers"]
    assert (heap.level, "91 %" in heap.why) == (Level.BLOCKED, True)
    assert judged({names.HEAP: "100"}, nodes=(node(heap_percent=100),))["circuit breakers"].level is Level.OK
    disk = judged({names.DISK: "5gb"}, nodes=(node(disk_free=4 << 30),))["circuit breakers"]
    (apply,) = disk.apply
    assert size_of(apply.partition("=")[2]) < 4 << 30


def test_an_address_is_held_against_both_lists():
    lists = {
        names.TRUSTED_URL: r"^https://models\.example\.org/",
        "trusted_connector_endpoints_regex": [r"^https://api\.example\.org/.*$"],
    }
    url = "https://models.example.org/a.zip"
    found = judged(lists, url=url)
    assert found[f"archives from {url}"].level is Level.OK
    assert found[f"connectors to {url}"].apply == (f"trusted_connector_endpoints_regex={url}",)
    strange = judged({names.TRUSTED_URL: "(?<!x"}, url=url)[f"archives from {url}"]
    assert strange.level is Level.UNSEEN


def test_a_plugin_counts_where_every_node_has_it():
    rows = [
        {"name": "a", "component": "opensearch-ml"}, {"name": "a", "component": "opensearch-knn"},
        {"name": "b", "component": "opensearch-ml"},
    ]  # fmt: skip
    assert read_plugins(rows) == ("opensearch-ml",)
    found = judged({}, plugins=())
    assert found["plugin opensearch-ml"].level is Level.BLOCKED
    assert found["plugin opensearch-knn"].level is Level.NOTE


def test_what_somebody_set_in_vain_or_for_a_while_is_told():
    state = State(
        version="3.6.0", plugins=ALL_PLUGINS, nodes=(),
        settings=effective(
            defaults={names.DISK: "5gb"}, persistent={"native_memory_threshold": "99"},
            transient={names.VIA_URL: "true"},
        ),
    )  # fmt: skip
    found = {one.what: one.why for one in findings(state)}
    assert "no effect since 2.9" in found["native_memory_threshold"]
    assert "next full restart" in found[names.VIA_URL]
    assert names.DISK not in found


def test_a_cluster_that_tells_nothing_is_unseen_and_not_fine():
    found = findings(State(version="3.9", plugins=None, settings=None, nodes=None))
    assert {one.level for one in found} == {Level.UNSEEN}


def test_nodes_are_read_with_what_they_do_not_tell_left_open():
    stats = {"nodes": {"id": {"name": "n1", "roles": ["data"], "jvm": {"mem": {"heap_used_percent": 12}}}}}
    (found,) = read_node_facts(stats, None)
    assert (found.heap_percent, found.disk_free, found.models) == (12, None, None)
    (held,) = read_node_facts(stats, {"nodes": {"id": {"models": {"x": {}, "y": {}}}}})
    assert held.models == 2


# --- changes ----------------------------------------------------------------------------------------------------------


def planned(*asked, version="3.6.0", **parts):
    return plan_changes(asked, effective(**parts), version)


def test_names_with_and_without_prefix_and_the_value_that_opens():
    found, faults = planned(
        PREFIX + "max_model_on_node=7", names.VIA_URL, names.ONLY_ML_NODE,
        defaults={"max_model_on_node": "10", names.VIA_URL: "false", names.ONLY_ML_NODE: "true"},
    )  # fmt: skip
    assert not faults
    assert [(one.name, one.before, one.after) for one in found] == [
        ("max_model_on_node", "10", 7), (names.VIA_URL, "false", True), (names.ONLY_ML_NODE, "true", False)
    ]  # fmt: skip
    assert write(found).body == {
        "persistent": {
            f"{PREFIX}max_model_on_node": 7, PREFIX + names.VIA_URL: True, PREFIX + names.ONLY_ML_NODE: False
        }
    }  # fmt: skip


def test_the_settings_of_the_page_on_custom_models_are_made_as_it_makes_them():
    page = Path(__file__).parent / "documented_requests.json"
    (text,) = (
        one["text"]
        for one in json.loads(page.read_text(encoding="utf-8"))
        if one["text"].startswith("PUT _cluster/settings")
    )
    wanted = json.loads(text.partition("\n")[2])["persistent"]["plugins"]["ml_commons"]
    found, faults = planned(*(f"{name}={value}" for name, value in wanted.items()))
    assert not faults
    assert {change.name: str(change.after).lower() for change in found} == wanted
    assert [change.name for change in found if change.note] == ["native_memory_threshold"]


def test_what_is_so_already_is_no_change_and_a_default_takes_a_value_away():
    found, _ = planned(names.VIA_URL, "max_model_on_node=default", persistent={names.VIA_URL: "true"})
    assert [one.is_none for one in found] == [True, False]
    assert write(found[1:]).body == {"persistent": {f"{PREFIX}max_model_on_node": None}}


@pytest.mark.parametrize(
    ("asked", "parts", "why"),
    [
        ("max_model_on_nod=1", {}, "did you mean max_model_on_node"),
        ("max_model_on_node=many", {}, "a whole number"),
        ("max_model_on_node", {}, "give its value"),
        (f"{names.VIA_URL}=yes", {}, "true or false"),
        (f"{names.DISK}=5", {}, "such as 5gb"),
        (f"{names.TRUSTED_URL}=((", {}, "no regular expression"),
        (f"{names.VIA_URL}=true", {"transient": {names.VIA_URL: "false"}}, "transient value, 'false', hides"),
        ("max_load_model_tasks_per_node=3", {}, "called max_deploy_model_tasks_per_node"),
    ],
)
def test_a_wrong_change_is_told_and_none_is_made(asked, parts, why):
    found, faults = planned(asked, **parts)
    assert found == ()
    assert why in faults[0].problem


def test_a_setting_that_is_younger_than_the_server_is_refused_and_one_that_is_idle_is_noted():
    _, faults = planned(f"{names.LOCAL_MODEL}=true", version="2.12.0")
    assert "from 2.13 on" in faults[0].problem
    (idle,), _ = planned("native_memory_threshold=99", version="3.6.0")
    assert "no effect from 2.9 on" in idle.note
    (heeded,), _ = planned("native_memory_threshold=99", version="2.8.0")
    assert heeded.note is None


def test_a_setting_that_only_the_cluster_knows_is_sent_as_it_is_written():
    (found,), faults = planned("stream_enabled=true", defaults={"stream_enabled": "false"})
    assert (found.after, faults) == ("true", ())


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: setting.name)
def test_the_value_that_opens_is_one_that_the_setting_takes(setting):
    assert BY_NAME[setting.name] is setting
    if setting.opens is not None:
        assert isinstance(parse_value(setting, setting.opens), bool)
    if setting.kind is Kind.NUMBER:
        with pytest.raises(ValueFault):
            parse_value(setting, "1.5")


HOSTS = st.from_regex(r"[a-z]{1,8}\.example\.(org|com)", fullmatch=True)


@given(st.lists(HOSTS, min_size=1, max_size=5))
def test_nobody_loses_an_address_by_another_ones_being_added(hosts):
    expression, endpoints = r"^http://127\.0\.0\.1:[0-9]+/", [r"^https://api\.openai\.com/.*$"]
    for host in hosts:
        expression = with_address(expression, f"https://{host}/a.zip")
        endpoints = with_endpoint(endpoints, f"https://{host}/v1")
    for address in ("http://127.0.0.1:9/x", *(f"https://{host}/other.zip" for host in hosts)):
        assert re.search(expression, address)
    for address in ("https://api.openai.com/v1", *(f"https://{host}/v2" for host in hosts)):
        assert any(re.fullmatch(one, address) for one in endpoints)
    assert not re.search(expression, f"https://{hosts[0]}.evil.net/a.zip")
    assert not re.search(expression, f"ftp://{hosts[0]}/a.zip")
    assert with_address(expression, f"https://{hosts[0]}/b.zip") == expression


def test_of_files_only_those_of_one_folder_become_trusted():
    expression = with_address("", "file:///srv/mo.dels/a.zip")
    assert re.search(expression, "file:///srv/mo.dels/b.zip")
    for other in (
        "file:///etc/passwd",
        "file:///srv/moxdels/b.zip",
        "file:///srv/mo.dels/deeper/b.zip",
        "http://a/b.zip",
    ):
        assert not re.search(expression, other)


def test_expressions_are_added_once_and_two_additions_meet_in_one_request():
    name = names.TRUSTED_URL
    (found,), _ = planned(
        f"{name}=https://a.example.org/", f"{name}=^ftp://b", f"{name}=^ftp://b", defaults={name: "^file:"}
    )
    assert (found.before, found.after) == ("^file:", r"^file:|(?:^https://a\.example\.org(/.*)?$)|(?:^ftp://b)")


def test_an_old_servers_list_of_defaults_is_read_from_its_text():
    name = "trusted_connector_endpoints_regex"
    (found,), _ = planned(f"{name}=https://a.example.org/x", defaults={name: "[^https://b/.*$, ^https://c/.*$]"})
    assert found.after[:2] == ["^https://b/.*$", "^https://c/.*$"]
    assert len(found.after) == 3


def test_an_address_is_told_from_an_expression():
    assert made.is_address("https://a.example.org:8080/x?y=1")
    assert made.is_address("file:///srv/models/x.zip")
    for other in ("^https://a", "https://a/.*", "a.example.org", "https://(a|b)/"):
        assert not made.is_address(other)
