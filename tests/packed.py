"""The packages of fine-tuning in AWS as scripts/build-finetune makes them, without what comes from a registry."""

from __future__ import annotations

import subprocess
import sys

LOCK = "".join(
    f"{name}==1.0\n"
    for name in ("sentence-transformers", "transformers", "tokenizers", "safetensors", "huggingface-hub")
)


def pack(repository, out, place, tag="v9.8.7", library="x = 1\n"):
    """Write packages and template into a folder.

    Args:
        repository: the checkout.
        out: the folder.
        place: where they will lie, see the script.
        tag: of the build.
        library: what stands in the place of all libraries of the functions.
    """
    installed = out.with_name(f"{out.name}-installed")
    installed.mkdir(parents=True)
    (installed / "some_library.py").write_text(library, encoding="utf-8")
    (installed.parent / f"{out.name}.lock").write_text(LOCK, encoding="utf-8")
    command = [
        sys.executable, str(repository / "scripts" / "finetune_packages.py"), tag, "--place", place, "--out", str(out),
        "--lambda-packages", str(installed), "--training-lock", str(installed.parent / f"{out.name}.lock"),
    ]  # fmt: skip
    subprocess.run(command, check=True, capture_output=True)
    return out
