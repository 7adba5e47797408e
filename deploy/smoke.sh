#!/usr/bin/env bash
# Brings a cluster of containers up from what this checkout builds, runs the main job against it, kills the container
# that owns the worker, shows that nothing was lost, and takes everything down.
#
# Needs Docker and docker-compose, and `kiln` built by cargo (KILN_BIN, or the debug build). Where the public base
# image cannot be pulled it imports one made by debootstrap.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=scripts/env.sh
source scripts/env.sh

kiln="${KILN_BIN:-$CARGO_TARGET_DIR/debug/kiln}"
[[ -x $kiln ]] || { say "$kiln is missing: cargo build -p kiln"; exit 1; }
public_base=debian:bookworm-slim
own_base="kiln-base:local"
export KILN_IMAGE=kiln:smoke COMPOSE_PROJECT_NAME=kiln-smoke
if command -v docker-compose > /dev/null; then compose_command=(docker-compose); else compose_command=(docker compose); fi
compose() { "${compose_command[@]}" -f deploy/docker-compose.yml "$@"; }

work=$(mktemp -d)
finish() {
  local code=$?
  if ((code != 0)); then
    say "the smoke test failed; the last words of the containers:"
    compose ps >&2 || true
    compose logs --no-color --tail 30 >&2 || true
  fi
  compose down --volumes --remove-orphans --timeout 2 > /dev/null 2>&1 || true
  docker image rm "$KILN_IMAGE" > /dev/null 2>&1 || true
  rm -rf "$work"
  exit "$code"
}
trap finish EXIT

as_root() {
  if [[ $EUID -eq 0 ]]; then "$@"; else sudo "$@"; fi
}

# Installs a Debian package whose command is missing.
need() {
  command -v "$1" > /dev/null && return
  as_root apt-get update -qq
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$1" > /dev/null
}

# Prints the base image: the public one where it can be had, else one from this machine's own Debian release, because
# the binary was linked against that release's libraries.
base_image() {
  local release rootfs
  if docker image inspect "$public_base" > /dev/null 2>&1 || timeout 30 docker pull -q "$public_base" > /dev/null 2>&1; then
    echo "$public_base"
    return
  fi
  if ! docker image inspect "$own_base" > /dev/null 2>&1; then
    release=$(sed -n 's/^VERSION_CODENAME=//p' /etc/os-release)
    rootfs="$KILN_CACHE/rootfs-$release.tar"
    if [[ ! -f $rootfs ]]; then
      say "no image can be pulled: making a base of Debian $release by debootstrap (once)"
      need debootstrap
      as_root debootstrap --variant=minbase --include=libstdc++6,ca-certificates "$release" "$work/rootfs" > "$work/log" ||
        { tail -n 20 "$work/log" >&2; return 1; }
      as_root rm -rf "$work"/rootfs/var/{cache/apt,lib/apt/lists} "$work"/rootfs/usr/share/{doc,man,locale}
      as_root tar -C "$work/rootfs" -cf "$rootfs.part" .
      as_root rm -rf "$work/rootfs"
      mv "$rootfs.part" "$rootfs"
    fi
    docker import "$rootfs" "$own_base" > /dev/null
  fi
  echo "$own_base"
}

# Waits until a command succeeds.
eventually() {
  local deadline=$((SECONDS + $1)) what=$2
  shift 2
  until "$@" > "$work/out" 2>&1; do
    if ((SECONDS >= deadline)); then
      say "$what: not in time; the last answer:"
      cat "$work/out" >&2
      return 1
    fi
    sleep 0.2
  done
}

all_shards_owned() {
  local status
  status=$("$kiln" cluster status -o json) || return 1
  echo "$status"
  jq -e '.shards > 0 and .shardsWithOwner == .shards' <<< "$status" > /dev/null
}

all_healthy() {
  local container
  for container in $(compose ps -q | grep .); do
    [[ $(docker inspect -f '{{if .State.Health}}{{.State.Health.Status}}{{else}}healthy{{end}}' "$container") == healthy ]] ||
      { docker inspect -f '{{.Name}} {{.State.Health.Status}}' "$container"; return 1; }
  done
}

need jq
base=$(base_image)
say "building the image on $base"
strip -o "$work/kiln" "$kiln"
DOCKER_BUILDKIT=0 docker build -q -f deploy/Dockerfile --build-arg RUNTIME="$base" --target prebuilt -t "$KILN_IMAGE" "$work" \
  > /dev/null 2> "$work/log" || { cat "$work/log" >&2; exit 1; }

say "starting 3 managers and 3 executors"
compose down --volumes --remove-orphans > /dev/null 2>&1 || true
compose up -d --no-build 2> "$work/log" || { cat "$work/log" >&2; exit 1; }
export KILN_ENDPOINT="127.0.0.1:7410,127.0.0.1:7420,127.0.0.1:7430"
eventually 90 "every shard has an owner" all_shards_owned
eventually 30 "every container is healthy" all_healthy

increment() { "$kiln" worker invoke counter/c1 'test:counter/api.{increment}' 5 -o json | jq .result; }

"$kiln" component add counter tests/guests/built/counter.wasm > /dev/null
first=$(increment)

shard=$("$kiln" worker get counter/c1 -o json | jq .shard)
owner=$("$kiln" cluster shards -o json | jq ".[] | select(.shard == $shard) | .owner")
address=$("$kiln" cluster nodes -o json | jq -r ".[] | select(.node == $owner) | .address")
container=${address%%:*}
say "counter/c1 answered $first; killing $container, which owns it"
docker kill "$(compose ps -q "$container")" > /dev/null

began=$(date +%s%N)
second=$(increment)
say "counter/c1 answered $second, $((($(date +%s%N) - began) / 1000000)) ms after the kill"
[[ $first == 5 && $second == 10 ]] || { say "expected 5 and 10"; exit 1; }

# Without its owner's container, then with it back: the count is the same.
docker start "$(compose ps -aq "$container" 2> /dev/null || compose ps -q "$container")" > /dev/null
eventually 60 "every shard has an owner again" all_shards_owned
last=$("$kiln" worker invoke counter/c1 'test:counter/api.{get}' -o json | jq .result)
[[ $last == 10 ]] || { say "expected 10 at the end, got $last"; exit 1; }
say "smoke test passed: nothing was lost, nothing counted twice"
