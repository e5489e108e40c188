"""`python -m services.ingress` is `gatepost run ingress`."""

import sys

from services.ingress.serve import serve
from services.runtime.host import main

sys.exit(main({"ingress": serve}))
