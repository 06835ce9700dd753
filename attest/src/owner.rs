//! Whose a machine is: custody, capital and votes behind the owner, and written rules.

pub mod assess;
pub mod boot_authority;
pub mod control;
pub mod custody;
pub mod graph;
pub mod holdings;
pub mod mandate;
pub mod party;
pub mod policy;
pub mod rule_set;
pub mod rules;
pub mod seal_certificate;
pub mod share;
pub mod voucher;
