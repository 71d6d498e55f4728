"""A whole program: start Python, do one job, write its losses as a line of JSON, end.

python -m cpu_speed.program LIBRARY JOB CALL '{"file": ..., "epochs": ...}'
"""

from __future__ import annotations

import json
import sys
from importlib import import_module


def main() -> None:
    """Do it."""
    library, job, call, spec = sys.argv[1:]
    module = import_module(f"cpu_speed.by_{library}")
    module.start()
    print(json.dumps(module.JOBS[job](**json.loads(spec)).calls[call]()))


if __name__ == "__main__":
    main()
