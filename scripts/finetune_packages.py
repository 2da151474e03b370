"""Pack what the AWS template of fine-tuning runs, and write a template that pins the sha256 of both packages.

A program for scripts/build-finetune. Promises: the same sources and locks give the same bytes, whatever the time zone,
the umask, the order of a folder or the clock; nothing but tracked kinds of files goes in.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import io
import json
import os
import re
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TEMPLATE = ROOT / "templates" / "aws" / "finetune" / "template.yml"
SOURCES = TEMPLATE.parent
LAMBDA, TRAINING = "finetune-lambda.zip", "finetune-training.tar.gz"
PARAMETERS = {"Lambda": "LambdaZipUrl", "Training": "TrainingScriptZipUrl"}
"""Name of a package in the template → its parameter."""
PUBLISHED = "releases/finetune"
"""Below the address of a target; see ``release_tool/core/publication.py``."""
LAMBDA_FILES = ("finetune_checks.py", "finetune_register.py")
TRAINING_FILES = ("finetune_job.py", "finetune_handler.py")
LEFT_OUT = re.compile(
    r"(^|/)(__pycache__|bin|tests?)/|\.pyc$|\.dist-info/(RECORD|INSTALLER|REQUESTED|direct_url\.json)$"
)
"""What an installer leaves about itself, and what nobody runs."""
SERVING = ("sentence-transformers", "transformers", "tokenizers", "safetensors", "huggingface-hub")
"""What an endpoint needs beside its container's torch, by the versions of the lock."""
DATE = (1980, 1, 1, 0, 0, 0)
"""The first that a zip knows."""
MODE = 0o644


def main() -> int:
    """Pack, write the template beside, and print name and sha256 of each package."""
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("tag", help="of the packages")
    asked.add_argument("--place", default="", help="where folders of such packages lie: an address, or a target's name")
    asked.add_argument("--out", type=Path, required=True, help="folder of the packages and of their template")
    asked.add_argument("--lambda-packages", type=Path, required=True, help="folder into which its lock was installed")
    asked.add_argument("--training-lock", type=Path, required=True, help="lock of the jobs")
    asked.add_argument("--template", type=Path, default=TEMPLATE, help="that is the source")
    given = asked.parse_args()
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", given.tag):
        sys.stderr.write(f"error: {given.tag!r} is no tag.\nhint: Say one like v1.2.0.\n")
        return 2
    address = address_of(given.place, given.tag)
    if address is None:
        sys.stderr.write(
            f"error: {given.place[:80]!r} is no place.\n"
            "hint: Name a target of release-tool.toml, or an address such as s3://bucket/folder.\n"
        )
        return 2
    given.out.mkdir(parents=True, exist_ok=True)
    package = folder_files(ROOT / "release_tool", "release_tool")
    lambda_files = package | folder_files(given.lambda_packages) | {name: SOURCES / name for name in LAMBDA_FILES}
    lock = given.training_lock.read_text(encoding="utf-8")
    training: dict[str, Path | bytes] = {**package, **{name: SOURCES / name for name in TRAINING_FILES}}
    training |= {"requirements.txt": lock.encode(), "serving.txt": serving(lock).encode()}
    found = {
        "Lambda": write(given.out / LAMBDA, zipped(lambda_files)),
        "Training": write(given.out / TRAINING, tarred(training)),
    }
    text = given.template.read_text(encoding="utf-8")
    whole = pinned(text, found, given.tag, address).encode("utf-8")
    digests = dict(zip((LAMBDA, TRAINING), found.values(), strict=True))
    for name, sha256 in digests.items():
        sys.stdout.write(f"{sha256}  {name}\n")
    tell_workflow({**digests, TEMPLATE.name: write(given.out / TEMPLATE.name, whole)})
    return 0


def address_of(place: str, tag: str) -> str | None:
    """Return the address of a tag's folder in a place; "" where none is named, null where it is none."""
    if not place:
        return ""
    if "://" not in place:
        targets = tomllib.loads((ROOT / "release-tool.toml").read_text(encoding="utf-8"))["targets"]
        place = f"{targets[place]['to'].rstrip('/')}/{PUBLISHED}" if place in targets else ""
    return f"{place.rstrip('/')}/{tag}" if re.fullmatch(r"(https|s3)://[A-Za-z0-9._~/:%-]+", place) else None


def tell_workflow(digests: dict[str, str]) -> None:
    """Write the step's output ``files``: path in the next job's work folder → sha256."""
    if path := os.environ.get("GITHUB_OUTPUT"):
        files = {f"packages/{name}": sha256 for name, sha256 in sorted(digests.items())}
        with Path(path).open("a", encoding="utf-8") as stream:
            stream.write(f"files={json.dumps(files, separators=(',', ':'))}\n")


def folder_files(folder: Path, prefix: str = "") -> dict[str, Path | bytes]:
    """Return name in the package → file of everything below a folder that is run."""
    found: dict[str, Path | bytes] = {}
    for path in folder.rglob("*"):
        name = (Path(prefix) / path.relative_to(folder)).as_posix()
        if path.is_file() and not LEFT_OUT.search(name):
            found[name] = path
    return found


def content(file: Path | bytes) -> bytes:
    """Return the bytes of a file."""
    return file if isinstance(file, bytes) else file.read_bytes()


def zipped(files: dict[str, Path | bytes]) -> bytes:
    """Return a zip of files, by name; every one as of the same moment and readable by all."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in sorted(files):
            info = zipfile.ZipInfo(name, DATE)
            info.create_system, info.external_attr, info.compress_type = 3, MODE << 16, zipfile.ZIP_DEFLATED
            archive.writestr(info, content(files[name]), compresslevel=9)
    return stream.getvalue()


def tarred(files: dict[str, Path | bytes]) -> bytes:
    """Return a compressed tar of files, by name; nobody's, as of the same moment."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name in sorted(files):
            data = content(files[name])
            info = tarfile.TarInfo(name)
            info.size, info.mode, info.mtime = len(data), MODE, 0
            archive.addfile(info, io.BytesIO(data))
    return gzip.compress(stream.getvalue(), compresslevel=9, mtime=0)


def write(path: Path, data: bytes) -> str:
    """Write a package and return its sha256."""
    path.write_bytes(data)
    return hashlib.sha256(data).hexdigest()


def serving(lock: str) -> str:
    """Return the requirements of an endpoint: single versions of a lock.

    Raises:
        SystemExit: the lock lacks one.
    """
    found = dict(re.findall(r"^([a-z0-9-]+)==(\S+)", lock, re.MULTILINE))
    lacking = [name for name in SERVING if name not in found]
    if lacking:
        raise SystemExit(f"error: the lock of the jobs lacks {', '.join(lacking)}.")
    return "".join(f"{name}=={found[name]}\n" for name in SERVING)


def pinned(template: str, found: dict[str, str], tag: str, address: str) -> str:
    """Return the template with the packages' tag and sha256, and with their addresses where these are known."""
    names = dict(zip(found, (LAMBDA, TRAINING), strict=True))
    for name, sha256 in found.items():
        pattern = rf'(?m)^(    {name}:\n      Sha256: )"[0-9a-f]{{64}}"$'
        template, count = re.subn(pattern, rf'\g<1>"{sha256}"', template)
        if count != 1:
            raise SystemExit(f"error: the template has {count} places for the sha256 of {name}.")
    for name, parameter in PARAMETERS.items():
        default = f"    Default: {address}/{names[name]}\n" if address else ""
        pattern = rf"(?m)^(  {parameter}:\n    Type: String\n)(?:    Default: .*\n)?"
        template, count = re.subn(pattern, rf"\g<1>{default}", template)
        if count != 1:
            raise SystemExit(f"error: the template has {count} addresses of {name}.")
    template, count = re.subn(r'(?m)^(  Packages: )".*"$', rf'\g<1>"{tag}"', template)
    if count != 1:
        raise SystemExit(f"error: the template has {count} places for the tag.")
    return template


if __name__ == "__main__":
    sys.exit(main())
