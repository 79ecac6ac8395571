"""Subjects: after a rotation of the ring, an old ring key with an old dump opens what is written from then on."""
from kvcodec import KeyRing, Keyspace, Store, Subjects
old, new = KeyRing.generate_key(), KeyRing.generate_key()
keys = lambda ring: Keyspace("subject-keys", bytes, cipher=ring)
tokens = lambda ring: Keyspace("tokens", str, cipher=ring)
kv = {}; Subjects(keys(KeyRing(old)), kv).add("ada"); dump = dict(kv)                  # the old ring key and this dump leak
print("may_drop:", Store(keys(KeyRing(new, retired=[old])), kv).rewrap().may_drop(KeyRing(old).primary))
Subjects(keys(KeyRing(new)), kv).store(tokens(KeyRing(new)), "ada").set("ada", "written after the rotation")
people = Subjects(keys(KeyRing(new)), kv); people.rotate("ada")
people.store(tokens(KeyRing(new)), "ada").set("ada", "written after the rotation")
stolen = {**kv, **dump}
try: print(Subjects(keys(KeyRing(old)), stolen).store(tokens(KeyRing(old)), "ada").get("ada"))
except Exception as error: print(type(error).__name__)
# right: a subject's own key can be rotated too (a record of a primary and retired data keys), its values rewrapped, and what is written then is safe
