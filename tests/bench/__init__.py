"""Measurements beside podman and beside the bare OCI runtime. Run by scripts/bench."""
