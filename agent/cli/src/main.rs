//! Is what a person types.
fn main() {}
