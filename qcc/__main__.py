"""The program `qcc`."""

from __future__ import annotations

from qcc.starting import end_at_once, open_standard_streams


def main() -> None:
    """Run the command line and exit, as `qcc.cli.main` says."""
    end_at_once()
    open_standard_streams()
    from qcc.cli.main import main

    main()


if __name__ == "__main__":
    main()
