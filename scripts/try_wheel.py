"""Compare a wheel with the checkout it was built from, and run every command's help where it is installed alone.

Usage: try_wheel.py CHECKOUT RELEASE_TOOL WHEEL. Run by scripts/package; standard library only.
"""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

CODE = ".py"


def expected(checkout: Path) -> set[str]:
    """Return the files that the package must hold: all modules, and everything under a data folder."""
    package = checkout / "release_tool"
    found = set()
    for path in package.rglob("*"):
        parts = path.relative_to(package).parts
        if path.is_file() and "__pycache__" not in parts and (path.suffix == CODE or parts[0] == "data"):
            found.add(path.relative_to(checkout).as_posix())
    return found


def main() -> int:
    """Return 0 when the wheel is whole and its commands answer."""
    checkout, command, wheel = Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3])
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
        licences = [name for name in archive.namelist() if name.endswith("licenses/LICENSE")]
    problems = [f"missing in the wheel: {name}" for name in sorted(expected(checkout) - names)]
    problems += [f"in the wheel, not in the checkout: {name}" for name in sorted(names - expected(checkout))]
    if not licences:
        problems.append("the wheel holds no LICENSE")

    from release_tool.cli import COMMANDS

    for arguments in ([], *([name] for name in COMMANDS)):
        run = subprocess.run([command, *arguments, "--help"], capture_output=True, text=True, check=False)
        if run.returncode or "Usage: release-tool" not in run.stdout:
            last = [line for line in run.stderr.splitlines() if "Error" in line][-1:]
            problems.append(f"{' '.join(['release-tool', *arguments, '--help'])} ended with {run.returncode}: {last}")
    for problem in problems:
        sys.stderr.write(f"scripts/package: {problem}\n")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
