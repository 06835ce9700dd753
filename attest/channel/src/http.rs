//! HTTP/1.1 on a connection that somebody else opened: framing with limits, and nothing of what is asked.
//!
//! Who dialled does not say who asks: on a pushed connection the node dials and then serves. There is no preface.

mod sent;

use self::sent::Sent;
use crate::{budget, error::ChannelError, stall::Stalling};
use bytes::{Buf, Bytes, buf::Chain};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
pub use hyper::Method;
use hyper::{
    body::{Body, Incoming},
    client::conn::http1 as client,
    header::{ALLOW, CONNECTION, CONTENT_TYPE, HOST, HeaderMap, HeaderValue},
    server::conn::http1 as server,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use std::{convert::Infallible, error::Error, future::Future, time::Duration};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::mpsc,
    time::timeout,
};

/// What a peer asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// One of [`METHODS`]; others are answered with 405 before a handler sees them.
    pub method: Method,
    /// Path without query.
    pub path: String,
    /// What else the head says.
    pub headers: HeaderMap,
    /// At most as long as the server's limit.
    pub body: Bytes,
}

/// What a server answers. The body has a head of its own and a tail that many answers share.
#[derive(Debug)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// Media type of the body.
    pub content_type: &'static str,
    /// The body.
    pub body: Chain<Bytes, Bytes>,
    /// What follows it, until nobody sends any more; nothing is asked for before the peer has taken what came before.
    pub rest: Option<mpsc::Receiver<Bytes>>,
    /// The methods of this path, where the answer is 405.
    pub allow: Option<&'static str>,
    /// What becomes of the connection.
    pub then: Then,
}

/// What becomes of a connection after an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Then {
    /// It waits for the next request.
    Keep,
    /// It is closed once the answer is sent.
    Close,
}

impl Request {
    /// A field of the head, where it is there and text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

impl Answer {
    /// An answer with one body, which keeps the connection.
    pub fn new(status: u16, content_type: &'static str, body: impl Into<Bytes>) -> Answer {
        let body = body.into().chain(Bytes::new());
        Answer { status, content_type, body, rest: None, allow: None, then: Then::Keep }
    }
}

/// Serves one connection until the peer closes it, is too slow, or an answer says so. `limit_bytes` bounds each body.
pub async fn serve<S, H, F>(stream: S, limit_bytes: usize, handler: H) -> Result<(), ChannelError>
where
    S: AsyncRead + AsyncWrite + Unpin,
    H: Fn(Request) -> F,
    F: Future<Output = Answer>,
{
    let handler = &handler;
    let service = service_fn(|request: hyper::Request<Incoming>| async move {
        let answer = match read(request, limit_bytes).await {
            Ok(request) => handler(request).await,
            Err(refusal) => refusal,
        };
        Ok::<_, Infallible>(response(answer))
    });
    let connection = server::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(budget::HEAD)
        .max_buf_size(budget::HEAD_BYTES)
        .max_headers(budget::HEADERS)
        .serve_connection(TokioIo::new(Stalling::new(stream)), service);
    Ok(connection.await?)
}

async fn read(request: hyper::Request<Incoming>, limit_bytes: usize) -> Result<Request, Answer> {
    let (head, body) = request.into_parts();
    if !METHODS.contains(&head.method) {
        let allow = Some("GET, POST, PUT, DELETE");
        return Err(Answer { allow, ..refusal(405, "GET, POST, PUT and DELETE only") });
    }
    match timeout(budget::BODY, collect(body, limit_bytes)).await {
        Ok(Ok(body)) => {
            Ok(Request { method: head.method, path: head.uri.path().to_owned(), headers: head.headers, body })
        }
        Ok(Err(ChannelError::TooLong { .. })) => Err(refusal(413, "the body is too long")),
        Ok(Err(_)) => Err(refusal(400, "the body is broken off")),
        Err(_) => Err(refusal(408, "the body took too long")),
    }
}

/// A refusal after which the rest of the peer's body cannot be told from a next request.
fn refusal(status: u16, why: &'static str) -> Answer {
    Answer { then: Then::Close, ..Answer::new(status, TEXT, why) }
}

fn response(answer: Answer) -> hyper::Response<Sent> {
    let mut response = hyper::Response::new(Sent::new(answer.body, answer.rest));
    *response.status_mut() =
        hyper::StatusCode::from_u16(answer.status).unwrap_or(hyper::StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(answer.content_type));
    if let Some(allow) = answer.allow {
        headers.insert(ALLOW, HeaderValue::from_static(allow));
    }
    if answer.then == Then::Close {
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

/// The asking end of one kept-alive connection.
#[derive(Debug)]
pub struct Connection {
    sender: client::SendRequest<Full<Bytes>>,
}

impl Connection {
    /// Takes over an open stream; a task of the running tokio moves its bytes until this is dropped.
    pub async fn open<S>(stream: S) -> Result<Connection, ChannelError>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (sender, driver) = client::Builder::new()
            .max_buf_size(budget::HEAD_BYTES)
            .max_headers(budget::HEADERS)
            .handshake(TokioIo::new(stream))
            .await?;
        tokio::spawn(driver);
        Ok(Connection { sender })
    }

    /// Whether the peer has closed the connection, as far as is known.
    pub fn is_closed(&self) -> bool {
        self.sender.is_closed()
    }

    /// GET.
    pub async fn get(&mut self, path: &str, budget: Budget) -> Result<(u16, Bytes), ChannelError> {
        self.ask(Method::GET, path, CBOR, Bytes::new(), budget).await
    }

    /// POST of CBOR.
    pub async fn post(
        &mut self,
        path: &str,
        body: impl Into<Bytes>,
        budget: Budget,
    ) -> Result<(u16, Bytes), ChannelError> {
        self.ask(Method::POST, path, CBOR, body.into(), budget).await
    }

    /// JSON by whatever method, one of [`METHODS`].
    pub async fn json(
        &mut self,
        method: Method,
        path: &str,
        body: impl Into<Bytes>,
        budget: Budget,
    ) -> Result<(u16, Bytes), ChannelError> {
        self.ask(method, path, JSON, body.into(), budget).await
    }

    async fn ask(
        &mut self,
        method: Method,
        path: &str,
        content_type: &'static str,
        body: Bytes,
        budget: Budget,
    ) -> Result<(u16, Bytes), ChannelError> {
        let mut request = hyper::Request::new(Full::new(body));
        *request.method_mut() = method;
        *request.uri_mut() = path.parse().map_err(|_| ChannelError::Request)?;
        request.headers_mut().insert(HOST, HeaderValue::from_static("garant"));
        request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        let answered = async {
            self.sender.ready().await?;
            let (head, body) = self.sender.send_request(request).await?.into_parts();
            Ok((head.status.as_u16(), collect(body, budget.bytes).await?))
        };
        timeout(budget.time, answered).await.map_err(|_| ChannelError::TimedOut { awaited: "answer" })?
    }
}

/// What one answer may cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget {
    /// Bytes of its body.
    pub bytes: usize,
    /// From the question to its last byte.
    pub time: Duration,
}

/// A body of at most `limit_bytes`; a longer length in the head is refused before a byte is read.
async fn collect(body: Incoming, limit_bytes: usize) -> Result<Bytes, ChannelError> {
    let too_long = ChannelError::TooLong { limit_bytes };
    let announced = body.size_hint().lower();
    if usize::try_from(announced).is_ok_and(|bytes| bytes <= limit_bytes) {
        let collected = Limited::new(body, limit_bytes).collect().await.map_err(|error| broken(error, limit_bytes))?;
        return Ok(collected.to_bytes());
    }
    Err(too_long)
}

fn broken(error: Box<dyn Error + Send + Sync>, limit_bytes: usize) -> ChannelError {
    if error.is::<LengthLimitError>() {
        return ChannelError::TooLong { limit_bytes };
    }
    match error.downcast::<hyper::Error>() {
        Ok(error) => ChannelError::Http(*error),
        Err(_) => ChannelError::Request,
    }
}

/// What can be asked. HEAD is not among them, nor is TRACE, which repeats what was sent.
pub const METHODS: [Method; 4] = [Method::GET, Method::POST, Method::PUT, Method::DELETE];
/// Media type of our messages.
pub const CBOR: &str = "application/cbor";
/// Media type of requests about VMs.
const JSON: &str = "application/json";
/// Media type of refusals that are made here.
const TEXT: &str = "text/plain; charset=utf-8";

#[cfg(test)]
mod tests;
