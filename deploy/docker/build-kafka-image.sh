#!/usr/bin/env bash
# Builds an image named as Kafka's own, for machines that reach no image registry: the locked jars, the Java runtime of
# the `broker` extra, and from Debian only a C library and a shell. Takes about 3 s; needs no base image.
# The environment contract (KAFKA_*) is upstream's: the same class of the Kafka jar reads it.
# usage: build-kafka-image.sh IMAGE      PYTHON: the interpreter that has tasker-kafka[broker] (default python3)
set -euo pipefail

image=${1:?usage: build-kafka-image.sh IMAGE}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
chmod 755 "$work"
root=$work/root

mapfile -t files < <("${PYTHON:-python3}" -m tasker_kafka.topics.brokers fetch)
[ "${#files[@]}" -gt 1 ] || { echo "the jars of Kafka could not be had" >&2; exit 1; }
java_home=$(dirname "$(dirname "${files[0]}")")

mkdir -p "$work/debs" "$root"/{opt/kafka/{libs,config},etc/kafka/docker,mnt/shared/config,tmp,usr/bin}
# The merged layout that the packages expect.
mkdir -p "$root"/usr/{bin,lib,lib64,sbin}
for folder in bin lib lib64 sbin; do ln -s "usr/$folder" "$root/$folder"; done
cd "$work/debs"
apt-get download -qq libc6 busybox-static >/dev/null 2>&1 ||
  { apt-get update -qq >/dev/null 2>&1 && apt-get download -qq libc6 busybox-static >/dev/null; }
for package in "$work"/debs/*.deb; do
  dpkg-deb --fsys-tarfile "$package" | tar -x -C "$root" --keep-directory-symlink
done
for name in sh cat cp mkdir mktemp rm sleep test; do ln -sf busybox "$root/usr/bin/$name"; done
cp -a "$java_home" "$root/opt/java"
cp "${files[@]:1}" "$root/opt/kafka/libs/"
for name in server.properties log4j2.yaml tools-log4j2.yaml; do : >"$root/etc/kafka/docker/$name"; done

cat >"$root/etc/kafka/docker/run" <<'RUN'
#!/bin/sh
set -e
export CLUSTER_ID="${CLUSTER_ID:-5L6g3nShT-eMCtK--X86sw}"
flags="-XX:+UseSerialGC -XX:TieredStopAtLevel=1 -Xmx384m -Dorg.slf4j.simpleLogger.defaultLogLevel=warn"
java="/opt/java/bin/java $flags -cp /opt/kafka/libs/*"
set -f # the star is for java
$java kafka.docker.KafkaDockerWrapper setup -D /etc/kafka/docker -M /mnt/shared/config -F /opt/kafka/config
exec $java kafka.Kafka /opt/kafka/config/server.properties
RUN
chmod 755 "$root/etc/kafka/docker/run"

tar -c --numeric-owner --owner=0 --group=0 -C "$root" . | docker import \
  -c 'CMD ["/etc/kafka/docker/run"]' -c 'ENV PATH=/usr/bin' -c 'EXPOSE 9092' -c 'LABEL tasker.built=locally' \
  - "$image" >/dev/null
