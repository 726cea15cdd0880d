"""The kernel interfaces that Python lacks, behind a Protocol so that tests can record instead of do."""
