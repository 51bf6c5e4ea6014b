"""`python -m vssl` is `vssl`."""

from vssl.cli.main import main

if __name__ == "__main__":  # loader workers import this module anew
    raise SystemExit(main())
