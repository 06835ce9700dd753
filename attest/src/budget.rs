//! Every limit on outside input that this crate reads, with its unit and source; checked before anything is allocated.

/// Answers a challenge may weigh: log, IMA list and ledger at their limits, and 64 KiB for the rest.
pub const ANSWER_BYTES: usize = LOG_BYTES + IMA_BYTES + LEDGER_BYTES + 64 * 1024;
/// A boot event log; the largest seen is 73 KB, the reserved area of firmware is 64 KiB to 256 KiB.
pub const LOG_BYTES: usize = 1024 * 1024;
/// An IMA list from entry n on; 2,365 entries of a server weigh 294 KB.
pub const IMA_BYTES: usize = 16 * 1024 * 1024;
/// Entry 0 and the commits of one boot, 48 bytes each.
pub const LEDGER_BYTES: usize = 4 * 1024 * 1024;
/// Entries of one boot's ledger that are weighed: a VM's life has four or so.
pub const LEDGER_ENTRIES: usize = 1 << 17;
/// The messages that bring them, together: an intent to start weighs 300 bytes, a result 100.
pub const LEDGER_ENTRIES_BYTES: usize = 32 * 1024 * 1024;
/// Those messages.
pub const ENTRY_MESSAGES: usize = 256;
/// Entries of one message.
pub const ENTRIES: usize = 1024;
/// One message: its entries at their limit, each with a head, and a tag.
pub const ENTRIES_BYTES: usize = ENTRIES * (ENTRY_BODY_BYTES + 64) + 64;
/// An entry's body: its disks, five digests more, an id and the reason.
pub const ENTRY_BODY_BYTES: usize = 1024;
/// Disks of one VM: twice what the VM API takes.
pub const ENTRY_DISKS: usize = 16;
/// Why a VM ended: some words.
pub const ENTRY_WHY_BYTES: usize = 128;
/// An id of a VM, as the VM API takes it: a label of a host name (RFC 1035 §2.3.4).
pub const VM_ID_BYTES: usize = 63;
/// A demand for entries: a tag and a number.
pub const LEDGER_ASK_BYTES: usize = 64;
/// Digests of each list in a policy on workloads.
pub const WORKLOAD_DIGESTS: usize = 4096;
/// VMs that a verdict names, those first that run; and reasons that it gives of one kind.
pub const WORKLOAD_NAMED: usize = 40;
/// See [`WORKLOAD_NAMED`].
pub const WORKLOAD_REASONS: usize = 16;
/// Claims under `claims_digest`.
pub const CLAIMS_BYTES: usize = 4096;
/// A TPMS_ATTEST with four banks is 169 bytes; TPM2B_ATTEST's own limit (TPM 2.0 Part 2, 10.12.9) is about 1.3 KB.
pub const ATTEST_BYTES: usize = 2048;
/// A TPMT_SIGNATURE: RSA-4096 is 518 bytes.
pub const SIGNATURE_BYTES: usize = 1024;
/// A TPMT_PUBLIC: RSA-4096 with a policy is about 600 bytes.
pub const PUBLIC_AREA_BYTES: usize = 1024;
/// Identity: EK certificates, authorities from NV and the AK.
pub const IDENTITY_BYTES: usize = 64 * 1024;
/// Certified EKs of one chip: RSA and ECC, low and high range (TCG EK Credential Profile 2.6, 2.2.2).
pub const EKS: usize = 4;
/// Authority certificates in NV, 0x01c00100 to 0x01c001ff; chains seen have at most three.
pub const EK_CHAIN: usize = 8;
/// One credential challenge: a blob and an encrypted secret for each EK.
pub const CREDENTIAL_BYTES: usize = 8 * 1024;
/// A challenge with the digests of the parts that the asker holds.
pub const ASK_BYTES: usize = 1024;
/// A refusal: a sentence or two.
pub const REFUSED_BYTES: usize = 512;
/// Parts of which an asker may say that it holds them.
pub const HELD_PARTS: usize = 8;
/// Depth of a batch: 2^16 waiting challenges.
pub const BATCH_DEPTH: usize = 16;
/// Session keys of one boot that evidence lists: the quoted one and those whose connections still live.
pub const SESSION_KEYS: usize = 4;
/// A COSE_Sign1 statement: enrolment record, EAR or mandate.
pub const STATEMENT_BYTES: usize = 256 * 1024;
/// A PE/COFF image: kernel, initrd and stub of one node; Debian's kernel is 14 MB, a full initrd up to 100 MB.
pub const IMAGE_BYTES: usize = 256 * 1024 * 1024;
/// Sections of a PE/COFF image ("PE Format", COFF file header: Windows' loader reads 96).
pub const IMAGE_SECTIONS: usize = 96;
/// A policy; 20,000 file digests of an IMA allow list weigh 1.5 MB.
pub const POLICY_BYTES: usize = 4 * 1024 * 1024;
/// Accepted images, and learned boots, of one policy: each costs a replay of its lists.
pub const POLICY_IMAGES: usize = 64;
/// TPMS_ATTEST, TPMT_SIGNATURE, batch root and their heads.
pub const QUOTE_PART_BYTES: usize = ATTEST_BYTES + SIGNATURE_BYTES + 64;
/// Session keys: 100 bytes each and their heads.
pub const SESSION_KEYS_BYTES: usize = 512;
/// 24 PCRs of four banks: 3,936 bytes and their heads.
pub const PCRS_BYTES: usize = 4096;
/// A certificate: RSA-4096 with all its texts is 2 KB, ML-DSA-87 7.5 KB.
pub const CERTIFICATE_BYTES: usize = 16 * 1024;
/// Extensions of one certificate; those of TPM makers have up to 10.
pub const CERTIFICATE_EXTENSIONS: usize = 32;
/// Authorities between a certificate and its root; chains seen have at most two.
pub const CHAIN_DEPTH: usize = 6;
/// Authority certificates that may be offered for one chain: the maker's all, and those in NV.
pub const INTERMEDIATES: usize = 1024;
/// Signatures that the search for one chain may check: more than any honest set of names needs.
pub const CHAIN_SIGNATURES: usize = 16;
/// A revocation list.
pub const CRL_BYTES: usize = 1024 * 1024;
/// A list of roots; the built-in one weighs 50 KB.
pub const ROOTS_BYTES: usize = 1024 * 1024;
/// A node's configuration file, whose digest entry 0 holds.
pub const CONFIGURATION_BYTES: usize = 64 * 1024;
/// A proof of a transparency log: 64 nodes of 45 bytes, and 16 signatures (C2SP signed-note) of at most 5 KB.
pub const LOG_PROOF_BYTES: usize = 96 * 1024;
/// Nodes between a leaf and its checkpoint: a log of 2^63 leaves.
pub const LOG_PROOF_NODES: usize = 63;
/// Signatures under one checkpoint (C2SP signed-note: at least 16).
pub const LOG_SIGNATURES: usize = 32;
/// Statements that a node carries for its verifiers: a mandate, a voucher, sites, shares, and one of each landmark.
pub const CARRIED_STATEMENTS: usize = 64;
/// One of them.
pub const CARRIED_STATEMENT_BYTES: usize = 64 * 1024;
/// All of them together.
pub const CARRIED_BYTES: usize = 1024 * 1024;
/// The message that brings them: their heads of 5 bytes, a tag and two more.
pub const STATEMENTS_BYTES: usize = CARRIED_BYTES + 5 * CARRIED_STATEMENTS + 64;
/// A landmark's offer: a tag and a port.
pub const TIMING_OFFER_BYTES: usize = 64;
/// A map of all land; the built-in one weighs less than 400 KB.
pub const TERRITORY_BYTES: usize = 1024 * 1024;
/// Positions of a map after division of its long edges, 8 bytes each; the built-in one has less than 300,000.
pub const TERRITORY_POSITIONS: usize = 1 << 20;
/// GeoJSON of a user's own area; a state at 1:10m weighs up to 200 KB. Its JSON tree takes up to 32 times as much memory.
pub const AREA_BYTES: usize = 1024 * 1024;
/// Positions of an area after division of its long edges, 8 bytes each.
pub const AREA_POSITIONS: usize = 1 << 17;
/// Entries of one ownership voucher: owners of one machine.
pub const VOUCHER_ENTRIES: usize = 32;
/// Vouchers, and mandates, that may be weighed for one machine: each of its heads, old and new.
pub const VOUCHERS: usize = 8;
/// Certificates that an entry of a voucher carries: the new owner's seal and the authorities above it.
pub const SEAL_CERTIFICATES: usize = 4;
/// A chassis' serial number: DSP0134 before 3.0 allowed 64 bytes, and boards keep to it.
pub const CHASSIS_BYTES: usize = 64;
/// A name, an address or an operator in a statement.
pub const STATEMENT_TEXT_BYTES: usize = 256;
/// What an auditor inspected, in a few sentences.
pub const INSPECTION_BYTES: usize = 2048;
/// Site statements that may be weighed for one machine.
pub const SITES: usize = 16;
/// Edges of a map, those of a user's area among them, none longer than half a degree: 56 bytes each.
pub const PLACE_EDGES: usize = 2 << 20;
/// Cells of the map that one region may visit: 10 ms or so; a region around a town takes a few hundred.
pub const PLACE_CELLS: usize = 1 << 14;
/// Parties, exclusions or parents in one holdings statement: what its bytes can hold, 30 each.
pub const STATED_PARTIES: usize = 2048;
/// Interests in one holdings statement: what its bytes can hold, 40 each.
pub const STATED_INTERESTS: usize = 2048;
/// Opinions in one holdings statement: the rules of a few sets.
pub const STATED_OPINIONS: usize = 256;
/// A party's id; an EUID has up to 40 bytes.
pub const PARTY_ID_BYTES: usize = 64;
/// Interests and parties of all holdings statements about one machine together.
pub const GRAPH_INTERESTS: usize = 200_000;
/// Companies whose stated shares do not add up, of which a verdict names each.
pub const GRAPH_FINDINGS: usize = 16;
/// Keys that can authorise what boots, of which a verdict names each; machines seen have at most ten.
pub const BOOT_AUTHORITIES: usize = 256;
/// Rounds over companies that hold each other: each narrows the bounds, and all are sound.
pub const CYCLE_ROUNDS: usize = 16;
/// Passes over the graph in search of one holder that may hold too much.
pub const HOLDER_PASSES: usize = 12;
/// A rule set; the built-in ones weigh up to 8 KB.
pub const RULE_SET_BYTES: usize = 64 * 1024;
/// Rules of one set; the Cloud Sovereignty Framework has 48 questions.
pub const RULES: usize = 128;
/// Codes of lands; the built-in map has 257.
pub const LANDS: usize = 512;
/// Landmarks of one verdict: what a node carries, and a verifier brings.
pub const LANDMARKS: usize = 256;
