-- People who hand in mail with a password. `lookup` is the keyed hash of the folded name, `name` the name, sealed under the master
-- key; `password` is argon2id as PHC string.
CREATE TABLE accounts (
    lookup   BLOB PRIMARY KEY,
    name     BLOB NOT NULL,
    password TEXT NOT NULL,
    disabled INTEGER NOT NULL,
    created  INTEGER NOT NULL,
    changed  INTEGER NOT NULL
) STRICT;
