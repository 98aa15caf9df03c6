#!/bin/bash
# At home between two windows: take in what the last one brought, and pack a group of stages for the next.
#
# usage, in the repository: bash examples/gpu/home.sh BROUGHT CARRIED OUT [GROUP ...]
#   BROUGHT  folder with the part.* files of the last window; one without any at the beginning
#   CARRIED  folder of packed stages, kept between windows
#   OUT      folder for the part.* files of the next window
#   GROUP    names in groups.txt beside this file; without one nothing is packed, and `dvc repro` can publish
set -euo pipefail
brought=$1 carried=$2 out=$3
shift 3
if compgen -G "$brought/part.*" >/dev/null; then
  mkdir -p "$carried"
  cat "$brought"/part.* | tar -xf - -C "$carried" --strip-components=1
  lossatlas adopt "$carried"
fi
[ $# -gt 0 ] || exit 0
stages=()
for group in "$@"; do
  line=$(grep "^$group: " "$(dirname "$0")/groups.txt") || { echo "home.sh: no group $group in groups.txt" >&2; exit 2; }
  read -ra more <<<"${line#*: }"
  stages+=("${more[@]}")
done
lossatlas pack "$carried" "${stages[@]}"
rm -f "$out"/part.*
mkdir -p "$out"
tar -cf - -C "$(dirname "$carried")" --transform "s,^$(basename "$carried"),carried," "$(basename "$carried")" |
  split -b 15m - "$out/part."
du -sh "$out"
