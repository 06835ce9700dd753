//! `garant verify`: asks a node and says what its answer proves; or reads a bundle, which proves nothing about now.

pub(crate) mod vouched;

use crate::{
    failure::Failure,
    output::{Answer, Output},
    place::{Trust, block_on, failure, progress},
    saved, time,
};
use clap::ArgGroup;
use garant_attest::{
    budget::{POLICY_BYTES, STATEMENT_BYTES},
    cbor::{Bytes, Bytes32, Tag},
    ear::Ear,
    engine::PublicKey,
    policy::Policy,
    public_area::AttestationKey,
    verdict::{self, Verdict},
    wire::{Identity, Kind, Mode},
};
use garant_channel::{engine::FastEngine, key::SigningKey};
use garant_verifier::{
    assess::{Judgement, Rulebook, Said, StandingRecord, Witness, judge, nothing_proven, refusal_reason},
    bundle::Bundle,
    clock::Clock,
    dial::{Address, Link},
    error::VerifierError,
    known::{Alias, Memory, sent_log},
    ledger::Ledger,
    report::{Report, hex},
    seal::Sealer,
    serve::witnesses,
    session::{Answered, Rejection, Session},
    sources::read_file,
    statements::Collected,
    store::Store,
};
use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

/// Ask a node what it booted, where it is, whose it is and what it runs, and say what the answers prove.
///
/// Place, owner and workload are assessed where the policy has `[place]`, `[owner]` or `[workload]`; what others say of the
/// node comes from the node itself, and from --statements. Exit code: 0 if all parts that the policy asks for are yes, 1 if one is no, 2 if one is
/// unknown (also where nothing answers, or an answer fails a check), 3 for an error of yours. The first reason decided.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES, group = ArgGroup::new("what").args(["address", "bundle"]).required(true))]
pub(crate) struct Args {
    /// host:port, or unix:PATH on the machine itself.
    pub(crate) address: Option<Address>,
    #[command(flatten)]
    pub(crate) asking: Asking,
    /// Accept a cached answer whose quote is at most so many seconds old, by your own clock.
    #[arg(long, value_name = "S")]
    pub(crate) max_age: Option<u64>,
    /// Write the signed result (EAR) here.
    #[arg(long, value_name = "FILE")]
    pub(crate) ear: Option<PathBuf>,
    /// Save all that the verdict was computed from as a bundle (as `garant bundle pack` does).
    #[arg(long, value_name = "FILE", conflicts_with = "bundle")]
    pub(crate) save: Option<PathBuf>,
    /// Write the boot event log that came with the answer here, for `garant log` and `garant policy`.
    #[arg(long, value_name = "FILE", conflicts_with = "bundle")]
    pub(crate) boot_log: Option<PathBuf>,
    /// Check a bundle instead of asking.
    #[arg(long, value_name = "FILE")]
    pub(crate) bundle: Option<PathBuf>,
    /// What the bundle showed at this time, such as 2027-01-31T12:00:00Z: it counts where a verifier that you know (--key,
    /// --witness) signed the result in it, and that result counted then.
    #[arg(long, value_name = "TIME", requires = "bundle")]
    pub(crate) at: Option<String>,
}

/// What every way of asking needs.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Asking {
    /// What you accept; without a policy every answer is unknown.
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) policy: Option<PathBuf>,
    /// The node's enrolment record; default: the one in the state folder.
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) record: Option<PathBuf>,
    /// Statements about the node that you have from elsewhere: files, or folders of them.
    #[arg(long, global = true, value_name = "PATH")]
    pub(crate) statements: Vec<PathBuf>,
    /// Public key (64 hexadecimal digits) of another verifier whose records and results count as its testimony.
    #[arg(long, global = true, value_name = "KEY", value_parser = public_key)]
    pub(crate) witness: Vec<[u8; 32]>,
    /// For whom the result is (`aud`).
    #[arg(long, global = true, value_name = "WHO")]
    pub(crate) audience: Option<String>,
    #[command(flatten)]
    pub(crate) trust: Trust,
}

/// Asks, or reads, and prints the verdict.
pub(crate) fn run(args: &Args, output: &Output) -> Result<Answer, Failure> {
    let asking = &args.asking;
    let rules = asking.trust.sources(asking.policy.as_deref()).read().map_err(failure)?;
    let key = asking.trust.existing_key()?;
    let witnesses = known_witnesses(asking, key.as_ref(), &rules);
    if let Some(file) = &args.bundle {
        let at = args.at.as_deref().map(time::parse).transpose()?;
        let (judgement, claims) = saved::judge(&saved::Saved { args, rules: &rules, witnesses: &witnesses }, file, at)?;
        output.show(&Report::of(&claims))?;
        return Ok(answer(&rules, &judgement.verdict));
    }
    let (store, brought) = (asking.trust.store_file()?, Collected::read(&asking.statements).map_err(failure)?);
    let case = Case { args, rules, key, witnesses, store, brought };
    let Some(address) = &args.address else {
        return Err(Failure::new("nothing to verify", "command line", "name an ADDRESS or --bundle"));
    };
    let judgement = case.ask(address)?;
    let claims = case.claims(&judgement);
    if let (Some(file), Some(signed)) = (&args.ear, case.signed(&claims)?) {
        write(file, &signed)?;
    }
    output.show(&Report::of(&claims))?;
    Ok(answer(&case.rules, &judgement.verdict))
}

/// Over the parts for which the policy asks: no beats unknown, and yes needs all.
fn answer(rules: &Rulebook, verdict: &Verdict) -> Answer {
    let place = rules.policy().and_then(Policy::place).map(|_| verdict.place.answer);
    let owner = rules.policy().and_then(Policy::owner).map(|_| verdict.owner.answer);
    let workload = rules.policy().and_then(Policy::workload).map(|_| verdict.workload.answer);
    let parts = [Some(verdict.boot.answer), place, owner, workload].into_iter().flatten();
    parts.fold(Answer::Yes, |all, part| match (all, part) {
        (Answer::No, _) | (_, verdict::Answer::No) => Answer::No,
        (Answer::Unknown, _) | (_, verdict::Answer::Unknown) => Answer::Unknown,
        (Answer::Yes, verdict::Answer::Yes) => Answer::Yes,
    })
}

fn known_witnesses(asking: &Asking, key: Option<&SigningKey>, rules: &Rulebook) -> Vec<Witness> {
    let others = asking
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
    brought: Collected,
}

/// What came back, and what is known of whoever should have sent it.
struct Exchange<'e> {
    /// Kind, nonce and binder of the challenge.
    words: (Kind, [u8; 32], [u8; 32]),
    answer: &'e [u8],
    record: Option<Known<'e>>,
    memory: &'e Memory,
    /// What others say of the node, and why what it carries is missing.
    said: &'e (Collected, Option<String>),
    /// The entries of its ledger.
    ledger: &'e Ledger,
}

/// An enrolment record, and its bytes.
#[derive(Clone, Copy)]
struct Known<'e> {
    record: &'e StandingRecord<'e>,
    bytes: &'e [u8],
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
        self.judged(&mut Session::new(link, Clock::of_this_boot().map_err(VerifierError::Clock)?)).await
    }

    async fn judged(&self, session: &mut Session) -> Result<Judgement, VerifierError> {
        let statement = self.statement(session).await?;
        let Some(statement) = &statement else {
            return self.exchange(session, None, &Memory::default()).await;
        };
        let record = self.rules.open(statement, &self.witnesses)?;
        let memory = self.remembered(&record, statement)?;
        self.exchange(session, Some(Known { record: &record, bytes: statement }), &memory).await
    }

    /// The record that was named, or the one that the store has for the key which the node claims.
    async fn statement(&self, session: &mut Session) -> Result<Option<Vec<u8>>, VerifierError> {
        if let Some(file) = &self.args.asking.record {
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
        record: Option<Known<'_>>,
        memory: &Memory,
    ) -> Result<Judgement, VerifierError> {
        let held: Vec<_> = memory.held().into_iter().collect();
        if let Some(max_age_s) = self.args.max_age
            && !memory.sightings.is_empty()
        {
            let (sent, answer) = session.ask(Mode::Cached, memory).await?;
            let words = sent.words();
            match sent.spend(&FastEngine, &answer, memory, &held, &session.now()?) {
                // Too old, or of unknown age: a fresh one is asked for.
                Ok(cached) if cached.age > Duration::from_secs(max_age_s) => {}
                Err(Rejection::NoMoment) => {}
                outcome => {
                    let (said, ledger) = &(self.said(session).await, self.ledger(session, &outcome).await);
                    return self.conclude(&Exchange { words, answer: &answer, record, memory, said, ledger }, outcome);
                }
            }
        }
        progress("waiting for the TPM's signature");
        let (sent, answer) = session.ask(Mode::Fresh, memory).await?;
        let words = sent.words();
        let outcome = sent.spend(&FastEngine, &answer, memory, &held, &session.now()?);
        let (said, ledger) = &(self.said(session).await, self.ledger(session, &outcome).await);
        self.conclude(&Exchange { words, answer: &answer, record, memory, said, ledger }, outcome)
    }

    /// The entries that an answer which holds has committed to.
    async fn ledger(&self, session: &mut Session, outcome: &Result<Answered<'_>, Rejection>) -> Ledger {
        match outcome {
            Ok(answered) => Ledger::ask(session, &answered.verified).await,
            Err(_) => Ledger::default(),
        }
    }

    /// What others say of the node, where the policy asks; after its answer, whose session key they must name.
    async fn said(&self, session: &mut Session) -> (Collected, Option<String>) {
        let mut said = self.brought.clone();
        if !self.rules.asks_for_statements() {
            return (said, None);
        }
        progress("asking for what it carries");
        let fault = said.ask(session).await.err().map(|error| error.to_string());
        (said, fault)
    }

    fn conclude(
        &self,
        exchange: &Exchange<'_>,
        outcome: Result<Answered<'_>, Rejection>,
    ) -> Result<Judgement, VerifierError> {
        let record = exchange.record.map(|known| known.record);
        let judgement = match outcome {
            Ok(answered) => {
                let (said, fault) = exchange.said;
                let (carried, entries, fault) = (said.carried(), exchange.ledger.entries(), fault.as_deref());
                let ledger = exchange.ledger.sent(&entries);
                let said = Said { carried: &carried, fault, ledger, now: time::now() };
                let judgement = judge(&self.rules, &answered, record, said);
                self.learn(exchange, answered)?;
                judgement
            }
            Err(rejection) => {
                let subject = record.map(saved::subject);
                nothing_proven(&self.rules, subject, exchange.words.0, &refusal_reason(&rejection))
            }
        };
        self.save(exchange, &judgement)?;
        Ok(judgement)
    }

    fn learn(&self, exchange: &Exchange<'_>, answered: Answered<'_>) -> Result<(), VerifierError> {
        let Some(known) = exchange.record else { return Ok(()) };
        let seen = answered.verified.quote().clock_info();
        let store = Store::open(&self.store)?;
        store.learn(*known.record.id().as_bytes(), seen, answered.sighting, sent_log(exchange.answer))?;
        Ok(())
    }

    /// Writes the log and the bundle, where files were named for them.
    fn save(&self, exchange: &Exchange<'_>, judgement: &Judgement) -> Result<(), VerifierError> {
        let held_log = exchange.memory.log.as_ref().map(|(_, log)| log.as_slice());
        if let (Some(file), Some(log)) = (&self.args.boot_log, sent_log(exchange.answer).or(held_log)) {
            save(file, log)?;
        }
        let Some(file) = &self.args.save else { return Ok(()) };
        let (kind, nonce, binder) = exchange.words;
        let result = self.seal(&self.claims(judgement)).transpose()?;
        let policy = self.args.asking.policy.as_ref().map(|file| read_file(file, POLICY_BYTES)).transpose()?;
        let bundle = Bundle {
            log: held_log.map(Bytes::new),
            tag: Tag::new(),
            kind,
            nonce: Bytes32::new(nonce),
            answer: Bytes::new(exchange.answer),
            binder: Bytes32::new(binder),
            policy: policy.as_deref().map(Bytes::new),
            record: exchange.record.map(|known| Bytes::new(known.bytes)),
            result: result.as_deref().map(Bytes::new),
            entries: exchange.ledger.messages().map(Bytes::new).collect(),
            statements: exchange.said.0.all().map(Bytes::new).collect(),
        };
        save(file, &bundle.encode().map_err(VerifierError::Encoding)?)
    }

    fn claims(&self, judgement: &Judgement) -> Ear {
        judgement.ear(time::now(), self.args.asking.audience.as_deref(), LIFETIME)
    }

    fn seal(&self, claims: &Ear) -> Option<Result<Vec<u8>, VerifierError>> {
        let policy = self.rules.policy()?.digest();
        let sealer = Sealer::new(self.key.clone()?, vec![policy]);
        (*claims.node_id != [0; 32]).then(|| sealer.ear(claims))
    }

    /// The signed result; a failure where one was asked for and cannot be signed.
    fn signed(&self, claims: &Ear) -> Result<Option<Vec<u8>>, Failure> {
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
        self.seal(claims).ok_or_else(missing)?.map(Some).map_err(failure)
    }
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

/// A result that nothing else ends lives a day at most.
pub(crate) const LIFETIME: Duration = Duration::from_secs(86_400);

const EXAMPLES: &str = "\
Examples:
  garant verify node.example:8460 --policy policy.toml --record node.record --key verifier.key
  garant verify node.example:8460 --policy policy.toml --statements shares/ --statements site.statement
  garant verify node.example:8460 --policy policy.toml --max-age 60     a cached answer will do
  garant verify node.example:8460 --policy policy.toml --ear node.ear && garant explain node.ear --svg > map.svg
  garant verify --bundle node.bundle --at 2027-01-31T12:00:00Z --policy policy.toml --witness KEY
  garant verify node.example:8460 --policy policy.toml --json | jq .parts.place.answer";
