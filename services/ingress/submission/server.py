"""The listening socket of submission: the MX's, with another door in it."""

from __future__ import annotations

from services.ingress.door import Door
from services.ingress.server import Ingress
from services.ingress.submission.config import SubmissionConfig
from services.ingress.submission.connection import SubmissionConnection
from services.ingress.submission.door import Submission
from services.ingress.submission.guards import SubmissionGuards


class SubmissionServer(Ingress):
    """What `app.run` starts and stops."""

    name = "submission"
    _config: SubmissionConfig
    _guards: SubmissionGuards
    _guarded = SubmissionGuards
    _connection = SubmissionConnection

    def _door(self) -> Door:
        return Submission(self._config, self._directory, self._guards)
