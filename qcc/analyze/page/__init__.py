"""The report as a page: one HTML file that needs nothing else, not even a network."""

from qcc.analyze.page.write import html, write_page

__all__ = ["html", "write_page"]
