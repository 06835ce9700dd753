//! What a file claims, line by line, as text for people or as JSON. Nothing of it was checked.

use serde::{Serialize, Serializer, ser::SerializeMap};
use std::fmt;

/// A kind of file, and what one of it says, line by line.
pub(crate) struct Explained {
    /// What it is.
    pub(crate) kind: &'static str,
    /// Names and values.
    pub(crate) lines: Vec<(String, String)>,
}

impl Explained {
    /// One without lines.
    pub(crate) fn new(kind: &'static str) -> Explained {
        Explained { kind, lines: Vec::new() }
    }

    /// With one line more.
    pub(crate) fn line(mut self, name: impl Into<String>, value: impl fmt::Display) -> Explained {
        self.lines.push((name.into(), value.to_string()));
        self
    }

    /// With one line more where there is something to say.
    pub(crate) fn optional(self, name: &str, value: Option<impl fmt::Display>) -> Explained {
        match value {
            Some(value) => self.line(name, value),
            None => self,
        }
    }
}

impl fmt::Display for Explained {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}; all of this is claimed, nothing was checked", self.kind)?;
        let width = self.lines.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
        // What is claimed may try to command a terminal, or to look like a line of ours.
        let shown = |value: &str| value.chars().map(|c| if c.is_control() { ' ' } else { c }).collect::<String>();
        self.lines.iter().try_for_each(|(name, value)| writeln!(f, "  {name:width$}  {}", shown(value)))
    }
}

impl Serialize for Explained {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("kind", self.kind)?;
        map.serialize_entry("claims", &self.lines)?;
        map.end()
    }
}
