"""Log: a writer that comes late leaves a piece behind that clear does not find, and nothing removes."""
from kvcodec import Keyspace, Log, MemoryKV
SPACE = Keyspace("history", str)
class Late(MemoryKV):
    armed = False
    def set_if_absent(self, key, value, ttl, /):
        if self.armed and "!" in key:
            self.armed = False
            for n in range(2000): Log(SPACE, self).append("ada", f"other {n} " + "x" * 100)
        return super().set_if_absent(key, value, ttl)
kv = Late(); log = Log(SPACE, kv)
for n in range(7): log.append("ada", "y" * 100)
kv.armed = True
for n in range(20): log.append("ada", "y" * 100)
log.delete("ada"); print("left after delete:", list(kv.scan_keys("")))     # right: []
