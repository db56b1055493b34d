#!/usr/bin/env python
"""The command line of Redrive: `manage.py up`, `work`, `drain`, `check` and Django's own commands."""

import os
import sys


def main() -> None:
    """Run the command named on the command line."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    from django.core.management import execute_from_command_line

    from config.environment import BadSetting

    try:
        execute_from_command_line(sys.argv)
    except BadSetting as error:  # a sentence for the operator, not a traceback
        sys.exit(f"Cannot read the setting {error}")


if __name__ == "__main__":
    main()
