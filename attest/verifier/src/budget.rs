//! Every limit on what comes from outside, with its unit and source.

use std::time::Duration;

/// Life of a challenge, from its sending to its spending (design, Wire). The slowest TPM signs in 540 ms, and a full
/// queue of strangers stands before it.
pub const CHALLENGE_LIFE: Duration = Duration::from_secs(30);

/// How long a node may take for its identity, which it has at hand.
pub const IDENTITY_TIME: Duration = Duration::from_secs(10);

/// How long a node may take to activate credentials: strangers wait for one activation in 10 s together, then up to
/// four decryptions of 541 ms each.
pub const CREDENTIAL_TIME: Duration = Duration::from_secs(30);

/// Addresses that are tried of one name.
pub const ADDRESSES: usize = 4;

/// Moments that are remembered of one node: a node renews its session key every 600 s, so more than a few are stale.
pub const SIGHTINGS: usize = 4;

/// Bytes of one node's remembered moments: each is below 256.
pub const SIGHTINGS_BYTES: usize = 2048;

/// Bytes of a verifier's configuration: 10,000 assets of 200 bytes each.
pub const CONFIGURATION_BYTES: usize = 4 * 1024 * 1024;

/// Bytes of a file with a key or certificates.
pub const KEY_FILE_BYTES: usize = 64 * 1024;

/// Bytes of a relying party's request: it has a path and no body.
pub const REQUEST_BYTES: usize = 1024;

/// How long a store that another process holds is waited for.
pub const STORE_WAIT: Duration = Duration::from_secs(10);

/// Bytes of a list of roots, of certificates or of revocations.
pub const ROOTS_FILE_BYTES: usize = 4 * 1024 * 1024;

/// How long one round with a node may take: identity, credential challenge, evidence, its ledger.
pub const ROUND: Duration = Duration::from_secs(95);

/// Bytes of entries that `serve` keeps of all nodes together, so as not to ask for them again: 20 KB each of 10,000 nodes
/// would be three times that; whose do not fit are asked for anew in each round.
pub const HELD_LEDGERS_BYTES: usize = 64 * 1024 * 1024;

/// How long a node may take to send all entries of its ledger: 32 MiB over 14 Mbit/s.
pub const LEDGER_TIME: Duration = Duration::from_secs(20);

/// How long one connection of a relying party may live.
pub const RELYING_PARTY: Duration = Duration::from_secs(120);

/// Re-enrolment records that are read at start.
pub const STATEMENT_FILES: usize = 4096;

/// Nodes that a landmark measures at a time, and from one address: a site of many nodes behind one. Each takes about a
/// second every few minutes.
pub const MEASURED_AT_A_TIME: usize = 256;
/// See [`MEASURED_AT_A_TIME`].
pub const MEASURED_OF_ONE_ADDRESS: usize = 16;

/// How long a node may take to send its cookie back: some hellos, each a fraction of a second after the last.
pub const COOKIE_TIME: Duration = Duration::from_secs(5);

/// How long one answer may take: light in glass comes around the whole Earth in a quarter of it.
pub const ROUND_TIME: Duration = Duration::from_secs(1);

/// Rounds that count after which no more are asked: twice what a statement needs, for a quiet moment among them.
pub const ROUNDS_WANTED: usize = 32;

/// Rounds that are asked at most, counted or not; a node signs as many for one connection.
pub const ROUNDS_MOST: u32 = 64;

/// Rounds begin no later than this after the first.
pub const ROUNDS_TIME: Duration = Duration::from_secs(15);

/// Datagrams that are looked at of one connection: each round's answer and as many again, for cookies and what the
/// network doubles.
pub const TIMING_DATAGRAMS: usize = 128;

/// Of these, so many may wait to be read.
pub const TIMING_WAITING: usize = 8;

/// How long the whole connection of a node with a landmark may take.
pub const MEASURING: Duration = Duration::from_secs(30);

/// How long a node may take to send the statements that it carries.
pub const STATEMENTS_TIME: Duration = Duration::from_secs(10);

/// Statements about one node that are weighed: what it carries, and as many from elsewhere.
pub const STATEMENTS: usize = 128;

/// Files of a folder with statements.
pub const FOLDER_FILES: usize = 256;
