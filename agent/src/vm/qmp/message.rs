//! What one line of QEMU says.

use super::Ended;
use crate::budget::{QMP_EVENT_BYTES, QMP_REFUSAL_CHARACTERS};
use serde::{Deserialize, de::IgnoredAny};
use serde_json::Value;

/// A line, understood.
#[derive(Debug)]
pub(super) enum Message {
    /// The first line of a conversation; QEMU may not have built its machine yet.
    Greeting,
    /// The answer to the command of this number; none where QEMU could not read the command.
    Answer { id: Option<u64>, result: Result<Value, Refusal> },
    /// Something happened.
    Event(Event),
}

/// Something happened in a VM; QEMU's word for it (qapi/*.json).
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// Its kind, such as `SHUTDOWN`.
    pub name: String,
    /// What QEMU says of it, null where nothing.
    pub data: Value,
    /// When, in ms since 1970 on QEMU's clock; none where QEMU cannot tell.
    pub time_ms: Option<u64>,
}

/// Why QEMU refuses a command.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Refusal {
    /// Its kind (`QapiErrorClass`, qapi/error.json).
    pub class: String,
    /// What it says, cut to [`QMP_REFUSAL_CHARACTERS`].
    #[serde(rename = "desc")]
    pub description: String,
}

#[derive(Deserialize)]
struct Line {
    #[serde(rename = "QMP")]
    greeting: Option<IgnoredAny>,
    #[serde(rename = "return")]
    returned: Option<Value>,
    error: Option<Refusal>,
    event: Option<String>,
    #[serde(default)]
    data: Value,
    timestamp: Option<Timestamp>,
    id: Option<Value>,
}

/// Both are -1 where QEMU's clock fails.
#[derive(Deserialize)]
struct Timestamp {
    seconds: i64,
    microseconds: i64,
}

impl Message {
    /// Events have a limit of their own, since many of them may wait.
    pub(super) fn parse(line: &[u8]) -> Result<Message, Ended> {
        let parsed: Line = serde_json::from_slice(line).map_err(|_| Ended::NotQmp)?;
        let id = parsed.id.as_ref().and_then(Value::as_u64);
        match (parsed.greeting, parsed.returned, parsed.error, parsed.event) {
            (Some(_), None, None, None) => Ok(Message::Greeting),
            (None, Some(value), None, None) => Ok(Message::Answer { id, result: Ok(value) }),
            (None, None, Some(refusal), None) => Ok(Message::Answer { id, result: Err(refusal.cut()) }),
            (None, None, None, Some(_)) if line.len() > QMP_EVENT_BYTES => {
                Err(Ended::LongLine { limit_bytes: QMP_EVENT_BYTES })
            }
            (None, None, None, Some(name)) => {
                let time_ms = parsed.timestamp.as_ref().and_then(Timestamp::milliseconds);
                Ok(Message::Event(Event { name, data: parsed.data, time_ms }))
            }
            _ => Err(Ended::NotQmp),
        }
    }
}

impl Timestamp {
    fn milliseconds(&self) -> Option<u64> {
        let seconds = u64::try_from(self.seconds).ok()?;
        let microseconds = u64::try_from(self.microseconds).ok()?;
        seconds.checked_mul(1000)?.checked_add(microseconds / 1000)
    }
}

impl Refusal {
    fn cut(self) -> Refusal {
        let cut = |text: String| text.chars().take(QMP_REFUSAL_CHARACTERS).collect();
        Refusal { class: cut(self.class), description: cut(self.description) }
    }
}
