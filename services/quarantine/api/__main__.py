"""`python -m services.quarantine.api` is `gatepost run api`."""

import sys

from services.quarantine.api.serve import serve
from services.runtime.host import main

sys.exit(main({"api": serve}))
