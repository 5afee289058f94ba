"""``python -m causalkit``: the command line."""

from causalkit.cli import main

main()
