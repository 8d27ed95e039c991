#!/bin/sh
# Compares the contracts with the state of the main branch before the present work. Says so where there is nothing to compare with.
set -eu
buf="${BUF:-buf}"
base=$(git rev-parse --verify --quiet 'HEAD~1^{commit}' || true)
main=$(git rev-parse --verify --quiet 'origin/main^{commit}' || true)
if [ -n "$main" ]; then
  fork=$(git merge-base HEAD "$main" || true)
  # On a branch: everything since it left main. On main itself: the last commit.
  [ -z "$fork" ] || [ "$fork" = "$(git rev-parse HEAD)" ] || base="$fork"
fi
if [ -z "$base" ] || ! git cat-file -e "$base:protos/emafusion" 2>/dev/null; then
  echo "no earlier contracts to compare with"
  exit 0
fi
earlier=$(mktemp -d)
trap 'rm -rf "$earlier"' EXIT
git archive "$base" buf.yaml protos | tar -x -C "$earlier"
"$buf" breaking --against "$earlier"
echo "compatible with $(git rev-parse --short "$base")"
