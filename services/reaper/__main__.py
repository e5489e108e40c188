"""`python -m services.reaper` is `gatepost run reaper`."""

import sys

from services.runtime.host import main
from services.reaper.serve import serve

sys.exit(main({"reaper": serve}))
