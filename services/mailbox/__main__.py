"""`python -m services.mailbox` is `gatepost run mailbox`."""

import sys

from services.mailbox.serve import serve
from services.runtime.host import main

sys.exit(main({"mailbox": serve}))
