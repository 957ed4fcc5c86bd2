#!/usr/bin/env bash
# Runs the tests in lane B (current Python and TFX), also on a host that is too old for it.
#
#   scripts/test_current.sh                  pytest -m "not long and not cluster and not by_test", in lane B
#   scripts/test_current.sh COMMAND ...      another command there, with lane B's programs first on PATH
#
# Where the host can run lane B, that happens right here. Elsewhere it happens in a Debian 13 root, which debootstrap
# builds once under the user's cache. The root is mounted read-only in private namespaces: nothing stays mounted
# and no process stays behind, not even after a `kill -9`. The tests run on a copy of the checkout, so they cannot
# change it, nor see it change.
set -euo pipefail

# shellcheck source=scripts/setup.sh
source "$(dirname "${BASH_SOURCE[0]}")/setup.sh"

PATH=$PATH:/usr/sbin:/sbin  # where debootstrap and chroot are, which other users do not have there

SUITE=trixie  # Debian 13: glibc 2.41, Python 3.13
PACKAGES=python3,python3-dev,python3-venv,g++,make,git,ca-certificates
DEFAULT_MIRROR=http://deb.debian.org/debian
root=$cache/debian-13-$(printf '%s %s' "$SUITE" "$PACKAGES" | sha256sum | cut -c 1-8)
lane_b_cache=$cache/lane-b  # uv's downloads and the environments; outlives the root
system_ca=/etc/ssl/certs/ca-certificates.crt

say() { printf 'test-current: %s\n' "$*" >&2; }
fail() { printf 'test-current failed: %s\n' "$*" >&2; exit 1; }

# contained [OPTION...] COMMAND...: runs a command in mount and process namespaces of its own, which end with this
# process, however it ends. unshare ignores SIGTERM and SIGINT, so they are turned into SIGKILL here; --pdeathsig covers
# the death of this shell, --kill-child passes it on to the first process inside, and the kernel to all others there.
contained() {
  local child status=0
  setpriv --pdeathsig KILL unshare --mount --pid --fork --kill-child "$@" <&0 &
  child=$!
  # shellcheck disable=SC2064  # the number of now is meant
  trap "kill -KILL $child 2>/dev/null || true; exit 130" INT TERM HUP
  wait "$child" || status=$?
  trap - INT TERM HUP
  return "$status"
}

# --- The Debian 13 root ---------------------------------------------------------------------------------------------

is_complete() { [ -f "$1/.finetune-complete" ]; }

# missing_rights USER_ID PROGRAM...: one line for each thing without which no root can be built or entered.
missing_rights() {
  local user=$1 program
  shift
  [ "$user" = 0 ] || printf 'root rights (got user id %s)\n' "$user"
  for program in "$@"; do
    command -v "$program" >/dev/null || printf 'the program %s\n' "$program"
  done
}

# need_rights REASON: stops with what to do where no root can be built or entered.
need_rights() {
  local missing
  if [ "$(id -u)" = 0 ] && ! is_complete "$root" && ! command -v debootstrap >/dev/null && command -v apt-get >/dev/null; then
    say 'installing debootstrap with apt-get'
    { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq debootstrap debian-archive-keyring; } >&2 ||
      say 'apt-get could not install debootstrap (see above)'
  fi
  if is_complete "$root"; then
    missing=$(missing_rights "$(id -u)" unshare setpriv mount chroot flock)
  else
    missing=$(missing_rights "$(id -u)" unshare setpriv mount chroot flock debootstrap)
  fi
  if [ -n "$missing" ]; then
    fail "lane B cannot run on this host directly ($1), and a Debian 13 root needs what is missing here:
$(printf '%s\n' "$missing" | sed 's/^/  - /')
Call it as root (sudo make test-current) with debootstrap and util-linux installed (Debian, Ubuntu: apt-get install debootstrap util-linux), or on a system with glibc >= $LANE_B_GLIBC and a Python 3.11 to 3.13, such as Debian 13 or Ubuntu 24.04."
  fi
  if ! unshare --mount --pid --fork --kill-child true 2>/dev/null; then
    fail "this process is root but may not make namespaces (unshare --mount --pid), as in a container without privileges. Run the container with --privileged, or use a container of Debian 13."
  fi
}

# The mirror that apt already uses for Debian, then Debian's own; the first that works is taken.
mirrors() {
  {
    printf '%s\n' "${FINETUNE_DEBIAN_MIRROR:-}"
    # shellcheck disable=SC2016  # the format is apt's
    apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 2>/dev/null | grep -E '^https?://.*/debian/?$' || true
    printf '%s\n' "$DEFAULT_MIRROR"
  } | sed 's#/$##' | awk 'NF && !seen[$0]++'
}

# build_root TARGET: builds beside it and renames at the end, so that TARGET is complete or not there.
build_root() {
  local target=$1 partial=$1.partial mirror script proxy
  script=/usr/share/debootstrap/scripts/$SUITE
  [ -e "$script" ] || script=/usr/share/debootstrap/scripts/sid  # a debootstrap older than the suite; they are alike
  eval "$(apt-config shell proxy Acquire::http::Proxy 2>/dev/null)"
  [ -z "${proxy:-}" ] || export http_proxy=${http_proxy:-$proxy}
  for mirror in $(mirrors); do
    say "building a Debian 13 root from $mirror (once; about 1 to 2 minutes, 150 MB to download, 0.6 GB on disk)"
    rm -rf --one-file-system "$partial" "$target"
    # debootstrap mounts /proc in the root; in a mount namespace of its own that cannot outlive it.
    if contained --mount-proc debootstrap --variant=minbase --include="$PACKAGES" \
      "$SUITE" "$partial" "$mirror" "$script" >"$target.log" 2>&1; then
      mkdir -p "$partial"/{src,real,cache}
      touch "$partial/etc/resolv.conf" "$partial/etc/hosts"
      rm -rf "$partial"/var/cache/apt/archives/*.deb
      touch "$partial/.finetune-complete"
      mv "$partial" "$target"
      return
    fi
    say "debootstrap failed with $mirror: $(tail -n 1 "$target.log")"
  done
  fail "no mirror gave a Debian 13 root; the last attempt is in $target.log. Set FINETUNE_DEBIAN_MIRROR to a Debian mirror that this host reaches."
}

# The name of Prism's program in the version that tests/beam/prism/go.mod pins.
prism_name() { sed -n 's#^.*github.com/apache/beam/sdks/v2 v\([0-9.]*\).*#prism-\1#p' "$checkout/tests/beam/prism/go.mod"; }

# --- Inside it ------------------------------------------------------------------------------------------------------

# copy_checkout FOLDER: what git tracks or would track; without git, everything but what this project generates.
copy_checkout() {
  local names
  names=$(mktemp)
  if git -C "$checkout" -c safe.directory='*' rev-parse --git-dir >/dev/null 2>&1; then
    (cd "$checkout" && git -c safe.directory='*' ls-files -z --cached --others --exclude-standard |
      while IFS= read -r -d '' name; do
        case $checkout/$name in "$cache"/*) continue ;; esac  # a cache inside the checkout holds the root itself
        if [ -e "$name" ] || [ -L "$name" ]; then printf '%s\0' "$name"; fi
      done) >"$names"
    tar -C "$checkout" --create --file - --null --no-recursion --files-from "$names" | tar -C "$1" --extract --no-same-owner --file -
  else
    tar -C "$checkout" --create --file - --exclude='./.venv*' --exclude='./runs' --exclude="./${cache#"$checkout/"}" . | tar -C "$1" --extract --no-same-owner --file -
  fi
  rm -f "$names"
}

# The variables that hold inside: those that name the network and the index, not those that name the host's folders.
passed_environment() {
  local name
  for name in http_proxy https_proxy no_proxy HTTP_PROXY HTTPS_PROXY NO_PROXY ALL_PROXY TERM CI \
    PIP_INDEX_URL PIP_EXTRA_INDEX_URL PIP_TRUSTED_HOST PIP_DEFAULT_TIMEOUT UV_DEFAULT_INDEX UV_INDEX UV_INDEX_URL \
    UV_EXTRA_INDEX_URL UV_HTTP_TIMEOUT UV_HTTP_RETRIES UV_INSECURE_HOST UV_NATIVE_TLS UV_SYSTEM_CERTS UV_OFFLINE PYTEST_ADDOPTS; do
    [ -z "${!name:-}" ] || printf '%s\n' "$name=${!name}"
  done
  if [ -z "${UV_DEFAULT_INDEX:-}" ] && [ -n "$index" ]; then printf '%s\n' "UV_DEFAULT_INDEX=$index"; fi
  if [ -n "${SSL_CERT_FILE:-}" ]; then
    printf '%s\n' "SSL_CERT_FILE=$system_ca" "REQUESTS_CA_BUNDLE=$system_ca" "CURL_CA_BUNDLE=$system_ca" "PIP_CERT=$system_ca"
  fi
}

# enter_root COMMAND...: the first process of fresh namespaces; whatever it mounts is seen by nobody else. It stays the
# first process while COMMAND runs, because that one has to reap what tests leave behind, which pytest would not.
enter_root() {
  local environment=() file ca
  mount --make-rprivate /
  mount --bind "$root" "$root"
  mount -t tmpfs tmpfs "$root/src"
  copy_checkout "$root/src"
  mount -t proc proc "$root/proc"
  mount --rbind /sys "$root/sys"
  mount --rbind /dev "$root/dev"
  mount -t tmpfs -o mode=1777 tmpfs "$root/dev/shm"
  mount -t tmpfs -o mode=1777 tmpfs "$root/tmp"
  mount -t tmpfs -o mode=1777 tmpfs "$root/var/tmp"
  mount -t tmpfs tmpfs "$root/run"
  mount --bind "$lane_b_cache" "$root/cache"
  ca=${SSL_CERT_FILE:-$system_ca}
  for file in /etc/resolv.conf /etc/hosts; do
    [ ! -e "$file" ] || mount --bind "$(readlink -f "$file")" "$root$file"
  done
  [ ! -e "$ca" ] || mount --bind "$(readlink -f "$ca")" "$root$system_ca"
  mapfile -t environment < <(passed_environment)
  if [ -d "$real_data" ]; then
    mount --bind "$real_data" "$root/real"
    mount -o remount,bind,ro "$root/real"
    environment+=(FINETUNE_REAL_DATA=/real)
  fi
  mkdir "$root/tmp/home"
  mount -o remount,bind,ro "$root"

  # One environment for each checkout; in there the checkout is always /src.
  env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/tmp/home LANG=C.UTF-8 \
    XDG_CACHE_HOME=/cache UV_CACHE_DIR=/cache/uv FINETUNE_LANE=B FINETUNE_APT=no \
    FINETUNE_VENV="/cache/env-$(printf '%s' "$checkout" | sha256sum | cut -c 1-12)" "${environment[@]}" \
    chroot "$root" bash -c 'cd /src && scripts/setup.sh && PATH=$FINETUNE_VENV/bin:$PATH && exec "$@"' command "$@"
}

main() {
  local choice venv
  if [ "${1:-}" = --inside ]; then
    shift
    enter_root "$@"
    return
  fi
  # `python -m`, because that also puts the checkout on the import path.
  [ $# -gt 0 ] || set -- python -m pytest -n logical --maxprocesses 4 --dist loadfile --no-loadscope-reorder -m 'not long and not cluster and not by_test'

  choice=$(FINETUNE_LANE='' "$checkout/scripts/setup.sh" --choose) || true
  if [ "${choice%%$'\t'*}" = B ]; then
    say 'this host runs lane B directly'
    cd "$checkout"
    # Where FINETUNE_LANE=A keeps .venv in lane A, lane B gets a folder of its own.
    venv=${FINETUNE_VENV:-.venv}
    if [ "${FINETUNE_LANE:-}" = A ]; then
      venv=.venv-lane-b
      export FINETUNE_LANE=B
    fi
    case $venv in /*) ;; *) venv=$checkout/$venv ;; esac
    FINETUNE_VENV=$venv scripts/setup.sh
    PATH=$venv/bin:$PATH exec "$@"
  fi

  need_rights "${choice##*$'\t'}"
  mkdir -p "$lane_b_cache"
  if ! is_complete "$root"; then
    exec 8>"$root.lock"
    flock --nonblock 8 || { say 'another process is building the root; waiting for it'; flock 8; }
    is_complete "$root" || build_root "$root"
    exec 8>&-
  fi
  # Debian 13 has no Go of the version that Prism wants; its program, which is static, comes from here.
  if command -v go >/dev/null; then
    "$checkout/scripts/build_prism.sh" "$lane_b_cache/finetune-pipeline/$(prism_name)" || say 'Prism could not be built'
  fi
  say "running in the Debian 13 root $root"
  real_data=${FINETUNE_REAL_DATA:-$checkout/../shared/real}
  index=$(package_index)
  export real_data index
  contained "$checkout/scripts/test_current.sh" --inside "$@"
}

if [ "${BASH_SOURCE[0]}" = "$0" ]; then
  main "$@"
fi
