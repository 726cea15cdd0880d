"""A fuzzer of all that reads manifests: scripts/fuzz."""
