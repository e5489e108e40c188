"""`python -m services.directory` is `gatepost run directory`."""

import sys

from services.directory.serve import serve
from services.runtime.host import main

sys.exit(main({"directory": serve}))
