//! Reads and checks settings.
