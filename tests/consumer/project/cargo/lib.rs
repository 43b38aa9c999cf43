//! Where a plugin in Rust would be.
