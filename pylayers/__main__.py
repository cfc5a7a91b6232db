"""``python -m pylayers`` is the command ``pylayers``."""

from __future__ import annotations

from pylayers.cli import app

if __name__ == "__main__":
    app(prog_name="pylayers")
