//! Push: the node dials a verifier of its configuration and then answers on that connection, as it answers anybody who
//! dials. The verifier asks; it needs no way into the node's network.

use crate::{
    budget::PUSH_PAUSE_SHORTEST,
    config::Push,
    listen::serve_channel,
    routes::{Channel, Node},
};
use aws_lc_rs::rand;
use garant_attest::wire::Kind;
use garant_channel::{
    binder::binder,
    error::ChannelError,
    tls::{self, Accept},
};
use std::{sync::Arc, time::Duration};
use tokio::{net::lookup_host, time::sleep};

/// Reports to one verifier for ever: at once, then at its interval, and after a failure sooner.
pub async fn report(node: Arc<Node>, verifier: Push) {
    let mut pauses = Pauses::new(verifier.interval_s.duration());
    loop {
        let pause = match report_once(&node, &verifier).await {
            Ok(()) => {
                log::info!("pushed verifier={}", verifier.address.as_str());
                pauses.after_success()
            }
            Err(error) => {
                let pause = pauses.after_failure();
                log::warn!(
                    "push failed verifier={} error={error} next_s={}",
                    verifier.address.as_str(),
                    pause.as_secs()
                );
                pause
            }
        };
        sleep(jittered(pause)).await;
    }
}

/// One connection, until the verifier closes it. One on which no evidence was asked for is a failure.
async fn report_once(node: &Node, verifier: &Push) -> Result<(), ChannelError> {
    let address = lookup_host(verifier.address.as_str()).await?.next();
    let address = address.ok_or_else(|| ChannelError::Io(std::io::ErrorKind::AddrNotAvailable.into()))?;
    let (key, session) = node.quoting.with_sessions(|sessions| {
        let current = sessions.current();
        (current.key().clone(), current.vouched().clone())
    });
    let stream = tls::dial(tls::client(Some(&key), Accept::Only(verifier.key.0))?, address).await?;
    let connection = stream.get_ref().1;
    let binder = binder(connection, Kind::TlsClient)?;
    let channel = Channel::new(Kind::TlsClient, binder, Some(verifier.key.0), Some(session));
    let served = serve_channel(node, &channel, stream).await;
    match (channel.gave_evidence(), served) {
        (true, _) => Ok(()),
        (false, Err(error)) => Err(error),
        (false, Ok(())) => Err(ChannelError::TimedOut { awaited: "challenge" }),
    }
}

/// How long to wait before the next report.
pub(crate) struct Pauses {
    interval: Duration,
    next: Duration,
}

impl Pauses {
    pub(crate) fn new(interval: Duration) -> Pauses {
        Pauses { interval, next: PUSH_PAUSE_SHORTEST }
    }

    pub(crate) fn after_success(&mut self) -> Duration {
        self.next = PUSH_PAUSE_SHORTEST;
        self.interval
    }

    pub(crate) fn after_failure(&mut self) -> Duration {
        let pause = self.next.min(self.interval);
        self.next = self.next.saturating_mul(2);
        pause
    }
}

/// Between a half and the whole, so that a thousand nodes do not come back together.
pub(crate) fn jittered(pause: Duration) -> Duration {
    let mut byte = [0u8; 1];
    // Without random bytes all wait the whole.
    let [share] = rand::fill(&mut byte).map_or([u8::MAX], |()| byte);
    let half = pause.div_f32(2.0);
    half.saturating_add(half.mul_f32(f32::from(share) / f32::from(u8::MAX)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_up_to_the_interval_and_start_anew_after_a_success() {
        let mut pauses = Pauses::new(Duration::from_secs(10));
        let failures: Vec<u64> = (0..6).map(|_| pauses.after_failure().as_secs()).collect();
        assert_eq!(failures, [1, 2, 4, 8, 10, 10]);
        assert_eq!(pauses.after_success(), Duration::from_secs(10));
        assert_eq!(pauses.after_failure(), Duration::from_secs(1));
    }

    #[test]
    fn no_pause_is_shorter_than_half_of_what_it_should_be() {
        let pause = Duration::from_secs(10);
        let seen: Vec<Duration> = (0..200).map(|_| jittered(pause)).collect();
        assert!(seen.iter().all(|seen| (Duration::from_secs(5)..=pause).contains(seen)));
        assert!(seen.iter().any(|other| Some(other) != seen.first()), "all the same");
    }
}
