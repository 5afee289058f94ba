"""``python -m causalkit``: the command line."""

from causalkit.cli import main

if __name__ == "__main__":
    main()
