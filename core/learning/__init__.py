"""Labelled texts become weights."""

import os

# Read by OpenMP when torch is loaded. By default its threads wait for each other in a busy loop of
# milliseconds, and as soon as anything else wants a core (the server, a browser) each waits for one that is
# not running: a training took 5 to 11 times longer that way. Without any such loop a quiet machine loses a
# third of its speed, because waking a thread takes longer than the shortest operations. About 50 microseconds
# are as fast as the default on a quiet machine and as fast as no loop on a busy one.
os.environ.setdefault("GOMP_SPINCOUNT", "2000")
