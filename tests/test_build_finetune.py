"""The packages of the AWS template: the same bytes twice, pinned by the template, and complete enough to run."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile

import pytest

LOCK = """\
huggingface-hub==2.4.0 \\
    --hash=sha256:00
safetensors==0.8.0 \\
    --hash=sha256:00
sentence-transformers==6.2.0 \\
    --hash=sha256:00
tokenizers==0.23.1 ; python_version >= '3.11' \\
    --hash=sha256:00
transformers==5.23.0 \\
    --hash=sha256:00
"""


@pytest.fixture(scope="module")
def build(repository, tmp_path_factory):
    """Return a function that packs into a new folder, in other surroundings each time."""
    base = tmp_path_factory.mktemp("build")
    packages = base / "packages"
    # As an installer leaves it.
    for name, text in (
        ("some_library/__init__.py", "x = 1\n"),
        ("some_library-1.0.dist-info/METADATA", "Name: some-library\n"),
        ("some_library-1.0.dist-info/RECORD", "of this machine\n"),
        ("some_library/__pycache__/x.cpython-312.pyc", "never the same"),
        ("bin/program", "#!/of/this/machine\n"),
    ):
        path = packages / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    (base / "lock.txt").write_text(LOCK, encoding="utf-8")

    def run(name, zone, umask, tag="v9.8.7", lock=LOCK, place="https://example.org/releases/download"):
        out = base / name
        out.mkdir()
        template = out / "template.yml"
        shutil.copy(repository / "templates" / "aws" / "finetune" / "template.yml", template)
        (out / "lock.txt").write_text(lock, encoding="utf-8")
        command = [
            sys.executable, str(repository / "scripts" / "finetune_packages.py"), tag, "--out", str(out),
            "--lambda-packages", str(packages), "--training-lock", str(out / "lock.txt"), "--template", str(template),
            "--place", place,
        ]  # fmt: skip
        environment = {**os.environ, "TZ": zone, "PYTHONHASHSEED": str(len(name)), "PYTHONDONTWRITEBYTECODE": "1"}
        done = subprocess.run(command, env=environment, umask=umask, capture_output=True, text=True, check=False)
        return out, done

    return run


@pytest.fixture(scope="module")
def built(build):
    out, done = build("first", "UTC", 0o022)
    assert done.returncode == 0, done.stderr
    return out, done.stdout


def test_the_same_sources_give_the_same_bytes(build, built):
    out, _ = built
    other, done = build("second-time", "Asia/Tokyo", 0o077)
    assert done.returncode == 0, done.stderr
    for name in ("finetune-lambda.zip", "finetune-training.tar.gz", "template.yml"):
        assert (out / name).read_bytes() == (other / name).read_bytes(), name


def test_the_template_pins_what_was_printed_and_built(built):
    out, said = built
    text = (out / "template.yml").read_text(encoding="utf-8")
    printed = dict(reversed(line.split("  ")) for line in said.splitlines())
    for name, place in (("finetune-lambda.zip", "Lambda"), ("finetune-training.tar.gz", "Training")):
        sha256 = hashlib.sha256((out / name).read_bytes()).hexdigest()
        assert printed[name] == sha256
        assert f'    {place}:\n      Sha256: "{sha256}"\n' in text
        assert f"/releases/download/v9.8.7/{name}\n" in text


def test_nothing_of_the_building_machine_is_packed(built):
    out, _ = built
    with zipfile.ZipFile(out / "finetune-lambda.zip") as archive:
        names = archive.namelist()
        assert {info.date_time for info in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}
        assert {info.external_attr >> 16 for info in archive.infolist()} == {0o644}
    assert names == sorted(names)
    assert "some_library/__init__.py" in names
    assert not [name for name in names if re.search(r"pycache|RECORD|^bin/", name)]
    with tarfile.open(out / "finetune-training.tar.gz") as archive:
        assert {(info.mtime, info.uid, info.uname, info.mode) for info in archive} == {(0, 0, "", 0o644)}


@pytest.mark.parametrize("module", ["finetune_checks", "finetune_register"])
def test_a_function_can_be_loaded_out_of_its_package_alone(built, tmp_path, module):
    out, _ = built
    shutil.unpack_archive(out / "finetune-lambda.zip", tmp_path)
    code = f"import {module}, release_tool; print(release_tool.__file__)"
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-P", "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith(str(tmp_path))


def test_a_job_finds_the_package_and_the_versions_of_an_endpoint_beside_it(built, tmp_path):
    out, _ = built
    # Python 3.11.2 knows no filter for archives, later ones warn where none is named; this one was made here.
    subprocess.run(["tar", "-xzf", str(out / "finetune-training.tar.gz"), "-C", str(tmp_path)], check=True)
    assert (tmp_path / "requirements.txt").read_text(encoding="utf-8") == LOCK
    serving = (tmp_path / "serving.txt").read_text(encoding="utf-8").split()
    assert serving == [
        "sentence-transformers==6.2.0", "transformers==5.23.0", "tokenizers==0.23.1", "safetensors==0.8.0",
        "huggingface-hub==2.4.0",
    ]  # fmt: skip
    command = [sys.executable, "-P", "-m", "release_tool", "finetune", "run", "--help"]
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True, cwd=tmp_path)
    assert "--state" in done.stdout


def test_a_lock_without_what_an_endpoint_needs_is_refused(build):
    _, done = build("lacking", "UTC", 0o022, lock="numpy==2\n")
    assert done.returncode == 1
    assert "lacks sentence-transformers" in done.stderr


def test_the_source_of_the_template_pins_nothing_and_is_not_written(build, built, repository):
    source = (repository / "templates" / "aws" / "finetune" / "template.yml").read_text(encoding="utf-8")
    assert source.count(f'      Sha256: "{"0" * 64}"\n') == 2
    assert '  Packages: "none"\n' in source
    # Without an address a stack asks for one; a default would be one where nothing lies.
    for name in ("LambdaZipUrl", "TrainingScriptZipUrl"):
        assert f"  {name}:\n    Type: String\n    AllowedPattern:" in source
    command = ["git", "-C", str(repository), "check-ignore", "--quiet", "dist/template.yml"]
    assert subprocess.run(command, check=False).returncode == 0
    text = (built[0] / "template.yml").read_text(encoding="utf-8")
    changed = {line for line in text.splitlines() if line not in set(source.splitlines())}
    assert len(changed) == 5  # the tag, two addresses, two digests
    assert '  Packages: "v9.8.7"\n' in text


@pytest.mark.parametrize(
    ("place", "address"),
    [
        ("https://example.org/a/", "https://example.org/a/v9.8.7"),
        ("s3://bucket/a", "s3://bucket/a/v9.8.7"),
        ("staging", "s3://opensearch-model-releases-staging/releases/finetune/v9.8.7"),
        ("", None),
    ],
)
def test_the_template_knows_its_packages_where_a_place_is_named(build, place, address):
    out, done = build(f"place-{place.encode().hex()}", "UTC", 0o022, place=place)
    assert done.returncode == 0, done.stderr
    found = re.findall(r"(?m)^    Default: (.*)/finetune-(?:lambda|training)", (out / "template.yml").read_text())
    assert found == ([] if address is None else [address] * 2)


@pytest.mark.parametrize(
    "place", ["stagin", "http://example.org", "file:///tmp", "s3://a b", "https://x\n    NoEcho: true"]
)
def test_a_place_that_is_none_is_refused(build, place):
    out, done = build(f"no-place-{place.encode().hex()}", "UTC", 0o022, place=place)
    assert done.returncode == 2
    assert "is no place" in done.stderr
    assert not (out / "finetune-lambda.zip").exists()


def test_a_step_of_a_workflow_says_what_it_has_built(build, tmp_path, monkeypatch):
    from release_tool.core.handover import expected

    monkeypatch.setenv("GITHUB_OUTPUT", str(tmp_path / "output"))
    out, done = build("output", "UTC", 0o022)
    assert done.returncode == 0, done.stderr
    (files,) = re.findall(r"(?m)^files=(.*)$", (tmp_path / "output").read_text(encoding="utf-8"))
    said = expected(json.dumps({"packages": {"outputs": {"files": files}}}))
    names = ("finetune-lambda.zip", "finetune-training.tar.gz", "template.yml")
    assert {path: sha256 for path, (sha256, _) in said.items()} == {
        f"packages/{name}": hashlib.sha256((out / name).read_bytes()).hexdigest() for name in names
    }


@pytest.mark.parametrize("tag", ["", "../x", "a b", "v1\n"])
def test_a_tag_that_is_none_is_refused(build, tag):
    _, done = build(f"tag-{tag.encode().hex()}", "UTC", 0o022, tag=tag)
    assert done.returncode == 2
    assert "no tag" in done.stderr
