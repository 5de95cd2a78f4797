#!/bin/sh
# Regenerate serving/grpc_generated from serving/inference.proto. Needs requirements-dev.txt; run it anywhere.
set -eu
cd "$(dirname "$0")"
python=${PYTHON:-../.venv/bin/python}
out=grpc_generated
mkdir -p "$out"
PATH="$(dirname "$python"):$PATH" "$python" -m grpc_tools.protoc --proto_path=. \
    --python_out="$out" --grpc_python_out="$out" --mypy_out="quiet:$out" --mypy_grpc_out="quiet:$out" inference.proto
# protoc writes an absolute import; inside a package it must be a relative one.
for file in inference_pb2_grpc.py inference_pb2_grpc.pyi; do
    sed 's/^import inference_pb2 as/from . import inference_pb2 as/' "$out/$file" > "$out/rewritten"
    mv "$out/rewritten" "$out/$file"
done
printf '"""Generated from serving/inference.proto by serving/generate_grpc.sh; do not edit."""\n' > "$out/__init__.py"
