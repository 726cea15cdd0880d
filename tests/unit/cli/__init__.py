"""The command line without an engine: naming, tables, logs, errors."""
