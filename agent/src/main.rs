//! Is the node: keeper and server.
fn main() {}
