"""`python -m services.policy` is `gatepost run policy`."""

import sys

from services.policy.serve import serve
from services.runtime.host import main

sys.exit(main({"policy": serve}))
