//! Events as they happen, as a stream that does not end (server-sent events, HTML Living Standard 9.2). A reader takes them
//! at its own pace: nothing is kept for it but its place, so one that is too slow finds a gap where its place no longer is.

use crate::{
    budget::{EVENTS_AT_ONCE, EVENTS_STREAM, EVENTS_WAIT},
    vm::{
        actor::Host,
        board::{Board, News},
        clients::Caller,
    },
};
use bytes::Bytes;
use garant_api::event::{Gap, STREAM_MEDIA_TYPE};
use garant_channel::http::Answer;
use serde::Serialize;
use std::{fmt::Write, sync::Arc};
use tokio::{
    sync::mpsc,
    time::{Instant, sleep_until, timeout},
};

/// Events after this one, or from now on.
pub fn stream(host: Arc<Host>, caller: Caller, after: Option<u64>) -> Answer {
    let (send, rest) = mpsc::channel(1);
    tokio::spawn(async move {
        let end = Instant::now().checked_add(EVENTS_STREAM).unwrap_or_else(Instant::now);
        tokio::select! {
            () = feed(&host.board, &caller, after, &send) => {}
            // Its reader is gone, or comes back with a new handshake.
            () = send.closed() => {}
            () = sleep_until(end) => {}
        }
    });
    Answer { rest: Some(rest), ..Answer::new(200, STREAM_MEDIA_TYPE, Bytes::new()) }
}

async fn feed(board: &Board, caller: &Caller, after: Option<u64>, send: &mpsc::Sender<Bytes>) {
    let mut place = after.unwrap_or_else(|| board.last_event());
    // At once, so that a reader knows that it is heard, and its place.
    let mut piece = mark(place);
    while send.send(piece.into()).await.is_ok() {
        let _ = timeout(EVENTS_WAIT, board.wait_for_event(caller, place)).await;
        let news = board.news(caller, place, EVENTS_AT_ONCE);
        place = news.place;
        piece = text(&news);
    }
}

/// A reader's place alone: it moves on although nothing happened that this reader may see, and shows that we are there.
fn mark(place: u64) -> String {
    format!("id: {place}\n\n")
}

fn text(news: &News) -> String {
    if let Some(first_kept) = news.gap {
        return one(news.place, "gap", &Gap { first_kept, sequence: news.place });
    }
    let events: String = news.events.iter().map(|event| one(event.sequence, "vm", event)).collect();
    if news.events.last().is_some_and(|last| last.sequence == news.place) { events } else { events + &mark(news.place) }
}

/// JSON has no line breaks but those that it escapes.
fn one(id: u64, kind: &str, data: &impl Serialize) -> String {
    let mut text = String::new();
    let data = serde_json::to_string(data).unwrap_or_default();
    // Writing to memory cannot fail.
    let _ = write!(text, "id: {id}\nevent: {kind}\ndata: {data}\n\n");
    text
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::{
        budget::VM_EVENTS,
        vm::{
            board::tests::{board, ensure_as},
            clients::tests::caller,
        },
    };
    use garant_api::{client::Role, vm::State};
    use std::time::Duration;

    /// The next piece that a reader takes, without a wait for what does not come.
    async fn piece(rest: &mut mpsc::Receiver<Bytes>) -> String {
        let piece = timeout(Duration::from_secs(5), rest.recv()).await.unwrap().unwrap();
        String::from_utf8(piece.to_vec()).unwrap()
    }

    fn ids(text: &str) -> Vec<u64> {
        text.lines().filter_map(|line| line.strip_prefix("id: ")).map(|id| id.parse().unwrap()).collect()
    }

    #[tokio::test]
    async fn a_reader_that_is_too_slow_finds_a_gap_and_then_reads_on_and_nothing_is_kept_for_it() {
        let board = Arc::new(board(1024, 8));
        ensure_as(&Caller::LOCAL, &board, "a", 1, 64).unwrap();
        let (send, mut rest) = mpsc::channel(1);
        let ours = board.clone();
        tokio::spawn(async move { feed(&ours, &Caller::LOCAL, None, &send).await });
        let place = board.last_event();
        assert_eq!(piece(&mut rest).await, format!("id: {place}\n\n"), "that it is heard, at once");
        let id = "a".parse().unwrap();
        let change = |times: usize| {
            for _ in 0..times {
                board.update(&id, |vm| vm.state = State::Stopped).unwrap();
            }
        };
        change(1);
        tokio::time::sleep(Duration::from_millis(50)).await;
        // It does not read, while more happens than is kept.
        change(VM_EVENTS * 2);
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert!(rest.len() <= 1, "one piece waits");
        assert_eq!(ids(&piece(&mut rest).await), [place + 1]);
        let found = piece(&mut rest).await;
        let mut last = place + 1;
        if !found.contains("event: gap") {
            // The feeder had taken one more piece before it had to wait.
            last = *ids(&found).last().unwrap();
        }
        let gap = if last > place + 1 { piece(&mut rest).await } else { found };
        let now = board.last_event();
        let first_kept = board.events(&Caller::LOCAL, 0).first_kept;
        assert_eq!(gap, format!("id: {now}\nevent: gap\ndata: {{\"first_kept\":{first_kept},\"sequence\":{now}}}\n\n"));
        change(1);
        assert_eq!(ids(&piece(&mut rest).await), [now + 1]);
    }

    #[tokio::test]
    async fn pieces_are_bounded_in_order_and_without_what_a_tenant_may_not_see() {
        let board = board(1024, 8);
        let shop = caller("shop", Role::Tenant);
        ensure_as(&shop, &board, "own", 1, 64).unwrap();
        ensure_as(&Caller::LOCAL, &board, "others", 1, 64).unwrap();
        let before = board.last_event();
        for _ in 0..EVENTS_AT_ONCE {
            for id in ["own", "others"] {
                board.update(&id.parse().unwrap(), |vm| vm.state = State::Stopped).unwrap();
            }
        }
        let whole = board.news(&shop, before, EVENTS_AT_ONCE);
        assert_eq!(whole.events.len(), EVENTS_AT_ONCE);
        assert!(whole.events.iter().all(|event| event.id.as_str() == "own"));
        let rest = board.news(&shop, whole.place, EVENTS_AT_ONCE);
        assert_eq!((rest.events.len(), rest.place), (0, board.last_event()));
        assert_eq!(text(&rest), mark(board.last_event()), "its place moves on all the same");
        let ids = ids(&text(&whole));
        assert!(ids.is_sorted() && ids.len() == EVENTS_AT_ONCE);
    }

    #[test]
    fn a_text_from_a_guest_cannot_end_its_event() {
        let data = serde_json::json!({ "reason": "a\n\nevent: vm\ndata: {}\r\n" });
        assert_eq!(one(1, "vm", &data).lines().count(), 4);
    }
}
