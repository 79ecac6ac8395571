"""indexed=True: what a new key writes grows with the number of keys."""
from kvcodec import Keyspace, Store
class Three:
    def __init__(self): self.d, self.written = {}, 0
    def get(self, k): return self.d.get(k)
    def set(self, k, v): self.written += len(v); self.d[k] = v
    def delete(self, k): self.d.pop(k, None)
kv = Three(); s = Store(Keyspace("p", int, indexed=True), kv)
for n in (500, 2000, 8000):
    while len(kv.d) < n: s.set(f"user{len(kv.d):07d}", 1)
    kv.written = 0
    for i in range(200): s.set(f"new{n}-{i:05d}", 1)
    print(n, kv.written // 200, "bytes per new key")            # right: flat
