"""Labelled texts become weights."""

import os

# Read by OpenMP when torch is loaded. By default its threads wait for each other in a busy loop, and as soon
# as anything else wants a core (the server, a browser) each waits for one that is not running: measured on
# two busy cores, the training was 5 to 11 times slower that way.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
