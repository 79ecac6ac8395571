"""A Store opened on the keyspace of a Log or of Files reaches into what it does not own."""
from kvcodec import Files, Keyspace, Log, Store
H, U, kv = Keyspace("h", str), Keyspace("u", bytes), {}
log = Log(H, kv); log.extend("ada", [f"secret {i}" * 50 for i in range(300)])
Store(H, kv).delete("ada"); log.delete("ada")
print("left behind by delete and clear:", len(kv), "values, readable:", any(b"secret" in v for v in kv.values()))
files = Files(U, kv); files.put("a", b"x" * 5); print("a file's manifest read as a value:", Store(U, kv).get("a"))
# right: a keyspace is opened as one shape; the Store is refused with what to use instead, and a log's own delete leaves nothing
