#!/usr/bin/env bash
# Makes the environment this checkout needs, or finds in a moment that it is there already.
#
#   scripts/setup.sh            choose a lane and an interpreter, fetch uv if need be, install what uv.lock names
#   scripts/setup.sh --choose   only print the choice: LANE, interpreter and reason, separated by tabs
#
#   lane A  Python 3.10          any Linux x86-64 with glibc >= 2.17
#   lane B  Python 3.11 to 3.13  glibc >= 2.39
#
# docs/toolchain.md describes the environment variables (FINETUNE_LANE, FINETUNE_PYTHON, FINETUNE_VENV, ...).
# Tests source this file and call its functions, so nothing runs on `source`.
set -euo pipefail

LANE_B_GLIBC=2.39     # ml-metadata 1.21 and TFDV 1.21 are tagged manylinux_2_39
UV_VERSION=0.13.9     # fetched when PATH has no uv
UV_OLDEST=0.5.0       # the oldest uv on PATH that is used: it knows dependency groups and this lock's format
checkout=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
cache=${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/finetune-pipeline

say() { printf 'set-up: %s\n' "$*" >&2; }
fail() { printf 'set-up failed: %s\n' "$*" >&2; exit 1; }

# at_least VERSION MINIMUM: compares dotted numbers.
at_least() { [ "$(printf '%s\n%s\n' "$2" "$1" | sort -V | head -n 1)" = "$2" ]; }

# --- What the machine has -------------------------------------------------------------------------------------------

glibc_version() {
  local answer
  answer=$(getconf GNU_LIBC_VERSION 2>/dev/null) || answer=
  printf '%s\n' "${answer#glibc }"
}

# Every place where an interpreter may be. A name is no proof: a pyenv shim exists for versions that are not selected.
python_paths() {
  local name folder
  for name in python3.13 python3.12 python3.11 python3.10 python3 python; do
    type -aP "$name" || true
  done
  for folder in \
    "${PYENV_ROOT:-${HOME:-/root}/.pyenv}"/versions/*/bin \
    "${UV_PYTHON_INSTALL_DIR:-${XDG_DATA_HOME:-${HOME:-/root}/.local/share}/uv/python}"/cpython-3.*/bin \
    /usr/bin /usr/local/bin; do
    for name in python3.13 python3.12 python3.11 python3.10; do
      [ ! -x "$folder/$name" ] || printf '%s\n' "$folder/$name"
    done
  done
}

# Prints "VERSION HEADERS PATH" of one interpreter, with the path behind shims and virtual environments; nothing if it
# does not run or is not an ordinary 64-bit x86 CPython. HEADERS is yes when extension modules can be compiled for it.
describe_python() {
  timeout 20 "$1" -I -c '
import os, platform, sys, sysconfig
usable = (platform.python_implementation() == "CPython" and platform.machine() == "x86_64" and sys.maxsize > 2**32
          and not sysconfig.get_config_var("Py_GIL_DISABLED"))
if usable:
    headers = os.path.exists(os.path.join(sysconfig.get_paths()["include"], "Python.h"))
    path = sys.executable
    if sys.prefix != sys.base_prefix:
        path = os.path.join(sys.base_prefix, "bin", "python%d.%d" % sys.version_info[:2])
    print(platform.python_version(), "yes" if headers else "no", os.path.realpath(path))
' 2>/dev/null || true
}

find_pythons() {
  local path
  if [ -n "${FINETUNE_PYTHON:-}" ]; then
    describe_python "$FINETUNE_PYTHON"
    return
  fi
  python_paths | awk '!seen[$0]++' | while IFS= read -r path; do
    describe_python "$path"
  done | awk '!seen[$0]++'
}

# --- The decision: depends on its arguments and its input only ------------------------------------------------------

# choose GLIBC WANTED: reads "VERSION HEADERS PATH" lines and prints LANE, interpreter and reason, separated by tabs.
# WANTED is A, B or empty. The interpreter is `uv` where uv has to provide a Python 3.10. Status 1: no lane fits, and
# the only output is why.
choose() {
  local glibc=$1 wanted=$2 version path new_python='' old_python='' reason
  # One that can compile extension modules first, then the newest; --stable keeps PATH's order among equals.
  while read -r version _ path; do
    case $version in
      3.11.* | 3.12.* | 3.13.*) new_python=${new_python:-$version $path} ;;
      3.10.*) old_python=${old_python:-$version $path} ;;
    esac
  done < <(sort --stable -k2,2r -k1,1rV)

  case $wanted in '' | A | B) ;; *)
    printf "FINETUNE_LANE: got '%s'; expected A, B, or nothing to let the set-up choose.\n" "$wanted"
    return 1 ;;
  esac
  if [ -z "$glibc" ]; then
    printf 'this system has no glibc (musl, as on Alpine?); TensorFlow and TFX come as glibc builds only. Use a Debian, Ubuntu, Fedora, ... system or image.\n'
    return 1
  fi
  if ! at_least "$glibc" "$LANE_B_GLIBC"; then
    reason="glibc $glibc is older than $LANE_B_GLIBC, which lane B needs"
  elif [ -z "$new_python" ]; then
    reason="glibc $glibc would do for lane B, but there is no Python 3.11 to 3.13"
  elif [ "$wanted" != A ]; then
    printf 'B\t%s\t%s\n' "${new_python#* }" "Python ${new_python%% *} and glibc $glibc >= $LANE_B_GLIBC"
    return
  fi

  if [ "$wanted" = B ]; then
    printf 'lane B was asked for (FINETUNE_LANE=B), but %s. Unset FINETUNE_LANE to use lane A, or run the tests in lane B with `make test-current`.\n' "$reason"
    return 1
  fi
  [ "$wanted" != A ] || reason='asked for by FINETUNE_LANE=A'
  if [ -n "$old_python" ]; then
    printf 'A\t%s\t%s\n' "${old_python#* }" "Python ${old_python%% *}; $reason"
  else
    printf 'A\tuv\t%s\n' "Python 3.10 through uv, as there is none on PATH or in pyenv; $reason"
  fi
}

# --- uv -------------------------------------------------------------------------------------------------------------

# The package index that pip or uv was told to use; empty for PyPI.
package_index() {
  local url=${UV_DEFAULT_INDEX:-${UV_INDEX_URL:-${PIP_INDEX_URL:-}}} python
  if [ -z "$url" ]; then
    python=$(running_python)
    url=$("$python" -m pip config get global.index-url 2>/dev/null) || url=
  fi
  url=${url#*=}  # UV_DEFAULT_INDEX may be NAME=URL
  case $url in https://pypi.org/simple | https://pypi.org/simple/) url= ;; esac
  printf '%s\n' "$url"
}

# A Python of any recent version that runs, to fetch uv with.
running_python() {
  local path
  while IFS= read -r path; do
    if timeout 20 "$path" -I -c 'import sys; sys.exit(sys.version_info < (3, 8))' 2>/dev/null; then
      printf '%s\n' "$path"
      return
    fi
  done < <(type -aP python3 || true; python_paths)
  fail 'found no Python 3.8 or newer that runs; one is needed to fetch uv. Install Python 3 (Debian: apt-get install python3).'
}

# Prints the path of a uv that runs, fetching one into the user's cache when PATH has none.
get_uv() {
  local path own="$cache/uv-$UV_VERSION" python partial
  while IFS= read -r path; do
    if at_least "$("$path" --version 2>/dev/null | awk '{print $2}')" "$UV_OLDEST"; then
      printf '%s\n' "$path"
      return
    fi
  done < <(type -aP uv || true)

  if ! "$own/bin/uv" --version >/dev/null 2>&1; then
    python=$(running_python)
    say "fetching uv $UV_VERSION (about 20 MB) into $own"
    mkdir -p "$cache"
    partial=$(mktemp -d "$cache/uv.partial.XXXXXX")
    # pip knows the user's index, proxy and credentials from its own files; a bare Debian Python has no pip.
    if "$python" -m pip --version >/dev/null 2>&1; then
      PIP_ROOT_USER_ACTION=ignore PIP_USER=0 PIP_REQUIRE_VIRTUALENV=0 "$python" -m pip install --quiet --disable-pip-version-check \
        --no-deps --only-binary :all: --target "$partial" "uv==$UV_VERSION" >&2 ||
        fail "pip could not install uv $UV_VERSION (see above). Check the network and the index, or put uv >= $UV_OLDEST on PATH."
    else
      "$python" "$checkout/scripts/fetch_uv.py" "$UV_VERSION" "$partial/bin" >&2 ||
        fail "could not fetch uv $UV_VERSION (see above). Check the network and the index, or put uv >= $UV_OLDEST on PATH."
    fi
    rm -rf "$own"
    mv "$partial" "$own"
  fi
  printf '%s\n' "$own/bin/uv"
}

# --- The environment ------------------------------------------------------------------------------------------------

# Everything that decides what is in the environment. The list of packages is in it because an editable install knows
# only the top-level packages of the day it was made; the checkout's path because scripts in the environment hold it.
environment_key() {
  {
    cat "$checkout/uv.lock" "$checkout/pyproject.toml" "$checkout/scripts/setup.sh"
    (cd "$checkout" && printf '%s\n' */__init__.py)
    printf '%s\n' "$checkout" "$(glibc_version)" "${FINETUNE_LANE:-}" "${FINETUNE_PYTHON:-}"
  } | sha256sum | cut -d ' ' -f 1
}

# is_ready VENV KEY: true when a finished set-up with this key left the environment there and its Python still runs.
is_ready() {
  [ -f "$1/.finetune-stamp" ] && [ "$(head -n 1 "$1/.finetune-stamp")" = "$2" ] &&
    "$1/bin/python" -I -S -c '' 2>/dev/null
}

# discard_unusable VENV INTERPRETER: removes what a sync could not repair in place: an environment of another or a
# removed interpreter, and one whose installation was cut short, where any package may be half there.
discard_unusable() {
  local venv=$1 interpreter=$2 home why=
  [ -e "$venv" ] || return 0
  home=$(sed -n 's/^home *= *//p' "$venv/pyvenv.cfg" 2>/dev/null) || home=
  if [ -z "$home" ] && [ -n "$(ls -A "$venv")" ] && [ ! -e "$venv.syncing" ]; then
    fail "$venv: expected a virtual environment or nothing there, found neither. Move it away, or set FINETUNE_VENV to another folder."
  elif [ -e "$venv.syncing" ]; then why='its installation was interrupted'
  elif ! "$venv/bin/python" -I -S -c '' 2>/dev/null; then why='its Python does not run any more'
  elif [ ! "$("$venv/bin/python" -I -c 'import sys, os; print(os.path.realpath(sys.executable))')" -ef "$interpreter" ]; then
    why="it was made with another Python ($home)"
  fi
  [ -n "$why" ] || return 0
  say "rebuilding $venv: $why"
  rm -rf "$venv"
}

# Both lanes compile two small packages (pyfarmhash, crcmod), which come as source only.
need_compiler() {
  local interpreter=$1 missing=() packages
  command -v g++ >/dev/null || command -v c++ >/dev/null || command -v "${CXX:-g++}" >/dev/null || missing+=(g++)
  [ "$(describe_python "$interpreter" | cut -d ' ' -f 2)" = yes ] || missing+=("$(basename "$(readlink -f "$interpreter")")-dev")
  [ ${#missing[@]} -gt 0 ] || return 0
  packages="${missing[*]}"
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null && [ "${FINETUNE_APT:-yes}" = yes ]; then
    say "two packages are compiled, for which $packages is missing: installing it with apt-get (FINETUNE_APT=no forbids this)"
    if { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}"; } >&2; then
      return
    fi
  fi
  fail "pyfarmhash and crcmod are compiled during installation, which needs a C++ compiler and the headers of $interpreter; missing: $packages. Install them (Debian, Ubuntu: apt-get install $packages)."
}

# install_locked UV INTERPRETER VENV: installs exactly what uv.lock names, and this project as an editable package.
install_locked() {
  local uv=$1 interpreter=$2 venv=$3 index
  export UV_PROJECT_ENVIRONMENT=$venv VIRTUAL_ENV=$venv UV_PYTHON_DOWNLOADS=never
  # Else the first run does it, module by module on one core.
  export UV_COMPILE_BYTECODE=1
  index=$(package_index)
  if [ -z "$index" ]; then
    # --reinstall-package: see environment_key on the list of packages.
    "$uv" sync --frozen --reinstall-package finetune-pipeline --python "$interpreter"
  else
    # The lock holds PyPI's own file addresses, which `uv sync` would use whatever the index; names, versions and
    # digests are the same on a mirror.
    say "installing from the index $(printf '%s' "$index" | sed 's#//[^/@]*@#//...@#')"
    export UV_DEFAULT_INDEX=$index
    { [ -e "$venv/pyvenv.cfg" ] || "$uv" venv --quiet --python "$interpreter" "$venv"; } &&
      "$uv" export --quiet --frozen --no-emit-project --output-file "$venv/.finetune-requirements.txt" >/dev/null &&
      "$uv" pip sync --require-hashes --python "$venv/bin/python" "$venv/.finetune-requirements.txt" &&
      "$uv" pip install --no-deps --python "$venv/bin/python" --editable .
  fi
}

main() {
  local venv=${FINETUNE_VENV:-.venv} key choice lane interpreter reason uv size
  cd "$checkout"
  case $venv in /*) ;; *) venv=$checkout/$venv ;; esac

  if [ "${1:-}" = --choose ]; then
    find_pythons | choose "$(glibc_version)" "${FINETUNE_LANE:-}"
    return
  elif [ $# -gt 0 ]; then
    fail "got '$1'; expected no argument, or --choose."
  fi

  key=$(environment_key)
  if is_ready "$venv" "$key"; then
    say "$(sed -n 2p "$venv/.finetune-stamp"); ready"
    return
  fi

  [ "$(uname -sm)" = 'Linux x86_64' ] ||
    fail "this is $(uname -sm); TFX is published for Linux x86_64 only. Use such a machine, or a linux/amd64 container."
  [ -z "${FINETUNE_PYTHON:-}" ] || [ -n "$(describe_python "$FINETUNE_PYTHON")" ] ||
    fail "FINETUNE_PYTHON: got '$FINETUNE_PYTHON', which does not run as a 64-bit CPython. Give the path of a Python 3.10 to 3.13."

  # One set-up at a time; the lock goes when this process and those it started are gone.
  mkdir -p "$(dirname "$venv")"
  if command -v flock >/dev/null; then
    exec 9>"$venv.lock"
    if ! flock --nonblock 9; then
      say "another set-up of $venv is at work; waiting for it"
      flock 9
      if is_ready "$venv" "$key"; then say "$(sed -n 2p "$venv/.finetune-stamp"); ready"; return; fi
    fi
  fi

  choice=$(find_pythons | choose "$(glibc_version)" "${FINETUNE_LANE:-}") || fail "$choice"
  IFS=$'\t' read -r lane interpreter reason <<<"$choice"
  uv=$(get_uv)
  if [ "$interpreter" = uv ]; then
    { "$uv" python install 3.10 && interpreter=$("$uv" python find --no-project --managed-python 3.10); } ||
      fail "lane A needs a Python 3.10: none is on PATH or among pyenv's versions, and uv could not download one (see above). Install one (for instance: pyenv install 3.10), or give its path in FINETUNE_PYTHON."
  fi
  choice="lane $lane, $interpreter ($reason)"
  say "$choice"
  discard_unusable "$venv" "$interpreter"
  need_compiler "$interpreter"

  case $lane in A) size='250 packages, about 1.0 GB' ;; B) size='220 packages, about 0.9 GB' ;; esac
  say "installing $size to download the first time, 3 GB on disk, into $venv"
  touch "$venv.syncing"  # stays behind when this is interrupted
  rm -f "$venv/.finetune-stamp"
  install_locked "$uv" "$interpreter" "$venv" ||
    fail "the packages could not be installed (see above). Check the network and free disk space, then call it again: what was downloaded is kept."
  printf '%s\n%s\n' "$key" "$choice" >"$venv/.finetune-stamp"
  rm -f "$venv.syncing"
  say 'done'
}

if [ "${BASH_SOURCE[0]}" = "$0" ]; then
  main "$@"
fi
