//! What a verifier's owner accepts, as a short TOML. Nothing is accepted by default: what the text does not name is
//! unknown, and an unknown key is an error. Its digest stands in every verdict.

mod error;

pub use error::PolicyError;

use crate::{
    budget,
    engine::{Digest, Engine, sha256},
    ima_policy::ImaPolicy,
    owner::policy::{self as owner_policy, OwnerPolicy},
    place::policy::PlacePolicy,
    policy_values::{AnyDigest, Banks, Hex, HexBytes, Pcr},
    roots::RootKind,
    secure_boot::SecureBoot,
    workload::policy::WorkloadPolicy,
};
use alloc::{
    borrow::ToOwned,
    format,
    string::{String, ToString},
    vec::Vec,
};
use garant_hw::hash::Hash;
use serde::Deserialize;

/// A policy as read from its text; holding one proves only that the text is sound.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    digest: [u8; 32],
    text: Text,
    owner: Option<OwnerPolicy>,
}

impl Policy {
    /// Reads a policy; its digest is that of the bytes as they are.
    pub fn parse(bytes: &[u8], engine: &dyn Engine) -> Result<Policy, PolicyError> {
        if bytes.len() > budget::POLICY_BYTES {
            return Err(PolicyError::TooLong { found_bytes: bytes.len() });
        }
        let text = core::str::from_utf8(bytes).map_err(|e| PolicyError::NotText { offset: e.valid_up_to() })?;
        let mut text: Text = toml::from_str(text).map_err(|e| PolicyError::Toml { message: e.to_string() })?;
        text.check()?;
        text.sort();
        text.image.iter_mut().for_each(|image| image.extends.replay(engine, 0));
        text.learned.iter_mut().for_each(|learned| learned.extends.replay(engine, learned.locality));
        let owner = text.owner.take().map(|owner| OwnerPolicy::read(owner, engine)).transpose();
        let owner = owner.map_err(|what| wrong("owner", what))?;
        Ok(Policy { digest: sha256(engine, &[bytes]), text, owner })
    }

    /// SHA-256 of the policy's bytes.
    pub fn digest(&self) -> [u8; 32] {
        self.digest
    }

    /// Classes of roots that may carry an answer.
    pub fn roots(&self) -> &[RootClass] {
        &self.text.roots
    }

    /// Whether a root of this class may carry an answer.
    pub fn allows_root(&self, class: RootClass) -> bool {
        self.text.roots.contains(&class)
    }

    /// How old evidence may be, in seconds.
    pub fn max_age_s(&self) -> u64 {
        self.text.max_age_s
    }

    /// What PCR 7 must say.
    pub fn secure_boot(&self) -> &SecureBoot {
        &self.text.secure_boot
    }

    /// Accepted images: any one of them, whole.
    pub fn images(&self) -> &[Image] {
        &self.text.image
    }

    /// Values learned from boots of the firmware: any one of them, whole.
    pub fn learned(&self) -> &[Learned] {
        &self.text.learned
    }

    /// Accepted values of a PCR.
    pub fn pins(&self, hash: Hash, pcr: u32) -> &[Digest] {
        self.text.pins.of(hash, pcr).unwrap_or_default()
    }

    /// Whether the policy states digests of this bank. One that states none at all is judged in every SHA-2 bank, by what
    /// the events say.
    pub fn speaks_of(&self, hash: Hash) -> bool {
        let states_any = || Hash::ALL.into_iter().any(|hash| self.text.states(hash));
        self.text.states(hash) || (hash != Hash::Sha1 && !states_any())
    }

    /// The name of the event that the policy accepts in this PCR by its digest.
    pub fn accepts_event(&self, pcr: u32, digest: &[u8]) -> Option<&str> {
        let found = self.text.event.binary_search_by(|event| event.key().cmp(&(pcr, digest)));
        found.ok().and_then(|at| self.text.event.get(at)).map(|event| event.name.as_str())
    }

    /// Whether the policy accepts any event of this PCR by its digest.
    pub fn names_event_of(&self, pcr: u32) -> bool {
        self.text.event.iter().any(|event| event.pcr.0 == pcr)
    }

    /// What the IMA list must say; `None` where the policy asks for none.
    pub fn ima(&self) -> Option<&ImaPolicy> {
        self.text.ima.as_ref()
    }

    /// Where the machine must be; `None` where the policy does not ask.
    pub fn place(&self) -> Option<&PlacePolicy> {
        self.text.place.as_ref()
    }

    /// Whose it must be; `None` where the policy does not ask.
    pub fn owner(&self) -> Option<&OwnerPolicy> {
        self.owner.as_ref()
    }

    /// What VMs may run; `None` where the policy does not ask.
    pub fn workload(&self) -> Option<&WorkloadPolicy> {
        self.text.workload.as_ref()
    }

    /// Whether this SHA-256 of a whole configuration is accepted. With none in the policy, what needs *closed* is unknown.
    pub fn accepts_configuration(&self, digest: &[u8; 32]) -> bool {
        self.text.configurations.iter().any(|known| known.0 == *digest)
    }

    /// Ed25519 keys that may re-enrol a TPM whose counters fell.
    pub fn reenrolment_keys(&self) -> impl Iterator<Item = [u8; 32]> + '_ {
        self.text.reenrolment_keys.iter().map(|key| key.0)
    }

    /// Key ids (SHA-256 of the SubjectPublicKeyInfo) of authorities whose SHA-1 signatures count.
    pub fn sha1_authorities(&self) -> impl Iterator<Item = [u8; 32]> + '_ {
        self.text.sha1_authorities.iter().map(|digest| digest.0)
    }

    /// Whether this node id (SHA-256 of the certified EK's SubjectPublicKeyInfo) is refused.
    pub fn denies_ek(&self, id: &[u8; 32]) -> bool {
        self.text.deny_ek.iter().any(|denied| denied.0 == *id)
    }

    /// Whether an AK of this Name (nameAlg ‖ digest) is refused.
    pub fn denies_ak(&self, name: &[u8]) -> bool {
        self.text.deny_ak.iter().any(|denied| denied.0 == name)
    }
}

/// Classes of roots that a policy may allow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RootClass {
    /// TPM makers' own, discrete and firmware.
    Silicon,
    /// A cloud's; its word is testimony.
    Virtual,
    /// Made for tests; an answer on it is printed as `yes (test)`.
    Test,
}

impl RootClass {
    /// The name in policies.
    pub fn name(self) -> &'static str {
        match self {
            RootClass::Silicon => "silicon",
            RootClass::Virtual => "virtual",
            RootClass::Test => "test",
        }
    }
}

impl From<RootKind> for RootClass {
    fn from(kind: RootKind) -> RootClass {
        match kind {
            RootKind::Discrete | RootKind::Firmware => RootClass::Silicon,
            RootKind::Virtual => RootClass::Virtual,
            RootKind::Test => RootClass::Test,
        }
    }
}

/// An accepted image, and what its boot extends.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Image {
    /// For the print.
    pub name: String,
    /// Whether the image keeps everyone out, as its author declares after the list of the design.
    #[serde(default)]
    pub closed: bool,
    /// Authenticode digest of the unified kernel image, or of another boot application.
    uki: Option<AnyDigest>,
    /// Authenticode digest of the kernel.
    kernel: Option<AnyDigest>,
    /// Digest of the initrd.
    initrd: Option<AnyDigest>,
    /// The whole command line.
    pub cmdline: Option<String>,
    #[serde(default)]
    extends: Banks,
}

impl Image {
    /// What a boot of this image extends into a PCR, in order; `None` where the policy does not say.
    pub fn extends(&self, hash: Hash, pcr: u32) -> Option<&[Digest]> {
        self.extends.of(hash, pcr)
    }

    /// Where that leads.
    pub fn value(&self, hash: Hash, pcr: u32) -> Option<Digest> {
        self.extends.value(hash, pcr)
    }

    /// Authenticode digest of the unified kernel image.
    pub fn uki(&self) -> Option<Digest> {
        self.uki.map(|digest| digest.0)
    }

    /// Whether the digest is that of this image's boot applications.
    pub fn is_application(&self, digest: &[u8]) -> bool {
        [self.uki, self.kernel].into_iter().flatten().any(|known| known.0.as_bytes() == digest)
    }

    /// Whether the digest is that of the application in which all others of this image are: the unified kernel image, and
    /// where there is none the kernel.
    pub fn is_main_application(&self, digest: &[u8]) -> bool {
        self.uki.or(self.kernel).is_some_and(|known| known.0.as_bytes() == digest)
    }

    /// Whether the policy says which boot applications this image has.
    pub fn names_applications(&self) -> bool {
        self.uki.is_some() || self.kernel.is_some()
    }

    /// Whether the policy says which initrd this image has.
    pub fn names_initrd(&self) -> bool {
        self.initrd.is_some()
    }

    /// Whether the digest is that of this image's initrd.
    pub fn is_initrd(&self, digest: &[u8]) -> bool {
        self.initrd.is_some_and(|known| known.0.as_bytes() == digest)
    }
}

/// Values that somebody saw on a boot of the firmware: they prove sameness, and rest on that person's word.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Learned {
    /// Who says so.
    pub by: String,
    /// When it was seen, as that person wrote it.
    pub when: String,
    /// Locality of the TPM's start, which is the last byte of PCR 0 before its first extend.
    #[serde(default)]
    pub locality: u8,
    #[serde(default)]
    extends: Banks,
}

impl Learned {
    /// What was extended into a PCR, in order.
    pub fn extends(&self, hash: Hash, pcr: u32) -> Option<&[Digest]> {
        self.extends.of(hash, pcr)
    }

    /// Where that leads, from the locality of the start on.
    pub fn value(&self, hash: Hash, pcr: u32) -> Option<Digest> {
        self.extends.value(hash, pcr)
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Text {
    roots: Vec<RootClass>,
    max_age_s: u64,
    #[serde(default)]
    configurations: Vec<Hex<32>>,
    #[serde(default)]
    reenrolment_keys: Vec<Hex<32>>,
    #[serde(default)]
    sha1_authorities: Vec<Hex<32>>,
    #[serde(default)]
    deny_ek: Vec<Hex<32>>,
    #[serde(default)]
    deny_ak: Vec<HexBytes>,
    #[serde(default)]
    secure_boot: SecureBoot,
    #[serde(default)]
    image: Vec<Image>,
    #[serde(default)]
    learned: Vec<Learned>,
    #[serde(default)]
    pins: Banks,
    #[serde(default)]
    event: Vec<AcceptedEvent>,
    ima: Option<ImaPolicy>,
    place: Option<PlacePolicy>,
    owner: Option<owner_policy::Text>,
    workload: Option<WorkloadPolicy>,
}

impl Text {
    /// What a node's lists are looked up in is searched by bisection: both may be long, and the node's is its choice.
    fn sort(&mut self) {
        self.event.sort_by(|a, b| a.key().cmp(&b.key()));
        if let Some(ima) = &mut self.ima {
            ima.sort();
        }
        self.workload.iter_mut().for_each(WorkloadPolicy::sort);
    }

    fn states(&self, hash: Hash) -> bool {
        let applications = |image: &Image| [image.uki, image.kernel, image.initrd].into_iter().flatten();
        let mut digests = self.image.iter().flat_map(applications).chain(self.event.iter().map(|event| event.digest));
        self.pins.has(hash)
            || self.image.iter().any(|image| image.extends.has(hash))
            || self.learned.iter().any(|learned| learned.extends.has(hash))
            || digests.any(|digest| digest.0.hash() == hash)
    }

    fn check(&self) -> Result<(), PolicyError> {
        let at_most = |at: &str, found: usize, limit: usize| match found > limit {
            true => Err(wrong(at, format!("{found} entries where at most {limit} are read"))),
            false => Ok(()),
        };
        at_most("image", self.image.len(), budget::POLICY_IMAGES)?;
        at_most("learned", self.learned.len(), budget::POLICY_IMAGES)?;
        if self.roots.is_empty() {
            return Err(wrong("roots", "names no class of roots: nothing could ever be proven".to_owned()));
        }
        if let Some(place) = &self.place {
            place.check().map_err(|what| wrong("place", what))?;
        }
        if let Some(workload) = &self.workload {
            workload.check().map_err(|what| wrong("workload", what))?;
        }
        self.image.iter().filter(|image| image.closed).try_for_each(check_closed)
    }
}

/// A closed image is judged by its own digest and its whole measurement, so both must be there.
fn check_closed(image: &Image) -> Result<(), PolicyError> {
    let at = format!("image \"{}\"", image.name);
    let uki = image.uki().ok_or_else(|| wrong(&at, "closed, but without `uki`".to_owned()))?;
    let hash = uki.hash();
    if let Some(pcr) = CLOSED_PCRS.into_iter().find(|pcr| image.extends(hash, *pcr).is_none()) {
        return Err(wrong(&at, format!("closed, but without PCR {pcr} in {}", hash.name())));
    }
    match image.extends(hash, BOOT_APPLICATIONS).is_some_and(|extends| extends.contains(&uki)) {
        true => Ok(()),
        false => Err(wrong(&at, format!("closed, but `uki` is not among what PCR {BOOT_APPLICATIONS} extends"))),
    }
}

fn wrong(at: &str, what: String) -> PolicyError {
    PolicyError::Wrong { at: at.to_owned(), what }
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct AcceptedEvent {
    pcr: Pcr,
    digest: AnyDigest,
    name: String,
}

impl AcceptedEvent {
    fn key(&self) -> (u32, &[u8]) {
        (self.pcr.0, self.digest.0.as_bytes())
    }
}

/// PCRs that a closed image must predict: the image itself, its sections, and that no option, credential or system
/// extension came from outside it (design, One quote: *closed*).
pub const CLOSED_PCRS: [u32; 4] = [BOOT_APPLICATIONS, 11, 12, 13];
/// PCR of boot applications (TCG PC Client Platform Firmware Profile 1.06, 3.3.4.5).
const BOOT_APPLICATIONS: u32 = 4;

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::rust_engine::RustEngine;

    const MINIMAL: &str = "roots = [\"silicon\"]\nmax_age_s = 300\n";

    fn parse(more: &str) -> Result<Policy, PolicyError> {
        Policy::parse(format!("{MINIMAL}{more}").as_bytes(), &RustEngine)
    }

    fn error(more: &str) -> String {
        parse(more).unwrap_err().to_string()
    }

    #[test]
    fn a_policy_that_names_nothing_accepts_nothing() {
        let policy = parse("").unwrap();
        assert!(policy.pins(Hash::Sha256, 0).is_empty());
        assert!(policy.images().is_empty() && policy.learned().is_empty() && policy.ima().is_none());
        assert_eq!(policy.accepts_event(0, &[0; 32]), None);
        assert!(!policy.accepts_configuration(&[0; 32]));
        assert_eq!(policy.secure_boot().enabled(), None);
        assert!(!policy.secure_boot().accepts_variable("PK", &[0; 32]));
        assert!(!policy.allows_root(RootClass::Test) && !policy.allows_root(RootClass::Virtual));
    }

    #[test]
    fn an_unknown_key_is_an_error_with_its_line() {
        assert!(error("accept_all = true").contains("line 3"));
        assert!(error("[[image]]\nname = \"a\"\nclose = true").contains("unknown field `close`"));
        assert!(error("[secure_boot]\nstate = true").contains("unknown field `state`"));
    }

    #[test]
    fn roots_and_age_have_no_default() {
        let without = |text: &str| Policy::parse(text.as_bytes(), &RustEngine).unwrap_err().to_string();
        assert!(without("max_age_s = 300").contains("missing field `roots`"));
        assert!(without("roots = [\"silicon\"]").contains("missing field `max_age_s`"));
        assert!(without("roots = []\nmax_age_s = 300").contains("names no class of roots"));
    }

    #[test]
    fn no_image_kernel_or_event_is_named_by_sha1() {
        assert!(error("[[event]]\npcr = 4\nname = \"a\"\ndigest = \"sha1:00\"").contains("expected a digest"));
    }

    #[test]
    fn a_pcr_beyond_23_or_a_digest_of_another_length_is_an_error() {
        let pin = |pcr: u32, bytes: usize| format!("[pins.sha256]\n{pcr} = [\"{}\"]", "00".repeat(bytes));
        assert!(parse(&pin(23, 32)).is_ok());
        assert!(error(&pin(24, 32)).contains("a PCR is a number from 0 to 23"));
        assert!(error(&pin(0, 48)).contains("a sha256 digest has 32 bytes"));
        assert!(error("configurations = [\"0g\"]").contains("hexadecimal"));
    }

    #[test]
    fn a_closed_image_names_its_digest_and_predicts_what_came_from_outside() {
        let uki = "11".repeat(32);
        let image = |uki: &str, pcrs: &str| {
            format!("[[image]]\nname = \"n\"\nclosed = true\n{uki}\n[image.extends.sha256]\n{pcrs}")
        };
        let named = format!("uki = \"sha256:{uki}\"");
        let whole = format!("4 = [\"{uki}\"]\n11 = []\n12 = []\n13 = []");
        assert!(parse(&image(&named, &whole)).is_ok());
        assert!(error(&image("", &whole)).contains("without `uki`"));
        assert!(error(&image(&named, &whole.replace("12 = []", ""))).contains("without PCR 12"));
        assert!(error(&image(&named, &whole.replace("13 = []", ""))).contains("without PCR 13"));
        assert!(error(&image(&named, "4 = []\n11 = []\n12 = []\n13 = []")).contains("not among"));
    }

    #[test]
    fn a_policy_speaks_of_the_banks_whose_digests_it_states() {
        let speaks = |more: &str| Hash::ALL.map(|hash| parse(more).unwrap().speaks_of(hash));
        assert_eq!(speaks(""), [false, true, true, true]);
        assert_eq!(speaks("[pins.sha1]\n9 = []"), [true, false, false, false]);
        assert_eq!(speaks("[pins.sha384]\n9 = []"), [false, false, true, false]);
        for digest in ["[[event]]\npcr = 4\nname = \"n\"\ndigest", "[[image]]\nname = \"n\"\nkernel"] {
            assert_eq!(speaks(&format!("{digest} = \"sha256:{}\"", "00".repeat(32))), [false, true, false, false]);
        }
        let image = "[[image]]\nname = \"n\"\n[image.extends.sha512]\n9 = []";
        assert_eq!(speaks(image), [false, false, false, true]);
        let learned = "[[learned]]\nby = \"n\"\nwhen = \"now\"\n[learned.extends.sha512]\n9 = []";
        assert_eq!(speaks(learned), [false, false, false, true]);
    }

    #[test]
    fn an_empty_list_is_a_prediction_and_an_absent_one_is_none() {
        let policy = parse("[[image]]\nname = \"n\"\n[image.extends.sha256]\n12 = []").unwrap();
        let image = policy.images().first().unwrap();
        assert_eq!(image.extends(Hash::Sha256, 12), Some(&[][..]));
        assert_eq!(image.extends(Hash::Sha256, 13), None);
        assert_eq!(image.extends(Hash::Sha384, 12), None);
    }

    #[test]
    fn the_digest_is_that_of_the_bytes_and_changes_with_a_comment() {
        assert_ne!(parse("").unwrap().digest(), parse("# one word").unwrap().digest());
    }

    #[test]
    fn a_policy_over_its_limits_is_refused() {
        let long = "#".repeat(budget::POLICY_BYTES);
        assert!(matches!(parse(&long), Err(PolicyError::TooLong { .. })));
        let many = "[[image]]\nname = \"n\"\n".repeat(budget::POLICY_IMAGES + 1);
        assert!(error(&many).contains("65 entries where at most 64"));
        assert!(matches!(Policy::parse(b"\xff", &RustEngine), Err(PolicyError::NotText { offset: 0 })));
    }

    #[test]
    fn an_unchecked_path_says_nothing_of_its_neighbours() {
        let policy = parse("[ima]\nfiles = []\nunchecked_paths = [\"/var/log\", \"/tmp/\"]").unwrap();
        let leaves = |path: &str| policy.ima().unwrap().leaves_unchecked(path);
        assert!(leaves("/var/log") && leaves("/var/log/syslog") && leaves("/tmp/x"));
        assert!(!leaves("/var/logger") && !leaves("/var/lo") && !leaves("/tmpfs") && !leaves("x/var/log/y"));
    }

    #[test]
    fn files_and_events_are_found_in_whatever_order_they_stand() {
        let digest = |byte: u8| format!("{byte:02x}").repeat(32);
        let files: Vec<String> = [9, 3, 7, 1].map(|byte| format!("\"sha256:{}\"", digest(byte))).to_vec();
        let event =
            |(pcr, byte)| format!("[[event]]\npcr = {pcr}\nname = \"{byte}\"\ndigest = \"sha256:{}\"\n", digest(byte));
        let events: String = [(9, 5), (4, 6), (9, 2), (4, 1)].map(event).concat();
        let policy = parse(&format!("{events}[ima]\nfiles = [{}]", files.join(", "))).unwrap();
        for byte in 0..10 {
            assert_eq!(policy.ima().unwrap().accepts_file(&[byte; 32]), [1, 3, 7, 9].contains(&byte), "{byte}");
            for pcr in [4, 9] {
                let is_accepted = [(9, 5), (4, 6), (9, 2), (4, 1)].contains(&(pcr, byte));
                assert_eq!(policy.accepts_event(pcr, &[byte; 32]).is_some(), is_accepted, "{pcr} {byte}");
            }
        }
    }
}
