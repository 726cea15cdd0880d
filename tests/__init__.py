"""Tests: unit (fast, no root), host (real runtimes, root), bench; fakes shared by them."""
