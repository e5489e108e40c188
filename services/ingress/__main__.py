"""`python -m services.ingress` is `gatepost run ingress`."""

import sys

from services.runtime.host import main
from services.ingress.serve import serve

sys.exit(main({"ingress": serve}))
