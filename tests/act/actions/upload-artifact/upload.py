"""Copy files into the store of artifacts with the layout that actions/upload-artifact gives them.

Its rules: folders bring all that lies in them; names that begin with a dot stay out; the root of the artifact is the
search path (a pattern up to its first wildcard), the common ancestor of several, and for one file the folder it is in.
Neither modes nor times survive.
"""

import os
import re
import shutil
import sys
from pathlib import Path, PurePosixPath

FORBIDDEN = set('":<>|*?\r\n\\/')
WILD = re.compile(r"[*?\[]")


def expression(pattern):
    """Return a regular expression for a pattern: ``*`` and ``?`` stay within a name, ``**`` does not."""
    text = ""
    for name in PurePosixPath(pattern).parts[1:]:
        if name == "**":
            text += "(?:/[^/]+)*"
            continue
        escaped = re.escape(name).replace(r"\*", "[^/]*").replace(r"\?", "[^/]")
        text += "/" + re.sub(r"\\\[(.*?)\\\]", r"[\1]", escaped)
    return re.compile(text)


def main():
    workspace = Path(os.environ["GITHUB_WORKSPACE"])
    name = os.environ["NAME"]
    if not name or FORBIDDEN & set(name):
        sys.exit(f"::error::The artifact name is not valid: {name!r}")
    lines = [line.strip() for line in os.environ["PATTERNS"].splitlines()]
    lines = [line for line in lines if line and not line.startswith("#")]
    patterns = [(line.startswith("!"), str(workspace / line.removeprefix("!"))) for line in lines]
    roots = search_paths([pattern for excluded, pattern in patterns if not excluded])
    files = found(patterns, roots, hidden=os.environ["HIDDEN"] == "true")
    if not files:
        nothing(name)
        return
    root = root_of(roots, files)
    target = Path(os.environ["STAND_IN_STORE"]) / name
    if target.exists():
        if os.environ["OVERWRITE"] != "true":
            sys.exit(f"::error::Failed to CreateArtifact: an artifact with the name {name} already exists (409)")
        shutil.rmtree(target)
    aside = target.with_name(f".{name}.part")
    shutil.rmtree(aside, ignore_errors=True)
    for file in files:
        copy = aside / file.relative_to(root)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, copy)
    aside.rename(target)
    sys.stdout.write(f"artifact {name}: {len(files)} files from {root}\n")


def nothing(name):
    """Do what was asked for where no file is found."""
    said = "No files were found with the provided path. No artifacts will be uploaded."
    match os.environ["IF_NO_FILES_FOUND"]:
        case "error":
            sys.exit(f"::error::{said}")
        case "ignore":
            sys.stdout.write(f"{said}\n")
        case "warn":
            sys.stdout.write(f"::warning::{said}\n")
        case other:
            sys.exit(f"::error::Unrecognized if-no-files-found input {other!r} of artifact {name}")


def search_paths(patterns):
    """Return the folders and files where a search begins, none of them below another."""
    begins = []
    for pattern in patterns:
        parts = PurePosixPath(pattern).parts
        literal = next((place for place, part in enumerate(parts) if WILD.search(part)), len(parts))
        begins.append(Path(*parts[:literal]))
    unique = list(dict.fromkeys(begins))
    return [path for path in unique if not any(path != other and path.is_relative_to(other) for other in unique)]


def found(patterns, roots, *, hidden):
    """Return every file that the last pattern about it, or about a folder above it, includes."""
    tests = [(excluded, expression(pattern)) for excluded, pattern in patterns]
    files = []
    for root in roots:
        walk = [root] if root.is_file() else sorted(path for path in root.rglob("*") if path.is_file())
        for path in walk:
            inside = (root.name, *path.relative_to(root).parts)
            if not hidden and any(part.startswith(".") for part in inside):
                continue
            included = False
            for excluded, test in tests:
                if any(test.fullmatch(str(place)) for place in (path, *path.parents)):
                    included = not excluded
            if included:
                files.append(path)
    return files


def root_of(roots, files):
    """Return the folder that becomes the root of the artifact."""
    if len(roots) > 1:
        return Path(os.path.commonpath(roots))
    if len(files) == 1 and files[0] == roots[0]:
        return roots[0].parent
    return roots[0]


main()
