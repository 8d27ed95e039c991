"""`python -m emafusion_cli` is `emafusion`."""

from __future__ import annotations

from emafusion_cli.app import main

if __name__ == "__main__":
    main()
