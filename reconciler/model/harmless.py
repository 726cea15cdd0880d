"""Text of others, made such that no terminal obeys it: what containers write, what stands in manifests, what registries
and probes answer. Pure."""

from __future__ import annotations

JOINERS = "\u200c\u200d"
"""Zero width non-joiner and joiner: Persian and emoji are written with them, and no terminal does anything for them."""

_OBEYED = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
"""Unicode's categories of what is not shown but obeyed: controls (C1 too), formats (changes of the writing direction,
tags), halves of surrogate pairs, separators of lines."""


def harmless(text: str) -> str:
    """One line with what a terminal would obey as visible escapes; a tab stays. So nobody's text moves the cursor, sets
    a title or the clipboard, or turns about what stands beside it."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or not _is_obeyed(c) else _escape(c) for c in text)


def _is_obeyed(char: str) -> bool:
    import unicodedata

    return char != "\t" and char not in JOINERS and unicodedata.category(char) in _OBEYED


def _escape(char: str) -> str:
    code = ord(char)
    if code < 0x20:
        return f"^{chr(code + 64)}"
    return "^?" if code == 0x7F else f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"
