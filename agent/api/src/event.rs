//! What happened to VMs, in one order for the whole node.

use crate::{spec::VmId, vm::State};
use alloc::{string::String, vec::Vec};
use serde::{Deserialize, Serialize};

/// Path of events; `/{after}` behind it asks for those with a higher number. The node answers at once where there are
/// some or where there is a gap, else as soon as there are, and after [`crate::budget::EVENTS_WAIT`] with none.
pub const PATH: &str = "/v1/events";

/// Media type of `GET` of [`PATH`] itself, which sends events as they happen; the caller has to accept it. Each has its number
/// as `id`, and is of type `vm` with an [`Event`] or of type `gap` with a [`Gap`].
pub const STREAM_MEDIA_TYPE: &str = "text/event-stream";

/// One VM came into a state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// Counted up by one for all events of the node, from a number above all those of its servers before. Who may not see
    /// all VMs does not see all numbers.
    pub sequence: u64,
    /// Milliseconds since 1970 by the node's clock.
    pub time_ms: u64,
    /// Which VM.
    pub id: VmId,
    /// Of which generation.
    pub generation: u64,
    /// Into which state.
    pub state: State,
    /// Why, where that is not what was asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// The answer to `GET /v1/events/{after}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Events {
    /// Number of the oldest event that the node still has, or of the next one where it has none.
    pub first_kept: u64,
    /// Those after the one that was asked for, in order.
    pub events: Vec<Event>,
}

/// A reader of a stream missed events: it has to list anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gap {
    /// Number of the oldest event that the node still has, or of the next one where it has none.
    pub first_kept: u64,
    /// The stream goes on after this event, which a list asked for now knows of.
    pub sequence: u64,
}

impl Events {
    /// Whether events between `after` and the oldest one kept are lost: who asked has to list anew.
    pub fn has_gap(&self, after: u64) -> bool {
        after.saturating_add(1) < self.first_kept
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_has_a_gap_only_where_an_event_between_is_lost() {
        let kept = Events { first_kept: 8, events: Vec::new() };
        for (after, has_gap) in [(0, true), (6, true), (7, false), (8, false), (u64::MAX, false)] {
            assert_eq!(kept.has_gap(after), has_gap, "{after}");
        }
    }

    #[test]
    fn events_come_back_from_json_as_they_were() {
        let json = r#"{"first_kept":3,"events":[{"sequence":3,"time_ms":1800000000000,"id":"web-1","generation":2,"state":"failed","reason":"no memory"},{"sequence":4,"time_ms":1800000000001,"id":"web-1","generation":2,"state":"deleted"}]}"#;
        let events: Events = serde_json::from_str(json).unwrap_or_else(|error| unreachable!("{error}"));
        assert_eq!(serde_json::to_string(&events).ok().as_deref(), Some(json));
    }
}
