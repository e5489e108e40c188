"""`python -m services.console.users` is `gatepost run users`."""

import sys

from services.console.users.serve import serve
from services.runtime.host import main

sys.exit(main({"users": serve}))
