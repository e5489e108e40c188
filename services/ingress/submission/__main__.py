"""`python -m services.ingress.submission` is `gatepost run submission`."""

import sys

from services.ingress.submission.serve import serve
from services.runtime.host import main

sys.exit(main({"submission": serve}))
