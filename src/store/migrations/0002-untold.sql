-- Waiting cases whose sender has yet to hear of the hold: five were told in that hour already. `item` is the outbox
-- item that tells of them once there is one; a row goes when that item is done, or its case was decided before.
CREATE TABLE untold (
    case_id BLOB PRIMARY KEY REFERENCES cases (id),
    sender  BLOB NOT NULL,
    at      INTEGER NOT NULL,
    item    BLOB
) STRICT;
CREATE INDEX untold_by_sender ON untold (sender, at) WHERE item IS NULL;
CREATE INDEX untold_by_item ON untold (item) WHERE item IS NOT NULL;

-- Decided cases are by far the most, and never expire.
DROP INDEX cases_by_expiry;
CREATE INDEX cases_waiting_by_expiry ON cases (expires, id, category) WHERE state = 'waiting';
