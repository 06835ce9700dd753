//! What a kernel is told at its start.

use crate::error::Invalid;
use crate::{budget::COMMAND_LINE_BYTES, text::text};
use alloc::{borrow::ToOwned, string::String};
use core::{fmt, str::FromStr};

text! {
    /// A kernel's command line: at most [`COMMAND_LINE_BYTES`], printable ASCII. What its words mean is not checked.
    CommandLine(String), "printable ASCII"
}

impl CommandLine {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for CommandLine {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<CommandLine, Invalid> {
        if text.len() > COMMAND_LINE_BYTES {
            return Err(Invalid::CommandLineLength { found_bytes: text.len() });
        }
        let odd = text.bytes().enumerate().find(|(_, byte)| !(b' '..=b'~').contains(byte));
        odd.map_or_else(
            || Ok(CommandLine(text.to_owned())),
            |(offset, found)| Err(Invalid::CommandLineByte { offset, found }),
        )
    }
}

impl fmt::Display for CommandLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
