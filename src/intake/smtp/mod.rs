//! The SMTP door (RFC 5321).
