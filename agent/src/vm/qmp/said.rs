//! A command as it is sent.

use serde_json::{Value, json};
use std::os::fd::OwnedFd;

/// A command, its arguments, and what goes beside it.
#[derive(Debug)]
pub(super) struct Said {
    pub(super) command: String,
    /// Null where it has none.
    pub(super) arguments: Value,
    pub(super) descriptor: Option<OwnedFd>,
}

impl Said {
    pub(super) fn bare(command: &str) -> Said {
        Said { command: command.to_owned(), arguments: Value::Null, descriptor: None }
    }

    /// With this number and its end.
    pub(super) fn line(&self, id: u64) -> String {
        let Said { command, arguments, .. } = self;
        let line = match arguments {
            Value::Null => json!({ "execute": command, "id": id }),
            _ => json!({ "execute": command, "arguments": arguments, "id": id }),
        };
        format!("{line}\n")
    }
}
