"""Real servers that tests start: on free ports of this machine, gone when the tests are done."""
