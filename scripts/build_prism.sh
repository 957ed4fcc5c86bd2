#!/usr/bin/env bash
# Builds Prism, Beam's portable runner, in the version that tests/beam/prism/go.mod pins, for tests in lane B.
#
#   scripts/build_prism.sh FILE      builds FILE, unless it is there; takes a minute the first time, and needs Go
#
# The program is static, so that one built on this host also runs in the Debian root of scripts/test_current.sh.
set -euo pipefail

target=$(realpath -m "$1")
[ ! -x "$target" ] || exit 0
mkdir -p "$(dirname "$target")"
cd "$(dirname "${BASH_SOURCE[0]}")/../tests/beam/prism"
CGO_ENABLED=0 go build -mod=readonly -o "$target.partial" github.com/apache/beam/sdks/v2/go/cmd/prism
mv "$target.partial" "$target"
