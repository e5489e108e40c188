"""`python -m services.console` is `gatepost run console`."""

import sys

from services.console.serve import serve
from services.runtime.host import main

sys.exit(main({"console": serve}))
