//! Is the remote party: asks nodes, enrols them, keeps what it learnt, answers relying parties.
