"""`python -m services.signals` is `gatepost run signals`."""

import sys

from services.runtime.host import main
from services.signals.serve import serve

sys.exit(main({"signals": serve}))
