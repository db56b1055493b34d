"""One measurement in a process of its own: `python -m benchmarks.push.worker MODULE FUNCTION '{"url": …}'`.

Prints its figures as JSON on its last line.
"""

from __future__ import annotations

import importlib
import json
import sys


def main() -> None:
    module, function, arguments = sys.argv[1:]
    measure = getattr(importlib.import_module(f"benchmarks.push.{module}"), function)
    print(json.dumps(measure(**json.loads(arguments))), flush=True)


if __name__ == "__main__":
    main()
