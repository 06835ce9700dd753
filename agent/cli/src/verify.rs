//! `garant verify`: asks a node and says what its answer proves; or reads a saved answer, which proves nothing about now.

use crate::{
    failure::Failure,
    output::{Answer, Output},
    place::{Trust, block_on, failure, progress},
};
use clap::ArgGroup;
use garant_attest::{
    budget::STATEMENT_BYTES,
    ear,
    engine::PublicKey,
    public_area::AttestationKey,
    verdict,
    wire::{Identity, Kind, Mode},
};
use garant_channel::{engine::FastEngine, key::SigningKey};
use garant_verifier::{
    assess::{Judgement, Rulebook, StandingRecord, Witness, judge, nothing_proven, refusal_reason},
    bundle::{BUNDLE_BYTES, Bundle},
    clock::Clock,
    dial::{Address, Link},
    error::VerifierError,
    known::{Alias, Memory, sent_log},
    report::{Report, hex, utc},
    seal::Sealer,
    serve::witnesses,
    session::{Answered, Rejection, Session},
    sources::read_file,
    store::Store,
};
use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

/// Ask a node what it booted, and say what its answer proves.
///
/// Exit code: 0 if boot is yes, 1 if no, 2 if unknown (also where nothing answers, or an answer fails a check), 3 for an
/// error of yours. `no` names the event that decided.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES, group = ArgGroup::new("what").args(["address", "bundle"]).required(true))]
pub(crate) struct Args {
    /// host:port, or unix:PATH on the machine itself.
    address: Option<Address>,
    /// What you accept; without a policy every answer is unknown.
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,
    /// The node's enrolment record; default: the one in the state folder.
    #[arg(long, value_name = "FILE")]
    record: Option<PathBuf>,
    /// Public key (64 hexadecimal digits) of another verifier whose records count as its testimony.
    #[arg(long, value_name = "KEY", value_parser = public_key)]
    witness: Vec<[u8; 32]>,
    /// Accept a cached answer whose quote is at most so many seconds old, by your own clock.
    #[arg(long, value_name = "S")]
    max_age: Option<u64>,
    /// Write the signed result (EAR) here.
    #[arg(long, value_name = "FILE")]
    ear: Option<PathBuf>,
    /// For whom the result is (`aud`).
    #[arg(long, value_name = "WHO")]
    audience: Option<String>,
    /// Save the answer, to check later what it showed now.
    #[arg(long, value_name = "FILE", conflicts_with = "bundle")]
    save: Option<PathBuf>,
    /// Write the boot event log that came with the answer here, for `garant log` and `garant policy`.
    #[arg(long, value_name = "FILE", conflicts_with = "bundle")]
    boot_log: Option<PathBuf>,
    /// Check a saved answer instead of asking.
    #[arg(long, value_name = "FILE")]
    bundle: Option<PathBuf>,
    #[command(flatten)]
    trust: Trust,
}

/// Asks, or reads, and prints the verdict.
pub(crate) fn run(args: &Args, output: &Output) -> Result<Answer, Failure> {
    let rules = args.trust.sources(args.policy.as_deref()).read().map_err(failure)?;
    let key = args.trust.existing_key()?;
    let (witnesses, store) = (known_witnesses(args, key.as_ref(), &rules), args.trust.store_file()?);
    let case = Case { args, rules, key, witnesses, store };
    let judgement = match (&args.bundle, &args.address) {
        (Some(file), _) => case.recheck(file)?,
        (None, Some(address)) => case.ask(address)?,
        (None, None) => return Err(Failure::new("nothing to verify", "command line", "name an ADDRESS or --bundle")),
    };
    let claims = judgement.ear(args.audience.as_deref(), LIFETIME);
    if let (Some(file), Some(signed)) = (&args.ear, case.signed(&judgement)?) {
        write(file, &signed)?;
    }
    output.show(&Report::of(&claims))?;
    Ok(match judgement.verdict.boot.answer {
        verdict::Answer::Yes => Answer::Yes,
        verdict::Answer::No => Answer::No,
        verdict::Answer::Unknown => Answer::Unknown,
    })
}

fn known_witnesses(args: &Args, key: Option<&SigningKey>, rules: &Rulebook) -> Vec<Witness> {
    let others = args
        .witness
        .iter()
        .map(|other| Witness { key: PublicKey::Ed25519(*other), name: Some(format!("verifier {}", hex(other))) });
    key.map(|key| witnesses(key, rules)).unwrap_or_default().into_iter().chain(others).collect()
}

struct Case<'a> {
    args: &'a Args,
    rules: Rulebook,
    key: Option<SigningKey>,
    witnesses: Vec<Witness>,
    store: PathBuf,
}

/// What came back, and what is known of whoever should have sent it.
struct Exchange<'e> {
    /// Kind, nonce and binder of the challenge.
    words: (Kind, [u8; 32], [u8; 32]),
    answer: &'e [u8],
    record: Option<&'e StandingRecord<'e>>,
    memory: &'e Memory,
}

impl Case<'_> {
    fn ask(&self, address: &Address) -> Result<Judgement, Failure> {
        match block_on(self.converse(address))? {
            // Silence and refusals say nothing about the machine: that is an answer, and it is unknown.
            Err(error @ (VerifierError::Channel { .. } | VerifierError::Status { .. })) => {
                let kind = if matches!(address, Address::Unix(_)) { Kind::None } else { Kind::TlsServer };
                Ok(nothing_proven(&self.rules, None, kind, &format!("no answer: {error}")))
            }
            judged => judged.map_err(failure),
        }
    }

    async fn converse(&self, address: &Address) -> Result<Judgement, VerifierError> {
        progress(&format!("dialling {address}"));
        let link = Link::dial(address, self.key.as_ref()).await?;
        let mut session = Session::new(link, Clock::of_this_boot().map_err(VerifierError::Clock)?);
        let statement = self.statement(&mut session).await?;
        let Some(statement) = &statement else {
            return self.exchange(&mut session, None, &Memory::default()).await;
        };
        let record = self.rules.open(statement, &self.witnesses)?;
        let memory = self.remembered(&record, statement)?;
        self.exchange(&mut session, Some(&record), &memory).await
    }

    /// The record that was named, or the one that the store has for the key which the node claims.
    async fn statement(&self, session: &mut Session) -> Result<Option<Vec<u8>>, VerifierError> {
        if let Some(file) = &self.args.record {
            return read_file(file, STATEMENT_BYTES).map(Some);
        }
        let Some(name) = claimed_name(&session.identity().await?) else { return Ok(None) };
        let store = Store::open(&self.store)?;
        match store.find(&Alias::Ak(name))? {
            Some(id) => Ok(store.record(id)?),
            None => Ok(None),
        }
    }

    /// What is remembered of the record's TPM. The store is closed while the node is asked.
    fn remembered(&self, record: &StandingRecord<'_>, statement: &[u8]) -> Result<Memory, VerifierError> {
        let store = Store::open(&self.store)?;
        record.keep(&self.rules, &store, statement, None)?;
        Ok(store.memory(*record.id().as_bytes())?)
    }

    async fn exchange(
        &self,
        session: &mut Session,
        record: Option<&StandingRecord<'_>>,
        memory: &Memory,
    ) -> Result<Judgement, VerifierError> {
        let held: Vec<_> = memory.held().into_iter().collect();
        if let Some(max_age_s) = self.args.max_age
            && !memory.sightings.is_empty()
        {
            let (sent, answer) = session.ask(Mode::Cached, memory).await?;
            let exchange = Exchange { words: sent.words(), answer: &answer, record, memory };
            match sent.spend(&FastEngine, &answer, memory, &held, &session.now()?) {
                // Too old, or of unknown age: a fresh one is asked for.
                Ok(cached) if cached.age > Duration::from_secs(max_age_s) => {}
                Err(Rejection::NoMoment) => {}
                outcome => return self.conclude(&exchange, outcome),
            }
        }
        progress("waiting for the TPM's signature");
        let (sent, answer) = session.ask(Mode::Fresh, memory).await?;
        let exchange = Exchange { words: sent.words(), answer: &answer, record, memory };
        self.conclude(&exchange, sent.spend(&FastEngine, &answer, memory, &held, &session.now()?))
    }

    fn conclude(
        &self,
        exchange: &Exchange<'_>,
        outcome: Result<Answered<'_>, Rejection>,
    ) -> Result<Judgement, VerifierError> {
        let judgement = match outcome {
            Ok(answered) => {
                let judgement = judge(&self.rules, &answered, exchange.record);
                self.learn(exchange, answered)?;
                judgement
            }
            Err(rejection) => {
                let subject = exchange.record.map(subject);
                nothing_proven(&self.rules, subject, exchange.words.0, &refusal_reason(&rejection))
            }
        };
        self.save(exchange, &judgement)?;
        Ok(judgement)
    }

    fn learn(&self, exchange: &Exchange<'_>, answered: Answered<'_>) -> Result<(), VerifierError> {
        let Some(record) = exchange.record else { return Ok(()) };
        let seen = answered.verified.quote().clock_info();
        let store = Store::open(&self.store)?;
        store.learn(*record.id().as_bytes(), seen, answered.sighting, sent_log(exchange.answer))?;
        Ok(())
    }

    /// Writes the log and the answer, where files were named for them.
    fn save(&self, exchange: &Exchange<'_>, judgement: &Judgement) -> Result<(), VerifierError> {
        let held_log = exchange.memory.log.as_ref().map(|(_, log)| log.as_slice());
        if let (Some(file), Some(log)) = (&self.args.boot_log, sent_log(exchange.answer).or(held_log)) {
            save(file, log)?;
        }
        let Some(file) = &self.args.save else { return Ok(()) };
        let (kind, nonce, binder) = exchange.words;
        let signed = self.seal(judgement).transpose()?;
        let bundle = Bundle::new(kind, nonce, binder, exchange.answer, held_log, signed.as_deref());
        save(file, &bundle.encode().map_err(VerifierError::Encoding)?)
    }

    fn seal(&self, judgement: &Judgement) -> Option<Result<Vec<u8>, VerifierError>> {
        let policy = self.rules.policy()?.digest();
        let sealer = Sealer::new(self.key.clone()?, vec![policy]);
        judgement.node_id()?;
        Some(sealer.ear(&judgement.ear(self.args.audience.as_deref(), LIFETIME)))
    }

    /// The signed result; a failure where one was asked for and cannot be signed.
    fn signed(&self, judgement: &Judgement) -> Result<Option<Vec<u8>>, Failure> {
        if self.args.ear.is_none() {
            return Ok(None);
        }
        let missing = || {
            Failure::new(
                "no result was signed",
                "--ear",
                "it needs --policy, a key, and an enrolled node (`garant enroll`)",
            )
        };
        self.seal(judgement).ok_or_else(missing)?.map(Some).map_err(failure)
    }

    /// A saved answer: what it showed then stands in the reasons, and the verdict on now is unknown.
    fn recheck(&self, file: &Path) -> Result<Judgement, Failure> {
        let bytes = read_file(file, BUNDLE_BYTES).map_err(failure)?;
        let no_bundle =
            |error| Failure::new(error, file.display(), "`garant verify ADDRESS --save FILE` writes such a file");
        let bundle = Bundle::decode(&bytes).map_err(no_bundle)?;
        let statement = self.args.record.as_ref().map(|file| read_file(file, STATEMENT_BYTES));
        let statement = statement.transpose().map_err(failure)?;
        let record = statement.as_deref().map(|statement| self.rules.open(statement, &self.witnesses));
        let record = record.transpose().map_err(failure)?;
        let subject = record.as_ref().map(subject);
        let mut judgement = nothing_proven(&self.rules, subject, bundle.1, OLD_ANSWER);
        let reasons = &mut judgement.verdict.boot.reasons;
        reasons.push(self.signed_then(bundle.6.map(|ear| &ear[..])));
        match bundle.recheck(&self.rules, record.as_ref()) {
            Err(refusal) => reasons.push(format!("check {}: {refusal}", refusal.check())),
            Ok(then) => {
                reasons.push(format!("to whoever sent its challenge it showed boot: {}", then.verdict.boot));
                reasons.extend(then.verdict.boot.reasons.into_iter().map(|reason| format!("then: {reason}")));
            }
        }
        Ok(judgement)
    }

    /// The time of a saved answer is that of a signed result in it, where one of our witnesses signed it.
    fn signed_then(&self, ear: Option<&[u8]>) -> String {
        let Some(ear) = ear else { return "its time is not known: no signed result is in it".to_owned() };
        let opened = self.witnesses.iter().find_map(|witness| ear::open(&FastEngine, ear, &witness.key).ok());
        match opened {
            Some(ear) => format!("a verifier you know signed boot: {} at {}", ear.parts.boot.answer, utc(ear.issued)),
            None => "its time is not known: nobody you know signed the result in it".to_owned(),
        }
    }
}

/// Node id and AK Name of a record.
fn subject<'r>(record: &'r StandingRecord<'_>) -> ([u8; 32], &'r [u8]) {
    (*record.id().as_bytes(), record.node().record().ak_name)
}

/// The Name of the attestation key that a node claims, to look its record up; the answer is checked against the record.
fn claimed_name(identity: &[u8]) -> Option<Vec<u8>> {
    let identity = Identity::decode(identity).ok()?;
    let key = AttestationKey::from_public_area(&FastEngine, identity.1).ok()?;
    Some(key.name().as_bytes().to_vec())
}

fn write(file: &Path, bytes: &[u8]) -> Result<(), Failure> {
    save(file, bytes).map_err(failure)
}

fn save(file: &Path, bytes: &[u8]) -> Result<(), VerifierError> {
    fs::write(file, bytes).map_err(|source| VerifierError::File { path: file.to_owned(), source })
}

fn public_key(text: &str) -> Result<[u8; 32], String> {
    let id = text.parse::<garant_attest::node_id::NodeId>();
    id.map(|bytes| *bytes.as_bytes()).map_err(|_| "a public key is 64 hexadecimal digits".to_owned())
}

const OLD_ANSWER: &str = "check age: a saved answer proves nothing about now, its challenge is not yours";
/// A result that nothing else ends lives a day at most.
const LIFETIME: Duration = Duration::from_secs(86_400);

const EXAMPLES: &str = "\
Examples:
  garant verify node.example:8460 --policy policy.toml --record node.record --key verifier.key
  garant verify node.example:8460 --policy policy.toml --max-age 60     a cached answer will do
  garant verify node.example:8460 --policy policy.toml --ear node.ear --save node.answer
  garant verify --bundle node.answer --policy policy.toml --record node.record
  garant verify node.example:8460 --policy policy.toml --json | jq .parts.boot.answer";
