"""The backends, under the conformance kit and one by one."""
