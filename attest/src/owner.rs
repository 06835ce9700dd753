//! Whose a machine is: custody, capital and votes behind the owner, and written rules.
