"""Which seeds of a study a run does: all of them, or a part, so that machines share the study."""

from __future__ import annotations

import re

from prunekit.errors import InputError


def parse_seeds(text: str) -> int | range:
    """Read ``8``, eight seeds, or ``10:20``, the seeds 10 … 19. Raises InputError."""
    if re.fullmatch(r"-?\d+", text):
        return int(text)
    ends = re.fullmatch(r"(\d+):(\d+)", text)
    if ends is None:
        raise InputError(f"--seeds {text}: expected a number of members, or FIRST:END such as 10:20 (seeds 10 … 19)")
    return checked(range(int(ends[1]), int(ends[2])))


def checked(part: range) -> range:
    """Return ``part``. Raises InputError unless it names seeds one after the other, from 0 on."""
    if part.step != 1 or part.start < 0:
        raise InputError(f"--seeds {part}: expected seeds one after the other, from 0 on, such as range(10, 20)")
    if not part:
        raise InputError(f"--seeds {part.start}:{part.stop}: names no seed: END is the first seed that is left out")
    return part
