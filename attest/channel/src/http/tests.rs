#![allow(clippy::unwrap_used, clippy::indexing_slicing)]
use super::*;
use std::{
    io,
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream, ReadBuf, duplex},
    task::JoinHandle,
    time::Instant,
};

const LIMIT_BYTES: usize = 64;
const PATIENT: Budget = Budget { bytes: 1 << 20, time: Duration::from_secs(3600) };

/// Answers each request with its body, twice for `/twice`; `/close` closes, `/big` is 54 KB, `/never` does not answer.
fn served(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) -> JoinHandle<Result<(), ChannelError>> {
    tokio::spawn(serve(stream, LIMIT_BYTES, |request: Request| async move {
        let then = if request.path == "/close" { Then::Close } else { Then::Keep };
        match request.path.as_str() {
            "/big" => Answer::new(200, CBOR, vec![7; 54 * 1024]),
            "/twice" => {
                let body = request.body.clone().chain(request.body);
                Answer { body, then, ..Answer::new(200, CBOR, Bytes::new()) }
            }
            "/pieces" => {
                let (send, rest) = mpsc::channel(1);
                let sending = async move {
                    for piece in ["a", "b", "c"] {
                        send.send(piece.into()).await.unwrap()
                    }
                };
                tokio::spawn(sending);
                Answer { rest: Some(rest), then, ..Answer::new(200, TEXT, "first:") }
            }
            "/endless" => {
                let (send, rest) = mpsc::channel(1);
                tokio::spawn(async move { while send.send(Bytes::from_static(&[7; 1024])).await.is_ok() {} });
                Answer { rest: Some(rest), then, ..Answer::new(200, TEXT, Bytes::new()) }
            }
            "/not-here" => Answer { allow: Some("PUT"), then, ..Answer::new(405, TEXT, "no") },
            "/never" => std::future::pending().await,
            _ => Answer { then, ..Answer::new(200, CBOR, request.body) },
        }
    }))
}

fn pair() -> (DuplexStream, JoinHandle<Result<(), ChannelError>>) {
    let (here, there) = duplex(64 * 1024);
    (here, served(there))
}

#[tokio::test]
async fn a_body_that_comes_in_pieces_ends_with_its_sender_and_the_connection_goes_on() {
    let (stream, _) = pair();
    let mut connection = Connection::open(stream).await.unwrap();
    for _ in 0..2 {
        assert_eq!(connection.get("/pieces", PATIENT).await.unwrap(), (200, Bytes::from("first:abc")));
    }
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_takes_no_piece_is_cut_off_and_its_sender_told() {
    let (mut stream, server) = pair();
    stream.write_all(b"GET /endless HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    let started = Instant::now();
    assert!(server.await.unwrap().is_err());
    assert!(started.elapsed() <= budget::STALL + Duration::from_secs(1));
}

#[tokio::test]
async fn what_is_not_allowed_here_says_what_is() {
    let (mut stream, _) = pair();
    stream.write_all(b"GET /not-here HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await.unwrap();
    assert!(until_end(stream).await.to_lowercase().contains("\r\nallow: put\r\n"));
}

async fn until_end(mut stream: DuplexStream) -> String {
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    String::from_utf8(answer).unwrap()
}

#[tokio::test]
async fn one_connection_carries_many_exchanges() {
    let (stream, _) = pair();
    let mut connection = Connection::open(stream).await.unwrap();
    for _ in 0..3 {
        assert_eq!(connection.post("/twice", &b"ab"[..], PATIENT).await.unwrap(), (200, Bytes::from("abab")));
        assert_eq!(connection.get("/", PATIENT).await.unwrap(), (200, Bytes::new()));
    }
}

#[tokio::test]
async fn an_answer_that_closes_is_the_last_one() {
    let (stream, server) = pair();
    let mut connection = Connection::open(stream).await.unwrap();
    assert_eq!(connection.post("/close", &b"x"[..], PATIENT).await.unwrap().0, 200);
    assert!(connection.get("/", PATIENT).await.is_err());
    server.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_sends_its_head_byte_by_byte_is_cut_off() {
    let (mut stream, server) = pair();
    let started = Instant::now();
    for byte in b"GET / HTTP/1.1\r\nx: ".iter().chain(std::iter::repeat_n(&b'y', 1000)) {
        tokio::time::sleep(Duration::from_secs(1)).await;
        if stream.write_all(&[*byte]).await.is_err() {
            break;
        }
    }
    assert!(server.await.unwrap().is_err());
    assert!(started.elapsed() < budget::HEAD + Duration::from_secs(2));
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_says_nothing_is_cut_off() {
    let (stream, server) = pair();
    let mut connection = Connection::open(stream).await.unwrap();
    assert_eq!(connection.get("/", PATIENT).await.unwrap().0, 200);
    let started = Instant::now();
    let _ = server.await.unwrap();
    assert!(started.elapsed() <= budget::HEAD + Duration::from_secs(1));
    assert!(connection.is_closed());
}

#[tokio::test(start_paused = true)]
async fn a_body_that_comes_byte_by_byte_is_cut_off() {
    let (mut stream, _) = pair();
    stream.write_all(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 60\r\n\r\n").await.unwrap();
    let started = Instant::now();
    assert!(until_end(stream).await.starts_with("HTTP/1.1 408"));
    assert!(started.elapsed() <= budget::BODY + Duration::from_secs(1));
}

#[tokio::test]
async fn a_body_beyond_the_limit_is_refused_whether_announced_or_not() {
    let (stream, _) = pair();
    let mut connection = Connection::open(stream).await.unwrap();
    assert_eq!(connection.post("/", vec![0; LIMIT_BYTES], PATIENT).await.unwrap().0, 200);
    assert_eq!(connection.post("/", vec![0; LIMIT_BYTES + 1], PATIENT).await.unwrap().0, 413);
    let (mut stream, _) = pair();
    let chunk = format!("41\r\n{}\r\n0\r\n\r\n", "x".repeat(0x41));
    let head = "POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n";
    stream.write_all((head.to_owned() + &chunk).as_bytes()).await.unwrap();
    assert!(until_end(stream).await.starts_with("HTTP/1.1 413"));
}

#[tokio::test]
async fn a_head_beyond_the_limit_is_refused() {
    for head in [format!("GET /{} HTTP/1.1\r\n\r\n", "x".repeat(budget::HEAD_BYTES)), {
        let fields = (0..=budget::HEADERS).map(|n| format!("x{n}: y\r\n")).collect::<String>();
        format!("GET / HTTP/1.1\r\n{fields}\r\n")
    }] {
        let (mut stream, server) = pair();
        stream.write_all(head.as_bytes()).await.unwrap();
        assert!(until_end(stream).await.starts_with("HTTP/1.1 4"));
        assert!(server.await.unwrap().is_err());
    }
}

#[tokio::test]
async fn another_method_than_the_four_is_refused() {
    for method in ["HEAD", "PATCH", "OPTIONS", "TRACE", "PROPFIND", "get"] {
        let (mut stream, _) = pair();
        stream.write_all(format!("{method} / HTTP/1.1\r\nhost: x\r\n\r\n").as_bytes()).await.unwrap();
        assert!(until_end(stream).await.starts_with("HTTP/1.1 405"), "{method}");
    }
}

#[tokio::test]
async fn each_method_carries_json_and_is_said_to_the_handler() {
    let (here, there) = duplex(64 * 1024);
    tokio::spawn(serve(there, LIMIT_BYTES, async |request: Request| {
        let body = [request.method.as_str().as_bytes(), &request.body].concat();
        Answer::new(200, JSON, body)
    }));
    let mut connection = Connection::open(here).await.unwrap();
    for method in METHODS {
        let (status, body) = connection.json(method.clone(), "/", &b"{}"[..], PATIENT).await.unwrap();
        assert_eq!((status, body), (200, Bytes::from(format!("{method}{{}}"))));
    }
    let too_long = connection.json(Method::DELETE, "/", vec![b' '; LIMIT_BYTES + 1], PATIENT).await.unwrap();
    assert_eq!(too_long.0, 413);
}

#[tokio::test]
async fn a_body_is_announced_as_what_it_is() {
    for (method, media_type) in [(Method::PUT, JSON), (Method::POST, CBOR)] {
        let (here, mut there) = duplex(64 * 1024);
        let mut connection = Connection::open(here).await.unwrap();
        let asked = async {
            match method {
                Method::PUT => connection.json(method, "/", &b"{}"[..], PATIENT).await,
                _ => connection.post("/", &b"{}"[..], PATIENT).await,
            }
        };
        let head = async {
            let mut head = [0; 256];
            let bytes = there.read(&mut head).await.unwrap();
            drop(there);
            String::from_utf8_lossy(&head[..bytes]).into_owned()
        };
        let (_, head) = tokio::join!(asked, head);
        assert!(head.contains(&format!("content-type: {media_type}\r\n")), "{head}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_does_not_read_its_answer_is_cut_off() {
    let (mut here, there) = duplex(64);
    let server = served(there);
    here.write_all(b"GET /big HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    let started = Instant::now();
    assert!(server.await.unwrap().is_err());
    assert!(started.elapsed() <= budget::STALL + Duration::from_secs(1));
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_reads_its_answer_byte_by_byte_is_cut_off() {
    let (mut here, there) = duplex(64);
    let server = served(there);
    here.write_all(b"GET /big HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    let started = Instant::now();
    while !server.is_finished() && started.elapsed() < 3 * budget::STALL {
        let _ = here.read_u8().await;
        tokio::time::sleep(budget::STALL / 4).await;
    }
    assert!(server.is_finished(), "the connection and its answer are held as long as the peer likes");
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_does_not_come_ends_the_exchange_in_time() {
    let (stream, _) = pair();
    let mut connection = Connection::open(stream).await.unwrap();
    let hasty = Budget { time: Duration::from_secs(3), ..PATIENT };
    let refused = connection.get("/never", hasty).await;
    assert!(matches!(refused, Err(ChannelError::TimedOut { .. })));
}

#[tokio::test]
async fn an_answer_beyond_its_budget_is_refused() {
    let (stream, _) = pair();
    let mut connection = Connection::open(stream).await.unwrap();
    let small = Budget { bytes: 54 * 1024 - 1, ..PATIENT };
    assert!(matches!(connection.get("/big", small).await, Err(ChannelError::TooLong { .. })));
    let (mut liar, stream) = duplex(64 * 1024);
    let mut connection = Connection::open(stream).await.unwrap();
    let chunked = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
    let lie = async {
        let _ = liar.read(&mut [0; 256]).await.unwrap();
        liar.write_all(chunked.as_bytes()).await.unwrap();
    };
    let ((), refused) = tokio::join!(lie, connection.get("/", Budget { bytes: 2, ..PATIENT }));
    assert!(matches!(refused, Err(ChannelError::TooLong { .. })), "{refused:?}");
}

#[tokio::test]
async fn an_answer_of_54_kb_leaves_in_one_write() {
    let (mut here, there) = duplex(128 * 1024);
    let writes = Arc::new(Mutex::new(Vec::new()));
    served(Counting { stream: there, writes: writes.clone() });
    here.write_all(b"GET /big HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    let mut answer = vec![0; 54 * 1024];
    here.read_exact(&mut answer).await.unwrap();
    assert_eq!(writes.lock().unwrap().len(), 1, "{writes:?}");
}

/// A stream that, as TLS does, takes many slices at once, and counts its writes.
struct Counting {
    stream: DuplexStream,
    writes: Arc<Mutex<Vec<usize>>>,
}

impl AsyncRead for Counting {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Counting {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.writes.lock().unwrap().push(bytes.len());
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let whole: Vec<u8> = slices.iter().flat_map(|slice| slice.iter().copied()).collect();
        self.poll_write(context, &whole)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
