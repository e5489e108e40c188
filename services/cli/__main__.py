"""`python -m services.cli` is `gatepost`."""

from services.cli.main import main

main()
