"""`python -m motet` is the `motet` command."""

from motet.cli.main import main

main()
