"""The data that is measured on: files, functions, and how images are prepared."""
