"""A directory service in memory, with faults on demand."""

from __future__ import annotations

import dataclasses

from services.console.users.directory import Asked
from services.core.asked import Answer, Entry, Question
from services.core.errors import DirectoryRefused, DirectoryUnavailable


@dataclasses.dataclass
class FakeDirectory(Asked):
    """`entries` by source, `passwords` by entry. `down` set: it doesn't answer; `refuses` set: it says why never."""

    entries: dict[str, list[Entry]] = dataclasses.field(default_factory=dict)
    passwords: dict[str, str] = dataclasses.field(default_factory=dict)
    down: bool = False
    refuses: str = ""
    asked: list[Question] = dataclasses.field(default_factory=list)

    async def ask(self, question: Question) -> Answer:
        """See Asked."""
        self.asked.append(question)
        if self.down:
            raise DirectoryUnavailable("down, by order of the test")
        if self.refuses:
            raise DirectoryRefused(self.refuses)
        for source, entries in self.entries.items():
            if question.source not in {"", source}:
                continue
            if not question.address:
                return Answer(entries=tuple(entries))
            for entry in entries:
                right = self.passwords.get(entry.id) == question.password and question.password
                if question.address in entry.addresses and right:
                    return Answer(entries=(entry,), source=source)
        return Answer()
