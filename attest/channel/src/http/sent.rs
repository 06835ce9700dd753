//! The body of an answer: a whole one of known length, or one whose pieces come as they come to be.

use bytes::{Buf, Bytes, buf::Chain};
use hyper::body::{Body, Frame, SizeHint};
use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
};
use tokio::sync::mpsc;

/// What is still to be sent.
pub(super) struct Sent {
    body: Option<Chain<Bytes, Bytes>>,
    rest: Option<mpsc::Receiver<Bytes>>,
}

impl Sent {
    /// A body, and what follows it.
    pub(super) fn new(body: Chain<Bytes, Bytes>, rest: Option<mpsc::Receiver<Bytes>>) -> Sent {
        Sent { body: Some(body).filter(Buf::has_remaining), rest }
    }
}

impl Body for Sent {
    type Data = Chain<Bytes, Bytes>;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Chain<Bytes, Bytes>>, Infallible>>> {
        if let Some(body) = self.body.take() {
            return Poll::Ready(Some(Ok(Frame::data(body))));
        }
        let Some(rest) = &mut self.rest else { return Poll::Ready(None) };
        rest.poll_recv(context).map(|piece| piece.map(|piece| Ok(Frame::data(piece.chain(Bytes::new())))))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_none() && self.rest.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        let length = self.body.as_ref().map_or(0, Buf::remaining);
        match (&self.rest, u64::try_from(length)) {
            (None, Ok(length)) => SizeHint::with_exact(length),
            _ => SizeHint::default(),
        }
    }
}
