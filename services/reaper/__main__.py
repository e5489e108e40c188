"""`python -m services.reaper` is `gatepost run reaper`."""

import sys

from services.reaper.serve import serve
from services.runtime.host import main

sys.exit(main({"reaper": serve}))
