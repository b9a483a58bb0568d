//! Propylon.
fn main() {}
