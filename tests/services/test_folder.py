from __future__ import annotations

import hashlib
import json
import os
import shutil
import stat

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from release_tool.core.plan import PlannedFile
from release_tool.core.snapshot_files import check_path, select
from release_tool.errors import IntegrityError, SourceError, UnsafeModel, UnsupportedModel
from release_tool.services.folder import FolderSource, local_id
from release_tool.services.open_source import open_source

MODEL = {
    "config.json": b'{"model_type": "bert"}',
    "model.safetensors": b"weights" * 1000,
    "tokenizer.json": b"{}",
    "README.md": b"words",
}


@pytest.fixture
def folder(tmp_path):
    """Return a small model in a folder."""
    return written(tmp_path / "my-model", MODEL)


def written(folder, files):
    for path, data in files.items():
        place = folder / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(data)
    return folder


def state(folder):
    """Return everything about a folder that a reader may not change."""
    return {
        path: (path.lstat().st_mode, path.lstat().st_mtime_ns, path.read_bytes() if path.is_file() else None)
        for path in folder.rglob("*")
    }


def placed(source, target):
    source.download(source.pin().files, target, lambda _: None)
    return {p.relative_to(target).as_posix(): p.read_bytes() for p in target.rglob("*") if p.is_file()}


def test_the_revision_is_what_sha256sum_says_of_the_sorted_files(folder):
    lines = "".join(f"{hashlib.sha256(data).hexdigest()}  {path}\n" for path, data in sorted(MODEL.items()))
    pinned = open_source(folder, revision=None).pin()
    assert pinned.revision == "sha256:" + hashlib.sha256(lines.encode()).hexdigest()
    assert pinned.model_id == "local/my-model"
    assert pinned.requested_revision is None
    assert [file.path for file in pinned.files] == sorted(MODEL)
    assert pinned.files[0] == PlannedFile(
        path="README.md", size=5, digest="sha256:" + hashlib.sha256(b"words").hexdigest()
    )


def test_the_revision_does_not_hang_on_place_time_or_mode(folder, tmp_path):
    first = FolderSource(folder).pin()
    copy = tmp_path / "elsewhere" / "my-model"
    shutil.copytree(folder, copy)
    os.utime(copy / "config.json", (1, 1))
    (copy / "config.json").chmod(0o600)
    assert FolderSource(copy).pin() == first


def test_any_byte_of_any_file_changes_the_revision(folder):
    first = FolderSource(folder).pin().revision
    (folder / "notes.csv").write_bytes(b"x")
    second = FolderSource(folder).pin().revision
    (folder / "notes.csv").write_bytes(b"y")
    third = FolderSource(folder).pin().revision
    assert len({first, second, third}) == 3


def test_hidden_files_git_and_caches_are_no_part_of_a_model(folder):
    first = FolderSource(folder).pin()
    written(folder, {".git/config": b"x", ".DS_Store": b"x", "__pycache__/a.pyc": b"x", "1_Pooling/.hidden": b"x"})
    assert FolderSource(folder).pin() == first


@pytest.mark.parametrize(
    ("name", "wanted"),
    [("my model (v2)", "local/my-model-v2-"), ("..weird", "local/weird"), ("日本", "local/model"), ("a" * 200, None)],
)
def test_the_name_of_the_folder_becomes_an_id_that_can_stand_in_a_key(tmp_path, name, wanted):
    found = local_id(tmp_path / name)
    assert found == (wanted or "local/" + "a" * 96)


@pytest.mark.parametrize("text", ["{", "[1]", '{"name": "x"}', "[" * 100_000, '{"schema": "release-tool/lineage@1"}'])
def test_a_lineage_that_is_none_names_nothing(folder, text):
    (folder / "lineage.json").write_text(text)
    assert local_id(folder) == "local/my-model"


def test_a_given_id_is_taken(folder):
    assert open_source(folder, revision=None, model_id="acme/tiny").pin().model_id == "acme/tiny"


def test_weights_share_their_bytes_and_the_users_folder_stays_as_it_was(folder, tmp_path, monkeypatch):
    monkeypatch.setattr("release_tool.services.checked_files.LINKED_FROM_BYTES", 5000)
    before = state(folder)
    assert placed(FolderSource(folder), tmp_path / "snapshot") == MODEL
    assert state(folder) == before
    weights, config = (tmp_path / "snapshot" / name for name in ("model.safetensors", "config.json"))
    # On a file system that can clone there are two inodes, which share their blocks.
    assert weights.stat().st_nlink == 2 or weights.stat().st_ino != (folder / "model.safetensors").stat().st_ino
    assert config.stat().st_nlink == 1


def test_where_no_link_can_be_made_the_bytes_are_copied(folder, tmp_path, monkeypatch):
    def refuse(self, target):
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr("release_tool.services.checked_files.LINKED_FROM_BYTES", 5000)
    monkeypatch.setattr("pathlib.Path.hardlink_to", refuse)
    assert placed(FolderSource(folder), tmp_path / "snapshot") == MODEL
    assert (tmp_path / "snapshot" / "model.safetensors").stat().st_nlink == 1


def test_a_second_download_reads_only_the_snapshot(folder, tmp_path):
    pinned = FolderSource(folder).pin()
    target = tmp_path / "snapshot"
    FolderSource(folder).download(pinned.files, target, lambda _: None)
    shutil.rmtree(folder)
    told = []
    FolderSource(folder, revision=pinned.revision).download(pinned.files, target, told.append)
    assert sum(told) == sum(len(data) for data in MODEL.values())


def test_a_wrong_file_in_the_snapshot_is_replaced_and_not_written_through_the_link(folder, tmp_path):
    target = tmp_path / "snapshot"
    placed(FolderSource(folder), target)
    (target / "config.json").unlink()
    (target / "config.json").write_bytes(b"other")
    assert placed(FolderSource(folder), target) == MODEL
    assert (folder / "config.json").read_bytes() == MODEL["config.json"]


@pytest.mark.parametrize("change", ["other bytes", "another file", "a file less"])
def test_a_folder_that_changed_since_the_plan_is_refused(folder, tmp_path, change):
    pinned = FolderSource(folder).pin()
    if change == "other bytes":
        (folder / "config.json").write_bytes(b"{}")
    elif change == "another file":
        (folder / "added.json").write_bytes(b"{}")
    else:
        (folder / "README.md").unlink()
    with pytest.raises(IntegrityError, match="has changed"):
        FolderSource(folder, revision=pinned.revision).download(pinned.files, tmp_path / "snapshot", lambda _: None)
    assert not (tmp_path / "snapshot" / "config.json").exists()


def test_a_file_that_changes_between_hash_and_link_is_refused(folder, tmp_path):
    source = FolderSource(folder)
    pinned = source.pin()
    with (folder / "model.safetensors").open("r+b") as stream:
        stream.write(b"W")
    with pytest.raises(IntegrityError, match=r"model\.safetensors"):
        source.download(pinned.files, tmp_path / "snapshot", lambda _: None)
    assert not (tmp_path / "snapshot" / "model.safetensors").exists()
    (folder / "README.md").write_bytes(b"WORDS")
    with pytest.raises(IntegrityError, match=r"README\.md"):
        source.read("README.md")


def test_a_link_out_of_the_folder_is_refused_by_name(folder, tmp_path):
    outside = tmp_path / "secret.json"
    outside.write_bytes(b"{}")
    (folder / "special_tokens_map.json").symlink_to(outside)
    with pytest.raises(UnsafeModel, match=r"special_tokens_map\.json is a link out of the folder") as caught:
        FolderSource(folder).pin()
    assert "cp -rL" in caught.value.hint


def test_a_linked_folder_out_of_the_model_is_refused_too(folder, tmp_path):
    written(tmp_path / "other", {"config.json": b"{}"})
    (folder / "1_Pooling").symlink_to(tmp_path / "other")
    with pytest.raises(UnsafeModel, match="1_Pooling"):
        FolderSource(folder).pin()


def test_links_inside_the_folder_are_read_and_loops_end(folder, tmp_path):
    (folder / "vocab.txt").symlink_to("README.md")
    (folder / "loop").symlink_to(".")
    (folder / "deep").mkdir()
    (folder / "deep" / "up").symlink_to("..")
    target = tmp_path / "snapshot"
    assert placed(FolderSource(folder), target)["vocab.txt"] == b"words"
    assert not (target / "vocab.txt").is_symlink()


def test_a_link_that_leads_nowhere_is_named(folder):
    (folder / "vocab.txt").symlink_to("gone.txt")
    with pytest.raises(SourceError, match=r"vocab\.txt is a link that leads nowhere"):
        FolderSource(folder).pin()


def test_a_pipe_does_not_hang_the_reader(folder):
    os.mkfifo(folder / "vocab.txt")
    assert stat.S_ISFIFO((folder / "vocab.txt").stat().st_mode)
    with pytest.raises(UnsafeModel, match=r"vocab\.txt is no regular file"):
        FolderSource(folder).pin()


def test_a_folder_that_went_away_says_how_to_go_on(folder):
    source = FolderSource(folder)
    shutil.rmtree(folder)
    with pytest.raises(SourceError, match="can't be read") as caught:
        source.pin()
    assert "release-tool plan" in caught.value.hint


def test_an_empty_folder_is_no_model(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(UnsupportedModel, match="neither weights nor a tokenizer"):
        open_source(tmp_path / "empty", revision=None).pin()


def test_a_config_that_is_no_json_is_named(folder):
    (folder / "modules.json").write_bytes(b"[")
    with pytest.raises(UnsupportedModel, match=r"modules\.json"):
        FolderSource(folder).pin()


def test_code_in_a_folder_needs_the_flag_and_is_recorded_with_it(folder, tmp_path):
    written(folder, {"config.json": b'{"auto_map": {"AutoModel": "modeling.Tiny"}}', "modeling.py": b"x = 1"})
    with pytest.raises(UnsafeModel, match=r"modeling\.Tiny"):
        FolderSource(folder).pin()
    pinned = FolderSource(folder, trust_remote_code=True).pin()
    (code,) = pinned.remote_code
    assert (code.repo, code.revision, code.path) == ("local/my-model", pinned.revision, "modeling.py")
    assert code.digest == "sha256:" + hashlib.sha256(b"x = 1").hexdigest()
    assert "modeling.py" in placed(FolderSource(folder, trust_remote_code=True), tmp_path / "snapshot")


def test_a_folder_may_want_code_of_a_hub_which_is_pinned_there(folder, hub, tmp_path):
    written(folder, {"config.json": b'{"auto_map": {"AutoModel": "acme/code--modeling.Tiny"}}'})
    code = hub.add("acme/code", {"modeling.py": "x = 1"})
    source = FolderSource(folder, trust_remote_code=True)
    pinned = source.pin()
    assert [(item.repo, item.revision) for item in pinned.remote_code] == [("acme/code", code.branches["main"])]
    source.download_code(pinned.remote_code, tmp_path / "snapshot", lambda _: None)
    assert (tmp_path / "snapshot/remote_code/acme/code/modeling.py").read_text() == "x = 1"


def test_every_folder_of_a_router_is_taken(folder):
    router = {
        "types": {"query_0_Static": "sentence_transformers.x.Static", "document_0_MLM": "sentence_transformers.y"}
    }
    files = {
        "modules.json": json.dumps([{"path": "", "type": "sentence_transformers.models.Router"}]).encode(),
        "router_config.json": json.dumps(router).encode(),
        "query_0_Static/config.json": b"{}",
        "query_0_Static/model.safetensors": b"w",
        "document_0_MLM/model.safetensors": b"w",
        "stray/model.safetensors": b"w",
    }
    paths = {file.path for file in FolderSource(written(folder, files)).pin().files}
    assert set(files) - paths == {"stray/model.safetensors"}


SEGMENT = st.text(alphabet="ab./\\:\0 -_é", min_size=1, max_size=8)


@settings(max_examples=200, deadline=None)
@given(path=SEGMENT)
def test_every_path_that_is_let_through_stays_below_the_folder(path):
    try:
        check_path(path)
    except UnsafeModel:
        return
    # normpath and join and not Path: Path would forgive what is asked about.
    assert os.path.normpath(os.path.join("/base", path)) == f"/base/{path}"  # noqa: PTH118


NAMES = st.sampled_from(
    ["model.safetensors", "pytorch_model.bin", "tf_model.h5", "config.json", "tokenizer.json", "a.py", "README.md"]
)


@settings(max_examples=100, deadline=None)
@given(names=st.lists(NAMES, unique=True), extra=st.permutations(["onnx/model.onnx", "x/model.safetensors", ".git/a"]))
def test_a_selection_is_a_part_of_the_list_without_order_code_or_unwanted_pickle(names, extra):
    listed = [PlannedFile(path=path, size=1, digest="sha256:" + "0" * 64) for path in [*names, *extra]]

    def chosen(files):
        try:
            return select(files, lambda _: b"{}", model_id="acme/tiny").files
        except (UnsafeModel, UnsupportedModel) as error:
            return str(error)

    found = chosen(listed)
    assert found == chosen(list(reversed(listed)))
    if not isinstance(found, str):
        assert {file.path for file in found} <= {*names} - {"a.py", "pytorch_model.bin", "tf_model.h5"}
