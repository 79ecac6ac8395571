"""How a log is kept, and everything that is done to it: plans, written once for both twins.

The newest messages live in the *head*, one value under the log's own raw key, so that an append
is one get and one set. A full head becomes a *row*, and the next head begins with what comes after
it (format/log.py draws both). Each message is written some times in the head and once in a row,
however long the log gets.

What makes it safe to stop anywhere: the head's set is the one moment at which anything happens. A
row is written before the head that counts it, under a number that no head counts; what a head no
longer counts is removed by the next append that finds the head full. Who finds at its commit that
another writer was faster takes back the row that it wrote.

Each row holds a link of all that was before it, and the head the last one. So a row that is
missing, or of another past, is refused when the chain reaches it, and what writers move under a
reader is told from what is damaged: under the same head nothing moves.

    layout.py             LogLayout, what the stores drive; it is made of the others
    bounds.py             sizes, the window and the age, in numbers
    parts.py              the bytes of heads, rows and lanes, and of the messages in them
    tracks.py             the log's own head and the lanes of writers, and the grid of lanes
    heads.py, rows.py,    writing: the swap of the head; what a full head becomes; what a window
    window.py, writing.py   lets go; append, pop, trim, clear
    repair.py             what can be read, written anew
    cursor.py, reading.py reading: of one track; of all of them, in order
"""
