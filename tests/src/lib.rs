//! Checks the others: end to end, vectors, attacks, fuzz, benches.
