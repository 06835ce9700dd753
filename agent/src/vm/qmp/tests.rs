#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::panic)]
use super::*;
use crate::{
    budget::{QMP_EVENT_BYTES, QMP_LINE_BYTES, QMP_REFUSAL_CHARACTERS},
    vm::real_qemu::RealQemu,
};
use nix::sys::signal::{Signal, kill};
use serde_json::json;
use std::time::Instant;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const SOON: Duration = Duration::from_millis(50);
const PATIENCE: Duration = Duration::from_secs(60);
const GREETING: &str = "{\"QMP\": {\"version\": {}, \"capabilities\": [\"oob\"]}}\r\n";

/// The other end of a conversation, played by hand.
struct Peer {
    stream: UnixStream,
    heard: Vec<u8>,
}

impl Peer {
    fn pair() -> (UnixStream, Peer) {
        let (ours, stream) = UnixStream::pair().unwrap();
        (ours, Peer { stream, heard: Vec::new() })
    }

    /// A peer that was greeted already, and our side of the conversation.
    async fn greeted() -> (Qmp, mpsc::Receiver<Notice>, Peer) {
        let (ours, mut peer) = Peer::pair();
        let answers = async {
            peer.say(GREETING).await;
            peer.answer("{}").await;
        };
        let (greeted, ()) = tokio::join!(Qmp::greet(ours, PATIENCE), answers);
        let (qmp, notices) = greeted.unwrap();
        (qmp, notices, peer)
    }

    async fn say(&mut self, text: impl AsRef<[u8]>) {
        self.stream.write_all(text.as_ref()).await.unwrap();
    }

    /// The next command.
    async fn hear(&mut self) -> Value {
        let line = self.hear_bytes().await;
        serde_json::from_slice(&line).unwrap()
    }

    async fn hear_bytes(&mut self) -> Vec<u8> {
        loop {
            if let Some(at) = self.heard.iter().position(|byte| *byte == b'\n') {
                return self.heard.drain(..=at).collect();
            }
            assert_ne!(self.stream.read_buf(&mut self.heard).await.unwrap(), 0, "our side is closed");
        }
    }

    /// Answers the next command with this result.
    async fn answer(&mut self, result: &str) -> Value {
        let command = self.hear().await;
        self.say(format!("{{\"return\": {result}, \"id\": {}}}\r\n", command["id"])).await;
        command
    }
}

fn event(name: &str) -> String {
    format!(
        "{{\"timestamp\": {{\"seconds\": 1, \"microseconds\": 2500}}, \"event\": \"{name}\", \"data\": {{\"a\": 1}}}}\r\n"
    )
}

fn ended(error: QmpError) -> Ended {
    match error {
        QmpError::Ended(ended) => ended,
        other => panic!("{other} is no end"),
    }
}

/// What a command meets whose answer is these bytes.
async fn command_answered_by(bytes: &[u8], deadline: Duration) -> QmpError {
    let (qmp, _notices, mut peer) = Peer::greeted().await;
    let play = async {
        peer.hear().await;
        peer.say(bytes).await;
    };
    let (answer, ()) = tokio::join!(qmp.execute("cont", Value::Null, deadline), play);
    answer.unwrap_err()
}

#[tokio::test]
async fn answers_find_their_commands_in_whatever_order_they_come() {
    let (qmp, _notices, mut peer) = Peer::greeted().await;
    let play = async {
        let (first, second) = (peer.hear().await, peer.hear().await);
        assert_eq!((&first["execute"], &first["arguments"]), (&json!("one"), &json!({ "x": 1 })));
        assert_eq!(second.get("arguments"), None);
        for (command, word) in [(second, "second"), (first, "first")] {
            peer.say(format!("{{\"return\": \"{word}\", \"id\": {}}}\r\n", command["id"])).await;
        }
    };
    let one = qmp.execute("one", json!({ "x": 1 }), PATIENCE);
    let two = qmp.execute("two", Value::Null, PATIENCE);
    let (one, two, ()) = tokio::join!(one, two, play);
    assert_eq!((one.unwrap(), two.unwrap()), (json!("first"), json!("second")));
}

#[tokio::test]
async fn a_refusal_keeps_its_class_and_is_cut_to_its_limit() {
    let (qmp, _notices, mut peer) = Peer::greeted().await;
    let long = "\u{e4}".repeat(QMP_REFUSAL_CHARACTERS + 1);
    let play = async {
        let command = peer.hear().await;
        let error = json!({ "class": "DeviceNotFound", "desc": long });
        peer.say(format!("{}\r\n", json!({ "error": error, "id": command["id"] }))).await;
    };
    let (answer, ()) = tokio::join!(qmp.execute("cont", Value::Null, PATIENCE), play);
    let Err(QmpError::Refused(refusal)) = answer else { panic!("{answer:?} is no refusal") };
    assert_eq!((refusal.class.as_str(), refusal.description.chars().count()), ("DeviceNotFound", 512));
}

#[tokio::test]
async fn an_event_comes_with_its_name_data_and_time() {
    let (_qmp, mut notices, mut peer) = Peer::greeted().await;
    peer.say(event("STOP")).await;
    peer.say("{\"timestamp\": {\"seconds\": -1, \"microseconds\": -1}, \"event\": \"RESUME\"}\n").await;
    let stop = Event { name: "STOP".into(), data: json!({ "a": 1 }), time_ms: Some(1002) };
    assert_eq!(notices.recv().await, Some(Notice::Event(stop)));
    let resume = Event { name: "RESUME".into(), data: Value::Null, time_ms: None };
    assert_eq!(notices.recv().await, Some(Notice::Event(resume)));
}

#[tokio::test]
async fn a_slow_taker_of_events_learns_how_many_it_lost_and_holds_no_answer_up() {
    let (qmp, mut notices, mut peer) = Peer::greeted().await;
    for _ in 0..QMP_EVENTS_WAITING + 3 {
        peer.say(event("RESUME")).await;
    }
    let (answer, _) = tokio::join!(qmp.execute("query-status", Value::Null, PATIENCE), peer.answer("{}"));
    answer.unwrap();
    for _ in 0..QMP_EVENTS_WAITING {
        assert!(matches!(notices.recv().await, Some(Notice::Event(_))));
    }
    assert_eq!(notices.recv().await, Some(Notice::Lost(3)));
    peer.say(event("STOP")).await;
    assert!(matches!(notices.recv().await, Some(Notice::Event(Event { name, .. })) if name == "STOP"));
}

#[tokio::test]
async fn events_that_nobody_wants_hold_no_answer_up() {
    let (qmp, notices, mut peer) = Peer::greeted().await;
    drop(notices);
    for _ in 0..QMP_EVENTS_WAITING * 2 {
        peer.say(event("RESUME")).await;
    }
    let (answer, _) = tokio::join!(qmp.execute("query-status", Value::Null, PATIENCE), peer.answer("{}"));
    answer.unwrap();
}

#[tokio::test]
async fn a_peer_that_never_greets_is_silent_after_the_deadline() {
    let (ours, _peer) = Peer::pair();
    assert_eq!(Qmp::greet(ours, SOON).await.unwrap_err(), QmpError::Silent { waited: SOON });
}

#[tokio::test]
async fn a_peer_that_greets_and_then_builds_its_machine_for_ever_is_silent_after_the_deadline() {
    let (ours, mut peer) = Peer::pair();
    peer.say(GREETING).await;
    assert_eq!(Qmp::greet(ours, SOON).await.unwrap_err(), QmpError::Silent { waited: SOON });
}

#[tokio::test]
async fn half_a_line_and_then_nothing_is_silence() {
    assert_eq!(command_answered_by(b"{\"return\": {}, \"id\":", SOON).await, QmpError::Silent { waited: SOON });
}

#[tokio::test]
async fn a_line_in_two_halves_is_a_line() {
    let (qmp, _notices, mut peer) = Peer::greeted().await;
    let play = async {
        let command = peer.hear().await;
        let line = format!("{{\"return\": 7, \"id\": {}}}\r\n", command["id"]);
        for part in line.as_bytes().chunks(9) {
            peer.say(part).await;
            tokio::task::yield_now().await;
        }
    };
    let (answer, ()) = tokio::join!(qmp.execute("x", Value::Null, PATIENCE), play);
    assert_eq!(answer.unwrap(), json!(7));
}

#[tokio::test]
async fn an_answer_that_comes_too_late_is_not_taken_for_the_next_one() {
    let (qmp, _notices, mut peer) = Peer::greeted().await;
    let given_up = qmp.execute("one", Value::Null, SOON).await.unwrap_err();
    assert_eq!(given_up, QmpError::Silent { waited: SOON });
    let play = async {
        peer.answer("1").await;
        peer.answer("2").await;
    };
    let (second, ()) = tokio::join!(qmp.execute("two", Value::Null, PATIENCE), play);
    assert_eq!(second.unwrap(), json!(2));
}

#[tokio::test]
async fn a_line_of_the_limit_is_heard_and_one_byte_more_ends_the_conversation() {
    let (qmp, _notices, mut peer) = Peer::greeted().await;
    for (excess, heard) in [(0, true), (1, false)] {
        let play = async {
            let command = peer.hear().await;
            let shell = format!("{{\"return\": \"\", \"id\": {}}}\n", command["id"]);
            let filling = "x".repeat(QMP_LINE_BYTES - shell.len() + excess);
            peer.say(shell.replace("\"\"", &format!("\"{filling}\""))).await;
        };
        let (answer, ()) = tokio::join!(qmp.execute("x", Value::Null, PATIENCE), play);
        match answer {
            Ok(_) => assert!(heard),
            Err(error) => {
                assert!(!heard);
                assert_eq!(ended(error), Ended::LongLine { limit_bytes: QMP_LINE_BYTES });
            }
        }
    }
}

#[tokio::test]
async fn an_endless_line_ends_the_conversation_before_the_deadline() {
    let (qmp, _notices, mut peer) = Peer::greeted().await;
    let play = async { while peer.stream.write_all(&[b'x'; 1000]).await.is_ok() {} };
    let (answer, ()) = tokio::join!(qmp.execute("cont", Value::Null, PATIENCE), play);
    assert_eq!(ended(answer.unwrap_err()), Ended::LongLine { limit_bytes: QMP_LINE_BYTES });
}

#[tokio::test]
async fn an_event_longer_than_events_are_ends_the_conversation() {
    let long = event(&"X".repeat(QMP_EVENT_BYTES));
    assert_eq!(
        ended(command_answered_by(long.as_bytes(), PATIENCE).await),
        Ended::LongLine { limit_bytes: QMP_EVENT_BYTES }
    );
}

#[tokio::test]
async fn what_is_no_message_ends_the_conversation() {
    let deep = format!("{{\"return\": {}1{}, \"id\": 1}}\n", "[".repeat(1000), "]".repeat(1000));
    let lines: [&[u8]; 8] = [
        b"garbage\n",
        b"\n",
        b"\xff\xfe{}\n",
        b"{}\n",
        b"[]\n",
        b"{\"event\": 7}\n",
        b"{\"return\": 1, \"event\": \"STOP\"}\n",
        deep.as_bytes(),
    ];
    for line in lines {
        assert_eq!(
            ended(command_answered_by(line, PATIENCE).await),
            Ended::NotQmp,
            "{}",
            String::from_utf8_lossy(line)
        );
    }
}

#[tokio::test]
async fn an_answer_that_belongs_to_no_command_ends_the_conversation() {
    for line in [
        "{\"return\": {}, \"id\": \"other\"}\n",
        "{\"return\": {}}\n",
        "{\"error\": {\"class\": \"G\", \"desc\": \"\"}}\n",
        GREETING,
    ] {
        assert_eq!(ended(command_answered_by(line.as_bytes(), PATIENCE).await), Ended::Unexpected, "{line}");
    }
}

#[tokio::test]
async fn an_answer_that_comes_twice_ends_the_conversation() {
    let (qmp, _notices, mut peer) = Peer::greeted().await;
    let play = async {
        let command = peer.hear().await;
        let line = format!("{{\"return\": {{}}, \"id\": {}}}\n", command["id"]);
        peer.say([line.as_str(), &line].concat()).await;
    };
    let (first, ()) = tokio::join!(qmp.execute("one", Value::Null, PATIENCE), play);
    first.unwrap();
    assert_eq!(ended(qmp.execute("two", Value::Null, PATIENCE).await.unwrap_err()), Ended::Unexpected);
}

#[tokio::test]
async fn the_end_of_a_peer_is_told_to_all_who_wait_and_to_all_who_come_later() {
    let (qmp, mut notices, mut peer) = Peer::greeted().await;
    let play = async {
        peer.hear().await;
        peer.hear().await;
        peer.say(event("SHUTDOWN")).await;
        drop(peer);
    };
    let one = qmp.execute("one", Value::Null, PATIENCE);
    let two = qmp.execute("two", Value::Null, PATIENCE);
    let (one, two, ()) = tokio::join!(one, two, play);
    for answer in [one, two, qmp.execute("three", Value::Null, PATIENCE).await] {
        assert_eq!(ended(answer.unwrap_err()), Ended::Closed);
    }
    assert!(matches!(notices.recv().await, Some(Notice::Event(_))), "what it said last is heard");
    assert_eq!(notices.recv().await, None);
}

#[tokio::test]
async fn what_a_dying_peer_said_last_is_heard_although_a_command_to_it_fails() {
    let (qmp, mut notices, mut peer) = Peer::greeted().await;
    peer.say(event("SHUTDOWN")).await;
    drop(peer);
    assert_eq!(ended(qmp.execute("cont", Value::Null, PATIENCE).await.unwrap_err()), Ended::Closed);
    assert!(matches!(notices.recv().await, Some(Notice::Event(_))));
}

#[tokio::test]
async fn commands_that_nobody_answers_are_refused_once_too_many_wait() {
    let (qmp, _notices, _peer) = Peer::greeted().await;
    for _ in 0..QMP_COMMANDS_WAITING {
        let waited = Duration::from_millis(1);
        assert_eq!(qmp.execute("x", Value::Null, waited).await.unwrap_err(), QmpError::Silent { waited });
    }
    assert_eq!(qmp.execute("x", Value::Null, PATIENCE).await.unwrap_err(), QmpError::Busy);
}

#[tokio::test]
async fn a_caller_that_gives_up_leaves_no_half_command_behind() {
    let (qmp, _notices, mut peer) = Peer::greeted().await;
    let long = "x".repeat(4_000_000); // more than a socket takes at once
    assert!(qmp.execute("long", json!(long), SOON).await.is_err());
    let play = async {
        assert_eq!(peer.answer("1").await["arguments"], json!(long));
        peer.answer("2").await;
    };
    let (answer, ()) = tokio::join!(qmp.execute("short", Value::Null, PATIENCE), play);
    assert_eq!(answer.unwrap(), json!(2));
}

#[tokio::test]
async fn the_conversation_ends_with_its_last_handle() {
    let (qmp, _notices, mut peer) = Peer::greeted().await;
    drop(qmp.clone());
    drop(qmp);
    assert_eq!(peer.stream.read(&mut [0; 1]).await.unwrap(), 0);
}

#[tokio::test]
async fn a_takeover_hears_nothing_of_what_was_meant_for_the_server_before() {
    let (ours, mut peer) = Peer::pair();
    peer.say("oken\": \"half a line\"}\r\n{\"return\": {\"status\": \"running\"}, \"id\": 4}\r\n").await;
    peer.say(event("RESUME")).await;
    let play = async {
        assert_eq!(peer.hear_bytes().await, b"\xff\n");
        peer.say("{\"error\": {\"class\": \"GenericError\", \"desc\": \"JSON parse error\"}}\r\n").await;
        let command = peer.answer("{\"status\": \"paused\"}").await;
        assert_eq!(command["execute"], "query-status");
    };
    let (taken, ()) = tokio::join!(Qmp::take_over(ours, PATIENCE), play);
    let (qmp, mut notices, state) = taken.unwrap();
    assert_eq!(state, RunState::Paused);
    assert!(notices.try_recv().is_err());
    let (answer, _) = tokio::join!(qmp.execute("cont", Value::Null, PATIENCE), peer.answer("{}"));
    answer.unwrap();
}

#[tokio::test]
async fn a_takeover_of_a_peer_that_says_anything_but_the_answer_is_silence_or_its_end() {
    let (ours, _silent) = Peer::pair();
    assert_eq!(Qmp::take_over(ours, SOON).await.unwrap_err(), QmpError::Silent { waited: SOON });

    let (ours, mut other_id) = Peer::pair();
    other_id.say("{\"return\": {\"status\": \"running\"}, \"id\": 1}\n".repeat(100)).await;
    assert_eq!(Qmp::take_over(ours, SOON).await.unwrap_err(), QmpError::Silent { waited: SOON });

    let (ours, mut endless) = Peer::pair();
    let play = async { while endless.stream.write_all(&[b'x'; 1000]).await.is_ok() {} };
    let (taken, ()) = tokio::join!(Qmp::take_over(ours, PATIENCE), play);
    assert_eq!(ended(taken.unwrap_err()), Ended::LongLine { limit_bytes: QMP_LINE_BYTES });

    let (ours, dead) = Peer::pair();
    drop(dead);
    assert_eq!(ended(Qmp::take_over(ours, PATIENCE).await.unwrap_err()), Ended::Closed);
}

/// A machine with nothing in it, paused.
fn bare_qemu() -> Option<RealQemu> {
    let arguments = ["-nodefaults", "-no-user-config", "-display", "none", "-S", "-M", "microvm", "-accel", "tcg"];
    let monitor = ["-chardev", "socket,id=qmp,fd=3", "-mon", "chardev=qmp,mode=control"];
    let arguments: Vec<String> = arguments.iter().chain(&monitor).map(|argument| (*argument).to_owned()).collect();
    RealQemu::spawn(&arguments, &[])
}

async fn next_event(notices: &mut mpsc::Receiver<Notice>) -> String {
    match timeout(PATIENCE, notices.recv()).await.unwrap().unwrap() {
        Notice::Event(event) => event.name,
        Notice::Lost(count) => panic!("{count} events were lost"),
    }
}

#[tokio::test]
async fn a_real_qemu_is_started_paused_and_ended() {
    let Some(mut qemu) = bare_qemu() else { return };
    let (qmp, mut notices) = Qmp::greet(qemu.qmp(), PATIENCE).await.unwrap();
    assert_eq!(qmp.status(PATIENCE).await.unwrap(), RunState::Prelaunch);
    qmp.execute("cont", Value::Null, PATIENCE).await.unwrap();
    assert_eq!(
        (next_event(&mut notices).await.as_str(), qmp.status(PATIENCE).await),
        ("RESUME", Ok(RunState::Running))
    );
    qmp.execute("stop", Value::Null, PATIENCE).await.unwrap();
    assert_eq!((next_event(&mut notices).await.as_str(), qmp.status(PATIENCE).await), ("STOP", Ok(RunState::Paused)));
    let refused = qmp.execute("device_del", json!({ "id": "nothing" }), PATIENCE).await.unwrap_err();
    assert!(matches!(refused, QmpError::Refused(refusal) if refusal.class == "DeviceNotFound"));
    qmp.execute("quit", Value::Null, PATIENCE).await.unwrap();
    assert_eq!(next_event(&mut notices).await, "SHUTDOWN");
    assert!(qemu.wait().success());
    assert_eq!(ended(qmp.status(PATIENCE).await.unwrap_err()), Ended::Closed);
}

#[tokio::test]
async fn a_real_qemu_that_is_killed_is_closed_and_one_that_is_stopped_is_silent() {
    let Some(mut qemu) = bare_qemu() else { return };
    let (qmp, _notices) = Qmp::greet(qemu.qmp(), PATIENCE).await.unwrap();
    kill(qemu.pid(), Signal::SIGSTOP).unwrap();
    assert_eq!(qmp.status(SOON).await.unwrap_err(), QmpError::Silent { waited: SOON });
    kill(qemu.pid(), Signal::SIGCONT).unwrap();
    assert_eq!(qmp.status(PATIENCE).await, Ok(RunState::Prelaunch), "the late answer is not taken for this one");
    qemu.kill();
    let asked = Instant::now();
    assert_eq!(ended(qmp.status(PATIENCE).await.unwrap_err()), Ended::Closed);
    assert!(asked.elapsed() < PATIENCE);
}

#[tokio::test]
async fn a_real_qemu_is_taken_over_in_the_middle_of_a_line_in_both_directions() {
    let Some(qemu) = bare_qemu() else { return };
    // The server before us died at each of these points of its command, after some bytes of an answer.
    let command = b"{\"execute\": \"query-status\", \"arguments\": {\"{[\\\"";
    drop(Qmp::greet(qemu.qmp(), PATIENCE).await.unwrap());
    for cut in 0..=command.len() {
        let mut before = qemu.qmp();
        before.write_all(b"{\"execute\": \"query-chardev\", \"id\": 1}\n").await.unwrap();
        before.read_exact(&mut vec![0; 1 + cut]).await.unwrap();
        before.write_all(&command[..cut]).await.unwrap();
        drop(before);
        let (qmp, mut notices, state) = Qmp::take_over(qemu.qmp(), PATIENCE).await.unwrap();
        assert_eq!((state, qmp.status(PATIENCE).await), (RunState::Prelaunch, Ok(RunState::Prelaunch)), "cut at {cut}");
        assert!(notices.try_recv().is_err());
    }
}

#[tokio::test]
async fn a_real_qemu_whose_server_died_before_it_was_greeted_is_taken_over() {
    let Some(qemu) = bare_qemu() else { return };
    let (_qmp, _notices, state) = Qmp::take_over(qemu.qmp(), PATIENCE).await.unwrap();
    assert_eq!(state, RunState::Prelaunch);
}
