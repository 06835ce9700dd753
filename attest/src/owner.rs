//! Whose a machine is: custody, capital and votes behind the owner, and written rules.

pub mod custody;
pub mod holdings;
pub mod mandate;
pub mod party;
pub mod seal_certificate;
pub mod share;
pub mod voucher;
