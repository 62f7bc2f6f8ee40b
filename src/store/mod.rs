//! The cellar: sqlite and blobs.
