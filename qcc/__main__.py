"""The program `qcc`."""

from __future__ import annotations

from qcc.interrupts import starting


def main() -> None:
    """Run the command line and exit, as `qcc.cli.main` says."""
    starting()
    from qcc.cli.main import main

    main()


if __name__ == "__main__":
    main()
