#!/bin/sh
# Put Pumice and what it needs from the package index into packages/, for the Python of bookworm.
# Usage: prepare.sh [WHEEL]
set -eu
cd "$(dirname "$0")"
wheel=${1:-pumice}
rm -rf packages
"${PYTHON:-python3}" -m pip install --quiet --disable-pip-version-check --target packages --no-compile \
    --only-binary :all: --python-version 3.11 --implementation cp \
    --platform manylinux_2_17_x86_64 --platform manylinux_2_28_x86_64 --platform manylinux_2_34_x86_64 "$wheel"
