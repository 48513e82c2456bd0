"""What a command ends with: the one table.

| status | means |
|---|---|
| 0 | done; the answer is yes |
| 1 | the answer is no: blocked, failed, drifted, declined, refused by the engine |
| 2 | the command, an option or `pgdurable.toml` is wrong; nothing was done |
| 3 | the database cannot be reached, or it, its schema or our rights in it are not fit |
| 70 | a fault in pgdurable itself (EX_SOFTWARE of sysexits.h) |
| 130 | interrupted with Ctrl-C |

Errors of `pgdurable_core.errors` carry theirs as `exit_code`.
"""

from typing import Final

DONE: Final = 0
NO: Final = 1
USAGE: Final = 2
DATABASE: Final = 3
FAULT: Final = 70
INTERRUPTED: Final = 130
