"""How a log is kept, and everything that is done to it: plans, written once for both twins.

The newest messages live in the *head*, one value under the log's own raw key, so that an append
is one get and one set. A full head is copied to a *piece*, and pieces that together are long
enough become a *segment* (format/log.py names them): each message is written about five times in
all, however long the log gets.

What makes it safe to stop anywhere: the head's set is the one moment at which anything happens.
Pieces and segments are written before the head that counts them, under numbers that no head
counted before; what a head no longer counts is removed by the next append that finds the head
full. A number is never used twice, and what stands under it holds messages that were in a head
before: whoever finds a piece that another writer left can take it as it is, if its messages are
those of the head.

Everything is found by a message's index, never by its place in a row alone. So it does no harm
when a piece and the segment made of it are both there, or when the row changes under a reader:
what is not found where the head says is looked for under a newer head.

    layout.py             LogLayout, what the stores drive; it is made of the others
    bounds.py             sizes, the window and the age, in numbers
    parts.py              the bytes of heads, segments and lanes, and of the messages in them
    tracks.py             the log's own head and the lanes of writers, and the grid of lanes
    heads.py, spill.py,   writing: the swap of the head; what a full head becomes; what a window
    window.py, writing.py   lets go; append, trim, clear
    cursor.py, reading.py reading: of one track; of all of them, in order
"""
