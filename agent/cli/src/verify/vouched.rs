//! A connection to a node on which something else is asked than evidence, once the evidence that came over it was yes.
//!
//! The session key of the TLS handshake is the one that the quoted boot vouches for, so what is asked afterwards goes to the
//! machine and the software of the verdict, and to nobody between.

use super::{Args, Asking, Case, answer, known_witnesses};
use crate::{failure::Failure, output::Answer, place::failure};
use garant_channel::error::ChannelError;
use garant_verifier::{
    clock::Clock,
    dial::{Address, Link},
    error::VerifierError,
    session::Session,
    statements::Collected,
};

/// Why there is no such connection.
#[derive(Debug)]
pub(crate) enum NotVouched {
    /// The node, or the network: it is away.
    Away(ChannelError),
    /// The node is not what the policy accepts, or nothing can be said of it.
    Unproven(Failure),
}

impl From<Failure> for NotVouched {
    fn from(failure: Failure) -> NotVouched {
        NotVouched::Unproven(failure)
    }
}

impl From<VerifierError> for NotVouched {
    fn from(error: VerifierError) -> NotVouched {
        match error {
            VerifierError::Channel { source, .. } => NotVouched::Away(source),
            other => NotVouched::Unproven(failure(other)),
        }
    }
}

/// Dials a node, showing our key, and has it prove itself under the policy.
pub(crate) async fn connect(address: &Address, asking: &Asking) -> Result<Session, NotVouched> {
    let args = Args {
        address: None,
        asking: asking.clone(),
        max_age: Some(MAX_AGE_S),
        ear: None,
        save: None,
        boot_log: None,
        bundle: None,
        at: None,
    };
    let rules = asking.trust.sources(asking.policy.as_deref()).read()?;
    let key = asking.trust.existing_key()?.ok_or_else(no_key)?;
    let witnesses = known_witnesses(asking, Some(&key), &rules);
    let (store, brought) = (asking.trust.store_file()?, Collected::read(&asking.statements)?);
    let case = Case { args: &args, rules, key: Some(key), witnesses, store, brought };
    let mut session = Session::new(
        Link::dial(address, case.key.as_ref()).await?,
        Clock::of_this_boot().map_err(VerifierError::Clock)?,
    );
    let judgement = case.judged(&mut session).await?;
    match answer(&case.rules, &judgement.verdict) {
        Answer::Yes => Ok(session),
        other => Err(not_accepted(address, other, case.rules.policy().is_some()).into()),
    }
}

fn no_key() -> Failure {
    let next = "make one with `garant keygen`, and have the node's operator list it in [[vms.client]]";
    Failure::new("a node elsewhere answers only keys that it lists", "--key", next)
}

fn not_accepted(address: &Address, found: Answer, has_policy: bool) -> Failure {
    let word = if matches!(found, Answer::No) { "no" } else { "unknown" };
    let what = format!("nothing was asked of the node, since its evidence is `{word}` and not `yes`");
    let next = match has_policy {
        true => "`garant verify` with the same options says why",
        false => "say with --policy what you accept; `garant enroll` tells machines apart",
    };
    Failure::new(what, address, next)
}

/// Seconds that a quote may be old where the node was seen before: the life of a session key.
const MAX_AGE_S: u64 = 600;
