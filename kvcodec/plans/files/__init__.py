"""How files are stored, and everything that is done to them, written once. No I/O, no clock.

    raw key                  the manifest; of a small file, with its content
    raw key !g GENERATION.N  chunk N of one put, sealed like any value of the keyspace
    raw key !t               the trace: generations whose chunks may be there

Every put has a generation of its own (64 random bits) and writes its chunks under new names, then
the manifest, by one set: readers see the old file or the new one, whole. What that leaves behind
is known by the trace, which is written before the first chunk and dropped after the last one is
removed. It costs one small set and one delete per file of several chunks, and is there because
many hosts cannot list: nothing else would find the chunks of a put that was killed.

Files that fit into the manifest cost one set, and no trace.

The names and forms are in layout.py, what is stored under them in traces.py, the rest is called
what it does: sources.py, writing.py, reading.py, removing.py.
"""
