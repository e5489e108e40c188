"""`python -m services.policy` is `gatepost run policy`."""

import sys

from services.runtime.host import main
from services.policy.serve import serve

sys.exit(main({"policy": serve}))
