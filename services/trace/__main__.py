"""`python -m services.trace` is `gatepost run trace`."""

import sys

from services.runtime.host import main
from services.trace.serve import serve

sys.exit(main({"trace": serve}))
