"""The nouns that every layer shares.

Values only: frozen dataclasses, enums and error families. Nothing here does I/O, reads a clock or
imports another part of the project, so any layer may import any of it.
"""
