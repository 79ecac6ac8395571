"""Names written by hand that hold a space, an @ or a colon: migrate reports a complete walk of nothing."""
import msgspec
from kvcodec import KeyRing, Keyspace, Store, TemplateKeys
class Prefs(msgspec.Struct): theme: str
kv = {"user:ada@x.org:prefs": b'{"theme":"dark"}', "user:bob:prefs": b'{"theme":"light"}'}
old = Keyspace("old", Prefs, keys=TemplateKeys("user:{id}:prefs", verbatim=True))
report = Store(Keyspace("prefs", Prefs, cipher=KeyRing.generate(), previous=[old]), kv).migrate()
print(report, sorted(kv))   # right: a template can be told that its parts are as they are (where that is unambiguous), and a walk counts and names what it skipped
