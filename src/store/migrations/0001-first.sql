-- The first schema. Times are microseconds since 1970-01-01T00:00:00Z. What is sealed is described in
-- docs/reference/disk.md; everything else here is in clear and says nothing about a person.

-- 'node': 16 random bytes, this chain's name. 'key-check': tells another master key at the first look.
CREATE TABLE meta (
    name  TEXT PRIMARY KEY,
    value BLOB NOT NULL
) STRICT, WITHOUT ROWID;

-- The book. One row is one link: one committed batch of events, `mac` over all the rest.
CREATE TABLE link (
    number   INTEGER PRIMARY KEY,
    node     BLOB NOT NULL,
    previous BLOB NOT NULL,
    events   BLOB NOT NULL,
    mac      BLOB NOT NULL
) STRICT;

-- The cases' own keys, wrapped by the master key. Destroying a row is erasing the case. The key with the number
-- of sixteen zero bytes belongs to no case: it seals reply texts and the notes that must outlive a case.
CREATE TABLE keys (
    id      BLOB PRIMARY KEY,
    wrapped BLOB NOT NULL
) STRICT;

CREATE TABLE cases (
    id          BLOB PRIMARY KEY,
    state       TEXT NOT NULL,
    category    TEXT NOT NULL,
    rules       TEXT NOT NULL,
    bytes       INTEGER NOT NULL,
    received    INTEGER NOT NULL,
    expires     INTEGER NOT NULL,
    face        BLOB,
    message     TEXT,
    epoch       INTEGER NOT NULL,
    lease_owner BLOB,
    lease_until INTEGER
) STRICT;
CREATE INDEX cases_by_state ON cases (state, received);
CREATE INDEX cases_by_expiry ON cases (expires);

-- Finds cases by keyed hash. kind: 1 address, 2 domain, 3 message id.
CREATE TABLE lookup (
    kind    INTEGER NOT NULL,
    hash    BLOB NOT NULL,
    case_id BLOB NOT NULL REFERENCES cases (id),
    PRIMARY KEY (kind, hash, case_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX lookup_by_case ON lookup (case_id);

-- What we stand for and must send. `content` is sealed here when small, else in the file that `blob` names.
CREATE TABLE outbox (
    id          BLOB PRIMARY KEY,
    case_id     BLOB NOT NULL REFERENCES keys (id),
    kind        TEXT NOT NULL,
    envelope    BLOB NOT NULL,
    content     BLOB,
    blob        TEXT,
    bytes       INTEGER NOT NULL,
    attempts    INTEGER NOT NULL,
    first_tried INTEGER,
    due         INTEGER NOT NULL,
    epoch       INTEGER NOT NULL,
    lease_owner BLOB,
    lease_until INTEGER
) STRICT;
CREATE INDEX outbox_by_due ON outbox (due);
CREATE INDEX outbox_by_case ON outbox (case_id);

-- Answers that a client may not have heard. A row goes once the client took note.
CREATE TABLE retry (
    serial INTEGER PRIMARY KEY,
    key    BLOB NOT NULL,
    reply  BLOB NOT NULL,
    at     INTEGER NOT NULL
) STRICT;

-- Who sees whom in a thread: `addresses` are 16-byte keyed hashes, sorted, one behind the other.
CREATE TABLE thread (
    message   BLOB NOT NULL,
    addresses BLOB NOT NULL,
    seen      INTEGER NOT NULL,
    PRIMARY KEY (message, addresses)
) STRICT, WITHOUT ROWID;
CREATE INDEX thread_by_age ON thread (seen);

-- When a sender (keyed hash) was told of a hold; kept for a day.
CREATE TABLE told (
    sender BLOB NOT NULL,
    at     INTEGER NOT NULL
) STRICT;
CREATE INDEX told_by_sender ON told (sender, at);

-- Erased cases whose old pages may still lie in the write-ahead log.
CREATE TABLE erasure (
    case_id BLOB PRIMARY KEY,
    at      INTEGER NOT NULL
) STRICT;
