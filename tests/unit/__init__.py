"""Fast tests: no root, no real container."""
