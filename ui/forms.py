"""A form's fields, counted while it comes: Gradio would keep in memory what is no file."""

from __future__ import annotations

from python_multipart.exceptions import MultipartParseError
from python_multipart.multipart import MultipartParser, parse_options_header


def boundary_of(kind: str) -> bytes | None:
    """What stands between a form's parts, from its `Content-Type`; None where it has none."""
    found: bytes | None = parse_options_header(kind.encode("latin-1"))[1].get(b"boundary")
    return found


class Fields:
    """Counts the bytes of a form's fields that Gradio would keep in memory: all that are no file.

    The form is read by the parser that Gradio reads it with, header by header as Gradio does.
    """

    def __init__(self, boundary: bytes) -> None:
        self.total = 0
        self.name = self.value = self.disposition = b""
        self.is_file = False
        self.parser: MultipartParser | None = MultipartParser(
            boundary,
            {
                "on_part_begin": self._begin,
                "on_header_field": self._field,
                "on_header_value": self._value,
                "on_header_end": self._header,
                "on_headers_finished": self._headers,
                "on_part_data": self._data,
            },
        )

    def read(self, part: bytes) -> None:
        """Counts what comes; of a damaged form nothing more, as Gradio stops there as well."""
        try:
            if self.parser is not None:
                self.parser.write(part)
        except MultipartParseError:
            self.parser = None

    def _begin(self) -> None:
        self.disposition, self.is_file = b"", False

    def _field(self, data: bytes, start: int, end: int) -> None:
        self.name += data[start:end]

    def _value(self, data: bytes, start: int, end: int) -> None:
        self.value += data[start:end]

    def _header(self) -> None:
        if self.name.lower() == b"content-disposition":
            self.disposition = self.value
        self.name = self.value = b""

    def _headers(self) -> None:
        self.is_file = b"filename" in parse_options_header(self.disposition)[1]

    def _data(self, data: bytes, start: int, end: int) -> None:
        if not self.is_file:
            self.total += end - start
