#!/usr/bin/env bash
# The browser that opens the report and one real dataset come from Debian. Installs them where that is possible (root on a
# Debian machine); elsewhere the tests that need them say so and are skipped.
set -euo pipefail
missing=()
command -v chromium > /dev/null || missing+=(chromium)
dpkg -s dataset-fashion-mnist > /dev/null 2>&1 || missing+=(dataset-fashion-mnist)
[ ${#missing[@]} -gt 0 ] || exit 0
if [ "$(id -u)" != 0 ] || ! command -v apt-get > /dev/null; then
  echo "not installed: ${missing[*]} (tests that need them are skipped)"
  exit 0
fi
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
apt-get install -y -qq --no-install-recommends "${missing[@]}" > /dev/null
