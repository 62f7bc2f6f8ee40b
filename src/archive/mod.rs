//! Room 7, archive: what was sent. Comes with issue 8.
