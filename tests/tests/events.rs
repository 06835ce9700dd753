//! Events of a real node as a stream: from where a reader left off, with a gap where it was too slow, and nothing of others.

use garant_channel::{
    key::SigningKey,
    tls::{self, Accept},
};
use garant_tests::{
    garantd::Garantd,
    swtpm::Swtpm,
    vms::{Images, act, ask_json, ensure},
};
use serde_json::{Value, json};
use std::{
    io::{BufRead, BufReader, Write},
    os::unix::net::UnixStream,
    time::Duration,
};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt};

fn node(more: &str) -> Option<(Swtpm, Images, Garantd)> {
    let (tpm, images) = (Swtpm::provisioned("sha256")?, Images::build()?);
    let node = Garantd::start(&tpm.address(), &(images.options() + more));
    Some((tpm, images, node))
}

/// The lines of a stream of events.
struct Reader(BufReader<UnixStream>);

impl Reader {
    /// Asks for events, after this one.
    fn open(node: &Garantd, after: Option<u64>) -> Reader {
        let mut stream = UnixStream::connect(node.socket()).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        stream.write_all(head(after).as_bytes()).unwrap();
        let mut lines = BufReader::new(stream);
        let mut status = String::new();
        lines.read_line(&mut status).unwrap();
        assert!(status.starts_with("HTTP/1.1 200"), "{status}");
        Reader(lines)
    }

    /// The next event: its number, its type, its data. Marks are passed over.
    fn next(&mut self) -> (u64, String, Value) {
        let mut event = Event::default();
        loop {
            let mut line = String::new();
            assert!(self.0.read_line(&mut line).unwrap() > 0, "the stream ended");
            if let Some(whole) = event.take(&line) {
                return whole;
            }
        }
    }
}

fn head(after: Option<u64>) -> String {
    let after = after.map(|after| format!("last-event-id: {after}\r\n")).unwrap_or_default();
    format!("GET /v1/events HTTP/1.1\r\nhost: x\r\naccept: text/event-stream\r\n{after}\r\n")
}

/// What was read of an event so far.
#[derive(Default)]
struct Event {
    id: u64,
    kind: String,
    data: String,
}

impl Event {
    /// Takes a line; the event that it ends, but for a mark.
    fn take(&mut self, line: &str) -> Option<(u64, String, Value)> {
        match line.trim_end().split_once(": ") {
            Some(("id", id)) => self.id = id.parse().unwrap(),
            Some(("event", kind)) => kind.clone_into(&mut self.kind),
            Some(("data", data)) => data.clone_into(&mut self.data),
            // Heads, lengths of chunks, and ends.
            _ if line.trim_end().is_empty() && !self.data.is_empty() => {
                let Event { id, kind, data } = std::mem::take(self);
                return Some((id, kind, serde_json::from_str(&data).unwrap()));
            }
            _ => {}
        }
        None
    }
}

/// Defines a VM of this name again and again, so many times.
fn define(node: &Garantd, images: &Images, id: &str, from: u64, count: u64) {
    for generation in from..from + count {
        let body = json!({ "generation": generation, "spec": images.spec() });
        assert_eq!(ask_json(node, "PUT", &format!("/v1/vms/{id}"), &body).0, 201);
    }
}

#[test]
fn a_reader_sees_each_change_as_it_happens_and_goes_on_where_it_left_off() {
    let Some((_tpm, images, node)) = node("") else { return };
    let mut reader = Reader::open(&node, None);
    assert_eq!(ensure(&node, "web", &images.spec()).0, 201);
    let (first, kind, data) = reader.next();
    assert_eq!(
        (kind.as_str(), data["state"].as_str(), data["sequence"].as_u64()),
        ("vm", Some("defined"), Some(first))
    );
    drop(reader);
    assert_eq!(act(&node, "web", "start").0, 200, "{}", node.log());
    assert_eq!(act(&node, "web", "stop").0, 200);
    let mut again = Reader::open(&node, Some(first));
    let states: Vec<(u64, Value)> =
        (0..4).map(|_| again.next()).map(|(id, _, data)| (id, data["state"].clone())).collect();
    let expected = ["starting", "running", "stopping", "stopped"];
    assert_eq!(states, (first + 1..).zip(expected).map(|(id, state)| (id, json!(state))).collect::<Vec<_>>());
    // A server that was killed knows no events of the one before: who comes back has a gap, and lists anew.
    node.kill_server();
    node.wait_until_ready();
    let mut after = Reader::open(&node, Some(first));
    let (place, kind, gap) = after.next();
    assert_eq!((kind.as_str(), gap["sequence"].as_u64()), ("gap", Some(place)));
    assert_eq!(ask_json(&node, "GET", "/v1/vms", &Value::Null).1["sequence"].as_u64(), Some(place));
    define(&node, &images, "web", 2, 1);
    assert_eq!(after.next().0, place + 1);
}

#[test]
fn a_place_that_no_event_has_yet_is_a_gap_and_one_that_is_no_number_is_refused() {
    let Some((_tpm, _images, node)) = node("") else { return };
    let (_, kind, gap) = Reader::open(&node, Some(u64::MAX)).next();
    assert_eq!((kind.as_str(), gap["first_kept"].is_u64()), ("gap", true));
    let mut stream = UnixStream::connect(node.socket()).unwrap();
    stream.write_all(head(None).replace("accept", "last-event-id: first\r\naccept").as_bytes()).unwrap();
    let mut status = String::new();
    BufReader::new(stream).read_line(&mut status).unwrap();
    assert!(status.starts_with("HTTP/1.1 400"), "{status}");
}

#[test]
fn a_tenant_reads_of_its_own_vms_alone_and_its_place_moves_on_with_those_of_others() {
    let key = SigningKey::from_seed(&[2; 32]).unwrap();
    let hex: String = key.public().iter().map(|byte| format!("{byte:02x}")).collect();
    let client = format!("[[vms.client]]\nkey = '{hex}'\nname = 'shop'\nrole = 'tenant'\n");
    let Some((_tpm, images, node)) = node(&client) else { return };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let config = tls::client(Some(&key), Accept::AnyKey).unwrap();
        let mut stream = tls::dial(config.clone(), node.address).await.unwrap();
        stream.write_all(head(None).as_bytes()).await.unwrap();
        let mut lines = tokio::io::BufReader::new(stream).lines();
        assert!(lines.next_line().await.unwrap().unwrap().starts_with("HTTP/1.1 200"));
        let mut asker = garant_tests::asker::Asker::dial_with(node.address, Some(&key)).await.unwrap();
        assert_eq!(ensure(&node, "others", &images.spec()).0, 201);
        let body = json!({ "generation": 1, "spec": images.spec() }).to_string();
        let method = garant_channel::http::Method::PUT;
        let budget = garant_tests::asker::BUDGET;
        assert_eq!(asker.connection.json(method, "/v1/vms/own", body, budget).await.unwrap().0, 201);
        let (mut event, mut seen) = (Event::default(), Vec::new());
        let found = loop {
            let line = lines.next_line().await.unwrap().unwrap();
            seen.push(line.clone());
            if let Some(found) = event.take(&line) {
                break found;
            }
        };
        assert_eq!(found.2["id"].as_str(), Some("own"));
        assert!(!seen.concat().contains("others"), "{seen:?}");
    });
}
