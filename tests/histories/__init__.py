"""Random histories of glasses and hosts, and a ledger that knows what has to come of them.

The firmware's own journal, spool, saver, pump and session on one side, the host tools' own unpacker,
receiver and store on the other; between them a stack with few buffers and a link that breaks. The disk of
either side can stop at any operation. All in one virtual clock, without Bluetooth: what is proved here is
that nothing is lost, doubled or reordered on the way from a frame in the journal to a file on a disk.

    python -m tests.histories 1234          # play one again, with everything that happened
"""
