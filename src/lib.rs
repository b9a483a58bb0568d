//! Propylon.
