//! Arguments in.

fn main() {}
