#!/usr/bin/env bash
# Runs the broker tests on Kafka in a container, so that the testcontainers path is exercised and not only written.
# Uses the engine that answers; else, as root on Debian, installs one and runs it here for the length of the tests, with
# its own socket and data folder. Uses Kafka's published image; else builds one of that name (build-kafka-image.sh).
#
# usage: test-docker.sh [PYTEST ARGUMENTS]
#   PYTHON                  the interpreter of the development environment (default .venv/bin/python)
#   TASKER_REQUIRE_DOCKER   1: fail where no engine can be prepared (default: say so and end well)
# The last line says whether the tests were run.
set -euo pipefail

cd "$(dirname "$0")/../.."
here=$PWD
export PYTHON=${PYTHON:-$here/.venv/bin/python}
version='from tasker_kafka.topics.brokers.jars import JarLock; print(JarLock.committed().kafka_version)'
image=apache/kafka:$("$PYTHON" -c "$version")
engine="the engine that was there" source="pulled"
work="" daemon=""

say() { echo "test-docker: $*"; }

clean_up() {
  if [ -n "$daemon" ]; then
    docker ps -aq | xargs -r docker rm -f >/dev/null 2>&1 || true
    kill "$daemon" 2>/dev/null || true
    for _ in $(seq 100); do kill -0 "$daemon" 2>/dev/null || break; sleep 0.1; done
    kill -9 "$daemon" 2>/dev/null || true
  fi
  [ -z "$work" ] || rm -rf --one-file-system "$work" || true
}
trap clean_up EXIT
trap 'exit 130' INT TERM

leave_out() {
  say "NOT RUN: $*"
  [ "${TASKER_REQUIRE_DOCKER:-0}" = 1 ] && exit 1
  exit 0
}

install_engine() {
  command -v dockerd >/dev/null && return
  command -v apt-get >/dev/null || leave_out "no container engine answers, and this is no Debian to install one on"
  [ "$(id -u)" = 0 ] || leave_out "no container engine answers, and only root may install one"
  say "installing an engine"
  { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends docker.io; } \
    >"$work/install.log" 2>&1 || leave_out "the engine could not be installed: $(tail -n 1 "$work/install.log")"
}

start_engine() {
  [ "$(id -u)" = 0 ] || leave_out "no container engine answers, and only root may start one"
  export DOCKER_HOST=unix://$work/docker.sock
  dockerd --host "$DOCKER_HOST" --data-root "$work/data" --exec-root "$work/exec" --pidfile "$work/pid" \
    >"$work/dockerd.log" 2>&1 &
  daemon=$!
  for _ in $(seq 300); do
    docker version >/dev/null 2>&1 && return
    kill -0 "$daemon" 2>/dev/null || break
    sleep 0.1
  done
  leave_out "the engine did not start: $(tail -n 3 "$work/dockerd.log" | tr '\n' ' ')"
}

if ! docker version >/dev/null 2>&1; then
  work=$(mktemp -d)
  engine="an engine of its own"
  install_engine
  start_engine
fi

if ! docker image inspect "$image" >/dev/null 2>&1 && ! timeout 300 docker pull -q "$image" >/dev/null 2>&1; then
  say "$image cannot be pulled here, building it"
  bash "$here/deploy/docker/build-kafka-image.sh" "$image" || leave_out "$image can neither be pulled nor built"
fi
if [ "$(docker image inspect -f '{{index .Config.Labels "tasker.built"}}' "$image")" = locally ]; then
  source="built locally"
  # Its helper that removes forgotten containers is an image too, and not to be had either.
  export TESTCONTAINERS_RYUK_DISABLED=true
fi

if [ $# = 0 ]; then
  # What tests the embedded broker itself needs no second run.
  set -- -m "(kafka or docker) and not slow and not campaign and not long" --ignore=tests/integration/test_embedded_broker.py tests/integration
  [ ! -d tests/contract ] || set -- "$@" tests/contract
fi
say "testing on $image ($source), $engine"
export TASKER_BROKER="" TASKER_TEST_BROKER=testcontainers
"$PYTHON" -m pytest "$@" || { say "RUN AND FAILED on $image ($source)"; exit 1; }
say "RUN on $image ($source), $engine"
