//! Is the remote party: asks nodes, enrols them, keeps what it learnt, answers relying parties.

pub mod assess;
pub mod board;
pub mod budget;
pub mod bundle;
pub mod clock;
pub mod config;
pub mod credential;
pub mod dial;
pub mod enrol;
pub mod error;
pub mod known;
pub mod landmark;
pub mod ledger;
mod relying_party;
pub mod report;
pub mod seal;
pub mod serve;
pub mod session;
pub mod sources;
pub mod statements;
pub mod store;
