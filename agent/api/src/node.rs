//! What works on a node and what does not: answer of `GET /v1/node`.

use alloc::{string::String, vec::Vec};
use core::fmt;
use serde::{Deserialize, Serialize};

/// Path of the question.
pub const PATH: &str = "/v1/node";

/// What a node says about itself. It is its own word: whoever does not trust it asks for evidence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Node {
    /// One for each thing that a VM may need; new ones may come.
    pub checks: Vec<Check>,
}

/// One thing that works or does not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    /// Its name, which never changes.
    pub name: String,
    /// Whether it works.
    pub state: State,
    /// How that is known, or what is missing.
    pub detail: String,
    /// What to do about it, where something is missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

impl Check {
    /// It works.
    pub fn works(name: &str, detail: impl Into<String>) -> Check {
        Check { name: name.into(), state: State::Works, detail: detail.into(), next: None }
    }

    /// Nobody wants it here.
    pub fn off(name: &str, detail: impl Into<String>) -> Check {
        Check { name: name.into(), state: State::Off, detail: detail.into(), next: None }
    }

    /// It does not work.
    pub fn missing(name: &str, detail: impl Into<String>, next: impl Into<String>) -> Check {
        Check { name: name.into(), state: State::Missing, detail: detail.into(), next: Some(next.into()) }
    }
}

/// Whether something works.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// It does.
    Works,
    /// It is being found out.
    Trying,
    /// It does not.
    Missing,
    /// The configuration does not ask for it, or this release has none.
    Off,
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            State::Works => "works",
            State::Trying => "trying",
            State::Missing => "missing",
            State::Off => "off",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    #[test]
    fn a_node_comes_back_from_json_as_it_was() {
        let node = Node {
            checks: vec![Check::works("tcg", "x"), Check::missing("kvm", "no", "load it"), Check::off("vtpm", "")],
        };
        let json = r#"{"checks":[{"name":"tcg","state":"works","detail":"x"},{"name":"kvm","state":"missing","detail":"no","next":"load it"},{"name":"vtpm","state":"off","detail":""}]}"#;
        assert_eq!(serde_json::to_string(&node).ok().as_deref(), Some(json));
        assert_eq!(serde_json::from_str(json).ok(), Some(node));
    }
}
