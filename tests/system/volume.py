"""How much a test of the bad-input matrix does: a little in every run, all that the matrix asks for
with PORTCULLIS_TEST_BAR=1 in the environment."""
import os
import random
import resource
import time

FULL = os.environ.get("PORTCULLIS_TEST_BAR", "") == "1"


def volume(usual, bar):
    return bar if FULL else usual


def seeded():
    """A random stream that a failed run can be repeated with."""
    seed = int(os.environ.get("PCL_TEST_SEED", time.time()))
    print(f"PCL_TEST_SEED={seed}")
    return random.Random(seed)


def allow_descriptors(count):
    """This process, and what it starts from now on, may have so many."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < count:
        assert hard == resource.RLIM_INFINITY or hard >= count, f"{hard} descriptors at most"
        resource.setrlimit(resource.RLIMIT_NOFILE, (count, hard))
