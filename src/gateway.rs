//! The corridor: one submission from door to door.
