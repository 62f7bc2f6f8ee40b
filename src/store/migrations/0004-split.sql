-- Messages that come in several transactions, by keyed hash. `recipients` holds 20 bytes for each: the first 16 of the
-- address hash, then how many people it reaches, with the highest bit set for an address that is not ours; one may stand
-- there twice. `first` is the first transaction. `case_id` is the case in which the message was held last.
CREATE TABLE split (
    message    BLOB PRIMARY KEY,
    recipients BLOB NOT NULL,
    first      INTEGER NOT NULL,
    case_id    BLOB REFERENCES cases (id)
) STRICT, WITHOUT ROWID;
CREATE INDEX split_by_age ON split (first);
CREATE INDEX split_by_case ON split (case_id) WHERE case_id IS NOT NULL;
