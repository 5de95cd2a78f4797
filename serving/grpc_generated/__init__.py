"""Generated from serving/inference.proto by serving/generate_grpc.sh; do not edit."""
