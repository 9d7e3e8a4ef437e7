"""`python -m kgedit` is the command line."""

from __future__ import annotations

from kgedit.cli import main

if __name__ == "__main__":
    main()
