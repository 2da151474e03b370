# shellcheck shell=bash
# What scripts/test, scripts/demo and scripts/check share: one environment, .venv, made from the locks.
# Sourced, never run. Promises: nothing outside the checkout is installed or changed; only hashed versions go in.

# Empty arrays under "set -u" need bash 4.4.
if [ "${BASH_VERSINFO[0]}${BASH_VERSINFO[1]}" -lt 44 ]; then
  echo "error: bash $BASH_VERSION is too old; this needs 4.4 or newer." >&2
  exit 12
fi

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
venv="$root/.venv"
python="$venv/bin/python"

say() { printf '%s\n' "== $*" >&2; }
die() {
  printf '%s\n' "error: $1" "hint: $2" >&2
  exit "${3:-12}"
}

# The oldest Python comes first: only for 3.11 are there wheels of the onnxruntime that the servers run.
usable_python() {
  "$1" -c 'import sys, venv; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' >/dev/null 2>&1
}

find_python() {
  local candidate
  if [ -n "${PYTHON:-}" ]; then
    usable_python "$PYTHON" || die "PYTHON=$PYTHON is no Python 3.11 to 3.13." "Name another one, or unset PYTHON."
    command -v "$PYTHON"
    return
  fi
  for candidate in python3.11 python3.12 python3.13 python3 python; do
    if usable_python "$candidate"; then
      command -v "$candidate"
      return
    fi
  done
  die "There is no Python 3.11, 3.12 or 3.13 on PATH." "Install one, or name it: PYTHON=/path/to/python $0"
}

# Make .venv where there is none, or where the one there is broken or of a Python that is too old or too new.
make_environment() {
  local found
  if usable_python "$python" && "$python" -m pip --version >/dev/null 2>&1; then
    return
  fi
  found=$(find_python) || exit
  say "Making .venv with $("$found" --version)"
  rm -rf "$venv"
  "$found" -m venv "$venv" || {
    rm -rf "$venv"
    die "$found can't make an environment." "On Debian and Ubuntu: install python3-venv. Or name another Python: PYTHON=..."
  }
}

# uv installs in seconds what takes pip minutes; it has to come from the lock like everything else.
have_uv() {
  [ -z "${RELEASE_TOOL_NO_UV:-}" ] || return 1
  if ! "$venv/bin/uv" --version >/dev/null 2>&1; then
    "$python" -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps --only-binary :all: \
      --requirement "$root/requirements/uv.txt" >&2 || return 1
  fi
}

# uv reads no pip.conf and brings its own certificates: hand it the index that the person's pip is set to, if there is
# one, and the certificates of the system.
uv_install() {
  local index
  index=$("$python" -m pip config get global.index-url 2>/dev/null) || index=${PIP_INDEX_URL:-}
  UV_DEFAULT_INDEX=${UV_DEFAULT_INDEX:-$index} UV_SYSTEM_CERTS=${UV_SYSTEM_CERTS:-true} \
    UV_HTTP_TIMEOUT=${UV_HTTP_TIMEOUT:-180} \
    "$venv/bin/uv" pip install --quiet --python "$python" "$@" >&2
}

# Some packages have no wheel and are built here, by the locked setuptools: a build of its own would fetch another one
# that no lock knows.
SOURCES_ONLY=(multi-key-dict)

install_locked() { # install_locked LOCK: the name of a file in requirements, such as test
  local started=$SECONDS lock="$root/requirements/$1.txt" name
  local apart=() whole=()
  for name in "${SOURCES_ONLY[@]}"; do
    if grep -q "^$name==" "$lock"; then
      install_locked build
      apart+=(--no-build-isolation-package "$name")
      whole=(--no-build-isolation)
    fi
  done
  say "Installing requirements/$1.txt"
  if have_uv && uv_install --require-hashes "${apart[@]}" --requirement "$lock"; then
    :
  else
    say "uv is not to be had or gave up: pip does the same, in minutes"
    "$python" -m pip install --quiet --disable-pip-version-check --require-hashes "${whole[@]}" --requirement "$lock" >&2 ||
      die "requirements/$1.txt could not be installed." "See pip's words above; the network and the disk (6 GB) are the usual causes." 11
  fi
  say "requirements/$1.txt is in .venv ($((SECONDS - started)) s)"
}

# Build the wheel into a folder, from a copy of the sources: a build folder in the checkout would keep files that are
# deleted since. The time of the last commit stands in the zip, so that one commit gives one wheel.
build_wheel() { # build_wheel FOLDER
  local copy
  install_locked build
  copy=$(mktemp -d)
  (cd "$root" && tar -cf - --exclude=__pycache__ release_tool setup.cfg pyproject.toml README.md LICENSE) |
    tar -xf - -C "$copy"
  SOURCE_DATE_EPOCH=$(git -C "$root" log -1 --format=%ct 2>/dev/null || echo 1767225600) \
    "$python" -m pip wheel --quiet --disable-pip-version-check --no-build-isolation --no-deps --no-cache-dir \
    --wheel-dir "$1" "$copy" >&2 || { rm -rf "$copy"; die "The package does not build." "See the words above." 1; }
  rm -rf "$copy"
}

install_package() {
  local folder
  folder=$(mktemp -d)
  build_wheel "$folder"
  "$python" -m pip install --quiet --disable-pip-version-check --force-reinstall --no-deps --no-index \
    "$folder"/*.whl >&2 || { rm -rf "$folder"; die "The wheel does not install." "See the words above." 1; }
  rm -rf "$folder"
  say "Installed $("$venv/bin/release-tool" --version)"
}

# Programs without a wheel, which Go builds from the pinned version, checked by Go's own checksum database.
go_tool() { # go_tool PROGRAM MODULE VERSION [FOLDER]: where in the module it lies, by default /cmd/PROGRAM
  if go version -m "$venv/bin/$1" 2>/dev/null | grep -qE "^[[:space:]]mod[[:space:]]$2[[:space:]]$3([[:space:]]|\$)"; then
    return
  fi
  GOBIN="$venv/bin" go install "$2${4-/cmd/$1}@$3"
}

# What the real OpenSearch node needs, asked of the installed package so that there is one rule. Nothing is printed
# where everything is there; otherwise one line says what is missing.
node_missing() {
  "$python" -I - <<'PYTHON'
import os

from release_tool.errors import MachineError
from release_tool.services.jdk import find_jdk, find_maven
from release_tool.services.node_process import server_user

try:
    find_maven(os.environ)
    find_jdk(os.environ, for_others=server_user() is not None)
except MachineError as error:
    print(" ".join(str(error).split()))
PYTHON
}
