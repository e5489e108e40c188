"""`python -m services.scanners` is `gatepost run scanners`."""

import sys

from services.runtime.host import main
from services.scanners.serve import serve

sys.exit(main({"scanners": serve}))
