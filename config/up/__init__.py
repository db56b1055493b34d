"""`manage.py up`: plans the children, cleans up what a killed one left, starts, watches and stops them."""
