//! Room 9, console: the reviewers' desk.
