"""Tokens of the textual form of a graph."""

from __future__ import annotations

import re

from qcc.errors import TextError

NAME, STRING, NUMBER, DIGEST, PUNCTUATION, END = "name", "string", "number", "digest", "punctuation", "end"

# A bare name holds no `//`, which starts a comment, no `#`, which starts a version, and no space.
BARE_NAME = re.compile(r"[A-Za-z_@](?:[\w.@-]|/(?!/))*", re.ASCII)

_BLANK = re.compile(r"(?:\s+|//[^\n]*)*")
_TOKEN = re.compile(
    rf"""(?P<digest>sha256:[0-9a-f]+)
    |(?P<name>{BARE_NAME.pattern})
    |(?P<number>-?\d+(?:\.\d+)?(?:e[-+]?\d+)?[dL]?)
    |(?P<string>"(?:[^"\\\n]|\\.)*")
    |(?P<punctuation>[()\[\]{{}}<>=,:\#-])""",
    re.ASCII | re.VERBOSE,
)


class Lexer:
    """A cursor over a text: `kind` and `value` are those of the token under it.

    `starts_line` tells whether a line break stands before the token.
    """

    def __init__(self, text: str) -> None:
        self._text = text
        self._end = 0
        self.start = 0
        self.kind = END
        self.value = ""
        self.starts_line = True
        self.advance()
        self.starts_line = True

    def advance(self) -> None:
        """Step to the next token.  Raises TextError at a character that starts none."""
        text, previous_end = self._text, self._end
        blank = _BLANK.match(text, previous_end)
        self.start = blank.end() if blank else previous_end
        self.starts_line = "\n" in text[previous_end : self.start]
        self._previous_end = previous_end
        match = _TOKEN.match(text, self.start)
        if match is not None:
            self.kind, self.value, self._end = str(match.lastgroup), match.group(), match.end()
        elif self.start == len(text):
            self.kind, self.value, self._end = END, "", self.start
        elif text[self.start] == '"':
            raise self.error("a string that ends on its line", "one that does not", self.start)
        else:
            raise self.error("a name, a value or punctuation", repr(text[self.start]), self.start)

    def at(self, value: str) -> bool:
        """True when the token is this punctuation mark or word."""
        return self.value == value and self.kind in (PUNCTUATION, NAME)

    def take(self, value: str) -> bool:
        """Step over the token if it is this one."""
        if self.at(value):
            self.advance()
            return True
        return False

    def expect(self, value: str) -> None:
        if not self.take(value):
            raise self.unexpected(f"'{value}'")

    def expect_kind(self, kind: str, what: str) -> str:
        """The token's text, if it is of this kind."""
        if self.kind != kind:
            raise self.unexpected(what)
        value = self.value
        self.advance()
        return value

    def unexpected(self, expected: str) -> TextError:
        """The error that something else than the token under the cursor was expected here."""
        if self.kind == END:
            return self.error(expected, "the end of the text", self._previous_end)
        if self.starts_line and self._previous_end:
            return self.error(expected, "the end of the line", self._previous_end)
        return self.error(expected, f"'{self.value}'", self.start)

    def error(self, expected: str, found: str, offset: int) -> TextError:
        return self.wrong(f"expected {expected}, found {found}", offset)

    def wrong(self, what: str, offset: int) -> TextError:
        """An error at a place of the text."""
        line = self._text.count("\n", 0, offset) + 1
        column = offset - (self._text.rfind("\n", 0, offset) + 1) + 1
        return TextError(f"line {line}, column {column}: {what}.")
