from __future__ import annotations

from qcc.cli.main import main

if __name__ == "__main__":
    main()
