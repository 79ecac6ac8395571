#!/bin/sh
# How `make demo` ends: the program kvcodec looks into the database that assistant.py has filled.
#
#     sh examples/look.sh PYTHON DATABASE

set -eu
python=$1
kv=sqlite:///$2

# Show a command as it is typed, and run it. A "!" is the shell's own outside of quotes.
look() {
    printf '\n$ kvcodec'
    for each do
        case $each in *!*) printf " '%s'" "$each" ;; *) printf ' %s' "$each" ;; esac
    done
    printf '\n\n'
    "$python" -m kvcodec "$@"
}

# All that is there, without any declaration.
look ls "$kv"

# A name that kvcodec derives: a row of the conversation.
row=$("$python" -m kvcodec ls "$kv" 'history/nora/conversation!s' --quiet | head -n 1)
look explain "$kv" "$row" --declared examples.assistant

# Something sealed: without a declaration, and with it and the key.
look explain "$kv" tokens/nora/weather
ASSISTANT_KEYS=${ASSISTANT_KEYS:-$(cat "$2.key")}
export ASSISTANT_KEYS
look explain "$kv" tokens/nora/weather \
    --declared examples.assistant:tokens --ring-env ASSISTANT_KEYS

cat <<'PAGES'

read next
  README.md               why, beside what you would use instead, and five uses
  examples/assistant.py   the program above; examples/look.sh what came after it
  docs/tutorial/index.md  an app from a file to a cluster, and a Dify plugin from nothing
  docs/guide/index.md     one page a subject
  docs/ENGINES.md         the same on Redis, PostgreSQL, NATS or S3: only the KV changes
  docs/FORMAT.md          every byte above, with a reader that does without kvcodec
PAGES
