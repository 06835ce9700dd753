//! Whose a machine is: custody, capital and votes behind the owner, and written rules.

pub mod custody;
pub mod mandate;
pub mod seal_certificate;
pub mod voucher;
