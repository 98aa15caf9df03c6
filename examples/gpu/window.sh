#!/bin/bash
# One window on a machine that is lent for a while: go on with packed stages, and leave in few, small files what came of it.
#
# usage, in the repository: bash examples/gpu/window.sh IN IMAGES OUT SECONDS [more words for lossatlas.stages.away]
#   IN       folder with part.* files: at first those that home.sh makes, later those of the last window
#   IMAGES   .tar.xz of the image folder (ARCHIVE/{train,test}/<class>/<file>), or the folder itself
#   OUT      folder for the new part.* files, 15 MiB each
#   SECONDS  after these the running stage puts its state away; the same command with IN = OUT goes on there
# Ends with 0 when nothing is missing, else with 1 and the names of what is.
set -euo pipefail
in=$1 images=$2 out=$3 seconds=$4
shift 4
work=${LOSSATLAS_WINDOW:-$(mktemp -d)}
mkdir -p "$work" "$out"
cat "$in"/part.* | tar -xf - -C "$work"
if [ -f "$images" ]; then
  mkdir -p "$work/images"
  tar -xJf "$images" -C "$work/images"
  images=$(find "$work/images" -mindepth 1 -maxdepth 1 -type d)
fi
code=0
PYTHONPATH=src python -m lossatlas.stages.away "$work/carried" --data "cifar10=$images" --budget "$seconds" "$@" || code=$?
# the old ones stay until the new ones are whole: a machine may be taken away while they are written
rm -rf "$out/new"
mkdir "$out/new"
tar -cf - -C "$work" carried | split -b 15m - "$out/new/part."
sync "$out"/new/part.*
rm -f "$out"/part.*
mv "$out"/new/part.* "$out"
rmdir "$out/new"
du -sh "$out"
exit $code
