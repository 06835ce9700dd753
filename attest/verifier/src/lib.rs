//! Is the remote party: asks nodes, enrols them, keeps what it learnt, answers relying parties.

pub mod budget;
pub mod clock;
pub mod dial;
pub mod error;
pub mod known;
pub mod seal;
pub mod session;
pub mod store;
pub mod credential;
