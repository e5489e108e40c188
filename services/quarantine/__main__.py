"""`python -m services.quarantine` is `gatepost run quarantine`."""

import sys

from services.quarantine.serve import serve
from services.runtime.host import main

sys.exit(main({"quarantine": serve}))
