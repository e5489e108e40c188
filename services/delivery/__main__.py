"""`python -m services.delivery` is `gatepost run delivery`."""

import sys

from services.delivery.serve import serve
from services.runtime.host import main

sys.exit(main({"delivery": serve}))
