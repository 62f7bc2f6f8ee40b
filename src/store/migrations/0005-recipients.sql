-- Messages whose recipients were hidden from each other and whose sender has yet to hear of it: five letters were written
-- in that hour already. `note` is sealed under the node's own key.
CREATE TABLE hidden (
    id     BLOB PRIMARY KEY,
    sender BLOB NOT NULL,
    at     INTEGER NOT NULL,
    note   BLOB NOT NULL
) STRICT;
CREATE INDEX hidden_by_sender ON hidden (sender, at);

-- To whom a message was addressed that was held or whose recipients were hidden, by keyed hash; kept for a day, or until
-- its case is decided. `people` holds the first 16 bytes of each address hash; one may stand there twice.
CREATE TABLE stopped (
    message BLOB PRIMARY KEY,
    sender  BLOB NOT NULL,
    people  BLOB NOT NULL,
    at      INTEGER NOT NULL,
    case_id BLOB
) STRICT, WITHOUT ROWID;
CREATE INDEX stopped_by_sender ON stopped (sender, at);
CREATE INDEX stopped_by_case ON stopped (case_id) WHERE case_id IS NOT NULL;
