//! The lines of the facts' list "must be unknown, never yes" that speak of owners, as a whole verdict's part shows them.

use super::*;
use crate::{
    cbor::Bytes,
    cose::StatementError,
    merkle,
    owner::{
        holdings::{Exclusion, Interest, InterestKind, List, Opinion, OpinionAnswer, Way},
        mandate::Mandate,
        party::{Country, Party, PartyKind},
        share::Share,
        voucher::{self, Machine, Terms, VoucherError},
    },
    policy::Policy,
    rust_engine::RustEngine,
    samples::{Boot, variable},
    statement::Claims,
    tlog::{LogKey, Role},
};
use alloc::vec;
use base64ct::{Base64, Encoding};
use ed25519_dalek::{Signer, SigningKey};
use garant_hw::{eventdata::Guid, eventlog::EventType};

const NOW: u64 = 1_795_000_000;
const NODE: [u8; 32] = [0x0d; 32];
const AK: &[u8] = &[0, 11, 7, 7];
const MAKER: u8 = 1;
const OWNER: u8 = 2;
const WITNESS: u8 = 3;
const SECOND_OWNER: u8 = 4;
const LOG: u8 = 5;
const LOG_WITNESS: u8 = 6;
const RULES: &str =
    "[[owner.rules]]\nset = \"secnumcloud-3.2\"\nask = [\"19.6.a\", \"19.6.b.shares\", \"19.6.b.rights\"]\n";

fn secret(seed: u8) -> SigningKey {
    SigningKey::from_bytes(&[seed; 32])
}

fn raw(seed: u8) -> [u8; 32] {
    secret(seed).verifying_key().to_bytes()
}

fn public(seed: u8) -> PublicKey {
    PublicKey::Ed25519(raw(seed))
}

fn id(seed: u8) -> [u8; 32] {
    public(seed).id(&RustEngine).unwrap()
}

#[derive(Debug)]
struct Fault(#[allow(dead_code, reason = "for the print")] String);

impl From<VoucherError> for Fault {
    fn from(e: VoucherError) -> Fault {
        Fault(e.to_string())
    }
}

impl From<StatementError> for Fault {
    fn from(e: StatementError) -> Fault {
        Fault(e.to_string())
    }
}

fn sealed<'a>(claims: &impl Claims<'a>, seed: u8) -> Vec<u8> {
    let sign = |message: &[u8]| Ok::<_, Fault>(secret(seed).sign(message).to_bytes().to_vec());
    statement::seal(&RustEngine, claims, &public(seed), sign).unwrap()
}

/// From the maker over these owners.
fn voucher(owners: &[u8]) -> Vec<u8> {
    let mut voucher = voucher::begin(&Machine { node_id: NODE, chassis: "" }, &public(MAKER)).unwrap();
    let mut from = MAKER;
    for owner in owners {
        let terms = Terms { expires: None, issued: NOW - 1000, certificates: None };
        let sign = |message: &[u8]| Ok::<_, Fault>(secret(from).sign(message).to_bytes().to_vec());
        voucher = voucher::hand_over(&RustEngine, &voucher, &public(*owner), &terms, sign).unwrap();
        from = *owner;
    }
    voucher
}

fn head(voucher: &[u8]) -> [u8; 32] {
    voucher::ClaimedVoucher::decode(voucher).unwrap().follow(&RustEngine).unwrap().head()
}

fn mandate(voucher: &[u8], owner: u8) -> Vec<u8> {
    let mandate = Mandate {
        expires: NOW + 1000,
        issued: NOW - 10,
        node_id: Bytes32::new(NODE),
        ak_name: Bytes::new(AK),
        head: Bytes32::new(head(voucher)),
    };
    sealed(&mandate, owner)
}

fn company(id: &str, country: &str) -> Party {
    let country: Option<Country> = country.parse().ok();
    Party {
        id: id.into(),
        name: id.to_uppercase(),
        kind: PartyKind::RegisteredEntity,
        seat: country.clone(),
        central_administration: country.clone(),
        principal_establishment: country,
        nationalities: None,
        residence: None,
        classification: None,
        declaration_threshold: None,
    }
}

fn founder() -> Party {
    let germany: Country = "DE".parse().unwrap();
    Party {
        kind: PartyKind::Person,
        nationalities: Some([germany.clone()].into_iter().collect()),
        residence: Some(germany),
        ..company("founder", "")
    }
}

fn interest(holder: &str, kind: InterestKind, percent: &str) -> Interest {
    Interest {
        subject: "cloud".into(),
        holder: holder.into(),
        kind,
        way: Way::Direct,
        exact: Share::from_percent(percent),
        minimum: None,
        maximum: None,
        exclusive_minimum: None,
        exclusive_maximum: None,
        start: None,
        end: None,
    }
}

/// A cloud of which a holder in the US has so much, and its founder the rest.
fn holdings(sold: &str, kept: &str, change: impl Fn(&mut Holdings)) -> Holdings {
    let kinds = [InterestKind::Shareholding, InterestKind::VotingRights];
    let interests =
        kinds.into_iter().flat_map(|kind| [interest("partners", kind, sold), interest("founder", kind, kept)]);
    let exclusions = [InterestKind::Veto, InterestKind::AppointmentOfBoard];
    let mut holdings = Holdings {
        expires: NOW + 5000,
        issued: NOW - 20,
        as_of: NOW - 86_400,
        parties: List::new(vec![company("cloud", "FR"), founder(), company("partners", "US")]).unwrap(),
        interests: List::new(interests.collect()).unwrap(),
        exclusions: List::new(exclusions.map(|kind| Exclusion { subject: "cloud".into(), kind }).to_vec()).unwrap(),
        parents: List::new(Vec::new()).unwrap(),
        opinions: List::new(Vec::new()).unwrap(),
    };
    change(&mut holdings);
    holdings
}

/// A policy, what was brought, and what is known of the machine.
struct Case {
    policy: String,
    statements: Vec<Vec<u8>>,
    node_ids: Vec<[u8; 32]>,
    touched: Option<Vec<String>>,
    boot: Boot,
}

impl Case {
    fn held(more: &str) -> Case {
        let voucher = voucher(&[OWNER]);
        let mandate = mandate(&voucher, OWNER);
        let [maker, owner, witness] = [MAKER, OWNER, WITNESS].map(|seed| hex(&raw(seed)));
        let policy = format!(
            "roots = [\"silicon\"]\nmax_age_s = 300\n[owner]\n[[owner.maker]]\nname = \"Maker\"\nkey = \"{maker}\"\n\
             [[owner.person]]\nparty = \"cloud\"\nkey = \"{owner}\"\n[[owner.witness]]\nname = \"Auditor\"\n\
             key = \"{witness}\"\n{more}"
        );
        Case { policy, statements: vec![voucher, mandate], node_ids: vec![NODE], touched: None, boot: Boot::good() }
    }

    fn with(mut self, statement: Vec<u8>) -> Case {
        self.statements.push(statement);
        self
    }

    fn assessed(&self) -> Assessed {
        let policy = Policy::parse(self.policy.as_bytes(), &RustEngine).unwrap();
        let carried = Carried::sort(self.statements.iter().map(Vec::as_slice));
        let log = self.boot.log();
        self.boot.measured(Some(&log), |boot| {
            let evidence = Evidence {
                engine: &RustEngine,
                boot,
                node_ids: &self.node_ids,
                ak_name: AK,
                untrusted_chassis: None,
                carried: &carried,
                touched: self.touched.as_deref(),
                now: NOW,
            };
            assess(policy.owner().unwrap(), &evidence, &[Link { what: "boot".into(), basis: Basis::Silicon }])
        })
    }

    /// The answer with its basis, and the reasons.
    fn said(&self) -> (String, Vec<String>) {
        let part = self.assessed().part;
        (part.to_string(), part.reasons)
    }

    fn is(&self, answer: &str, reason: &str) {
        let (found, reasons) = self.said();
        assert!(found.starts_with(answer) && reasons.iter().any(|one| one.contains(reason)), "{found}: {reasons:#?}");
    }
}

#[test]
fn who_holds_a_machine_by_voucher_and_mandate_and_keeps_the_rules_is_its_owner_by_testimony() {
    let assessed = Case::held(RULES).with(sealed(&holdings("24", "76", |_| ()), WITNESS)).assessed();
    assert!(assessed.part.to_string().starts_with("yes (testimony: "), "{}", assessed.part);
    let links: Vec<String> = assessed.part.links.iter().map(|link| link.basis.to_string()).collect();
    assert_eq!(links[..2], ["silicon", "testimony: Maker"]);
    assert_eq!(links.last().unwrap(), "testimony: Auditor");
    assert_eq!(assessed.expires, Some(NOW + 1000), "the mandate's end");
    for what in ["sales that no voucher shows", "hides a newer voucher", "pacts, options", "rule set secnumcloud-3.2"] {
        assert!(assessed.residual_trust.iter().any(|one| one.contains(what)), "{what}");
    }
    let shorter = sealed(&holdings("24", "76", |one| one.expires = NOW + 500), WITNESS);
    assert_eq!(Case::held(RULES).with(shorter).assessed().expires, Some(NOW + 500), "the shares' end");
}

#[test]
fn a_quarter_held_from_outside_is_no_and_the_path_comes_first() {
    let (answer, reasons) = Case::held(RULES).with(sealed(&holdings("25", "75", |_| ()), WITNESS)).said();
    assert!(answer.starts_with("no (testimony: "), "{answer}");
    assert!(reasons[0].contains("19.6.b.shares: no") && reasons[0].contains("PARTNERS (partners)"), "{reasons:#?}");
}

#[test]
fn unknown_where_an_interval_straddles_the_limit_or_a_clause_is_not_asserted() {
    let straddling = holdings("24", "70", |one| {
        let mut interests = one.interests.to_vec();
        for interest in interests.iter_mut().filter(|interest| interest.holder == "partners") {
            (interest.exact, interest.minimum) = (None, Share::from_percent("20"));
            interest.maximum = Share::from_percent("30");
        }
        one.interests = List::new(interests).unwrap();
    });
    Case::held(RULES).with(sealed(&straddling, WITNESS)).is("unknown", "19.6.b.shares: unknown");
    let silent = holdings("10", "90", |one| one.exclusions = List::new(Vec::new()).unwrap());
    Case::held(RULES).with(sealed(&silent, WITNESS)).is("unknown", "nobody else has a veto is not asserted");
}

#[test]
fn unknown_where_nobody_or_a_stranger_says_who_holds_what_or_it_is_old() {
    Case::held(RULES).is("unknown", "no statement that counts speaks of cloud");
    let good = |change: &dyn Fn(&mut Holdings)| holdings("10", "90", change);
    let stranger = Case::held(RULES).with(sealed(&good(&|_| ()), OWNER));
    stranger.is("unknown", "no statement that counts speaks of cloud");
    assert!(stranger.assessed().residual_trust.iter().any(|one| one.contains("holdings statement is left out")));
    let old = |one: &mut Holdings| (one.as_of, one.issued) = (NOW - 32 * 86_400, NOW - 32 * 86_400);
    Case::held(RULES).with(sealed(&good(&old), WITNESS)).is("unknown", "no statement that counts");
    let ended = |one: &mut Holdings| one.expires = NOW;
    Case::held(RULES).with(sealed(&good(&ended), WITNESS)).is("unknown", "no statement that counts");
}

#[test]
fn unknown_where_the_holder_is_in_northern_cyprus_or_in_an_oct_or_a_state_of_the_eea_alone_or_not_classified() {
    for country in ["CY-NORTH", "NC", "NO"] {
        let elsewhere = holdings("30", "70", |one| {
            let mut parties = one.parties.to_vec();
            parties[2] = company("partners", country);
            one.parties = List::new(parties).unwrap();
        });
        Case::held(RULES).with(sealed(&elsewhere, WITNESS)).is("unknown", "19.6.b.shares: unknown");
    }
    for kind in [PartyKind::Trust, PartyKind::Foundation, PartyKind::Fund, PartyKind::State] {
        let unclassified = holdings("30", "70", |one| {
            let mut parties = one.parties.to_vec();
            parties[2] = Party { kind, ..company("partners", "") };
            one.parties = List::new(parties).unwrap();
        });
        Case::held(RULES).with(sealed(&unclassified, WITNESS)).is("unknown", "19.6.b.shares: unknown");
    }
}

#[test]
fn unknown_without_a_voucher_or_a_mandate_or_a_person_that_the_policy_knows() {
    let mut case = Case::held("");
    case.is("yes", "custody: held by key");
    case.statements.remove(1);
    case.is("unknown", "no mandate");
    case.statements.remove(0);
    case.is("unknown", "custody: ");
    let mut case = Case::held("");
    case.policy = case.policy.replace(&hex(&raw(OWNER)), &hex(&raw(SECOND_OWNER)));
    case.is("unknown", "does not know the owner's key");
    let mut case = Case::held("");
    case.policy = case.policy.replace(&hex(&raw(MAKER)), &hex(&raw(SECOND_OWNER)));
    case.is("unknown", "custody: ");
}

#[test]
fn a_former_owners_mandate_and_a_revoked_key_are_no_and_two_heads_an_alarm() {
    let mut case = Case::held("");
    let sold = voucher(&[OWNER, SECOND_OWNER]);
    let former = mandate(&sold, OWNER);
    case.statements = vec![sold, former];
    case.is("no (testimony: ", "custody: ");
    let mut case = Case::held("");
    case.policy = case.policy.replace("[owner]\n", &format!("[owner]\nrevoked = [\"{}\"]\n", hex(&id(OWNER))));
    case.is("no", "custody: ");
    let case = Case::held("").with(voucher(&[SECOND_OWNER]));
    case.is("unknown", "custody: alarm: ");
}

/// A log of two leaves with one witness, and the proof of the second as it signed at `time`.
fn proof(leaf: &[u8], time: u64) -> Vec<u8> {
    let digest = |leaf: &[u8]| crate::engine::sha256(&RustEngine, &[&[0], leaf]);
    let tree = merkle::Tree::new(&RustEngine, vec![digest(b"first"), digest(leaf)]).unwrap();
    let body = format!("log.example\n2\n{}\n", Base64::encode_string(&tree.root()));
    let path: String = tree.path(1).unwrap().iter().map(|node| Base64::encode_string(node) + "\n").collect();
    let line = |name: &str, role: Role, seed: u8, bytes: &[u8]| {
        let key = LogKey::new(&RustEngine, name, role, raw(seed)).id();
        format!("\u{2014} {name} {}\n", Base64::encode_string(&[&key[..], bytes].concat()))
    };
    let own = line("log.example", Role::Log, LOG, &secret(LOG).sign(body.as_bytes()).to_bytes());
    let seen = secret(LOG_WITNESS).sign(format!("cosignature/v1\ntime {time}\n{body}").as_bytes()).to_bytes();
    let seen = line("w.example", Role::Witness, LOG_WITNESS, &[&time.to_be_bytes()[..], &seen].concat());
    format!("c2sp.org/tlog-proof@v1\nindex 1\n{path}\n{body}\n{own}{seen}").into_bytes()
}

#[test]
fn where_the_policy_asks_for_a_log_the_head_of_custody_must_stand_in_it() {
    let text = |name: &str, role: Role, kind: u8, seed: u8| {
        let id = LogKey::new(&RustEngine, name, role, raw(seed)).id();
        format!("{name}+{}+{}", hex(&id), Base64::encode_string(&[&[kind][..], &raw(seed)].concat()))
    };
    let log = format!(
        "[owner.log]\nlogs = [\"{}\"]\nwitnesses = [\"{}\"]\nquorum = 1\n",
        text("log.example", Role::Log, 1, LOG),
        text("w.example", Role::Witness, 4, LOG_WITNESS)
    );
    let at = |node, head, time| proof(&custody_leaf(node, head).unwrap(), time);
    let of = |node, head| at(node, head, NOW);
    let head = head(&voucher(&[OWNER]));
    Case::held(&log).is("unknown", "no proof of a log was brought");
    Case::held(&log).with(of([1; 32], head)).is("unknown", "not shown to stand in a log");
    Case::held(&log).with(of(NODE, [1; 32])).is("unknown", "not shown to stand in a log");
    Case::held(&log).with(at(NODE, head, NOW + 1)).is("unknown", "which is to come");
    let logged = Case::held(&log).with(of([1; 32], head)).with(of(NODE, head));
    logged.is("yes", "custody: held by");
    let mut of_second_ek = Case::held(&log).with(of(NODE, head));
    of_second_ek.node_ids.insert(0, [7; 32]);
    of_second_ek.is("yes", "custody: held by");
    let assessed = logged.assessed();
    assert!(assessed.part.links.iter().any(|link| link.what.contains("entry 1 of log log.example")));
    assert!(assessed.residual_trust.iter().any(|what| what.contains("a newer voucher of this machine")));
}

#[test]
fn a_rules_own_territory_sees_the_place_by_all_lands_that_it_can_be_on() {
    let rule = |territory: &str| {
        format!(
            "[[owner.rules]]\ntext = '''\nid = \"own\"\nversion = \"1\"\ntitle = \"Own\"\nsource = \"us\"\nlisted = \"strict\"\n\
             persons_outside = \"outside\"\nfreshness = {{ days = 31, checked = \"primary\" }}\n[territory]\nname = \"here\"\n\
             inside = {territory}\n[[rule]]\nid = \"1\"\ntitle = \"place\"\ntest = {{ kind = \"place\" }}\n'''\n"
        )
    };
    for (touched, territory, answer) in [
        (Some(["DE", "FR"]), "[\"DE\", \"FR\"]", "yes"),
        (Some(["DE", "FR"]), "[\"DE\"]", "unknown"),
        (Some(["DE", "FR"]), "[\"IT\"]", "no"),
        (None, "[\"DE\", \"FR\"]", "unknown"),
    ] {
        let mut case = Case::held(&rule(territory));
        case.touched = touched.map(|lands| lands.map(String::from).to_vec());
        case.is(answer, "own 1: ");
    }
}

#[test]
fn keys_that_authorise_what_boots_are_named_with_their_country_and_one_from_outside_is_no() {
    let entry = |byte: u8| {
        let sizes = [76u32, 0, 48].map(u32::to_le_bytes).concat();
        [&Guid::CERT_SHA256.0[..], &sizes, &[0; 16], &[byte; 32]].concat()
    };
    let boot = Boot::good().changed(|events| {
        let config = EventType::EFI_VARIABLE_DRIVER_CONFIG;
        events.retain(|event| event.pcr != 7);
        events.push(variable(config, "SecureBoot", &[1]));
        events.extend([("PK", 1), ("KEK", 2), ("db", 3)].map(|(name, byte)| variable(config, name, &entry(byte))));
    });
    let rules = "[[owner.rules]]\nset = \"secnumcloud-3.2\"\nask = [\"19.6.c\"]\n";
    let authority = |byte: u8, country: &str| {
        let sha256 = hex(&crate::engine::sha256(&RustEngine, &[&[byte; 32]]));
        format!("[[owner.authority]]\nsha256 = \"{sha256}\"\ncountry = \"{country}\"\n")
    };
    for (country, answer) in [("FR", "unknown"), ("US", "no")] {
        let known = [authority(1, "FR"), authority(2, "FR"), authority(3, country)].concat();
        let mut case = Case::held(&(known + rules));
        case.boot = boot.clone();
        let case = case.with(sealed(&holdings("10", "90", |_| ()), WITNESS));
        case.is(answer, "boot authority: ");
        case.is(answer, &format!(", {country}"));
    }
    let opinion = holdings("10", "90", |one| {
        let (subject, rule_set, rule) = ("cloud".into(), "secnumcloud-3.2".into(), "19.6.c".into());
        one.opinions = List::new(vec![Opinion { subject, rule_set, rule, answer: OpinionAnswer::Yes }]).unwrap();
    });
    Case::held(rules).with(sealed(&opinion, WITNESS)).is("yes", "opinion of Auditor: yes");
    let mut off = Case::held("");
    off.boot = boot.changed(|events| {
        events.retain(|event| event.pcr != 7 || event.event_type != EventType::EFI_VARIABLE_DRIVER_CONFIG)
    });
    off.is("yes", "secure boot is off");
}

#[test]
fn a_policy_on_owners_that_could_mean_anything_is_refused() {
    let refused = |more: &str| Policy::parse(Case::held(more).policy.as_bytes(), &RustEngine).unwrap_err().to_string();
    let twice = format!("[[owner.authority]]\nsha256 = \"{0}\"\ncountry = \"FR\"\n", "00".repeat(32)).repeat(2);
    for (more, expected) in [
        ("[[owner.rules]]\nset = \"none\"\n", "no rule set \"none\""),
        ("[[owner.rules]]\nask = [\"1\"]\n", "need the id of a `set`"),
        ("[[owner.rules]]\nset = \"secnumcloud-3.2\"\ntext = \"\"\n", "need the id of a `set`"),
        ("[[owner.rules]]\nset = \"secnumcloud-3.2\"\nask = [\"19.6.z\"]\n", "has no rule \"19.6.z\""),
        ("[[owner.rules]]\nset = \"secnumcloud-3.2\"\nask = []\n", "names no rule"),
        ("[[owner.person]]\nparty = \"x\"\n", "needs a `key` or an `organization`"),
        ("[[owner.person]]\nparty = \" \"\norganization = \"x\"\n", "no id of a party"),
        ("[owner.log]\nlogs = []\nwitnesses = []\nquorum = 0\n", "owner"),
        ("[[owner.maker]]\nname = \"\"\nkey = \"00\"\n", "expected 64 hexadecimal digits"),
        (
            "[[owner.seal_root]]\nname = \"root\"\nkind = \"discrete\"\ncertificate = \"\"\n",
            "give one certificate in PEM",
        ),
        ("[owner.anything]\n", "unknown field"),
        (&twice, "stands twice"),
    ] {
        let found = refused(more);
        assert!(found.contains(expected), "{more}: {found}");
    }
}

/// What the map and a rule set say of one land is never a yes beside a no.
#[test]
fn each_built_in_rule_set_sees_every_land_as_the_map_does() {
    use crate::place::territory::{Standing as OnMap, Territory};
    use party::Standing as ByRules;
    let map = Territory::builtin().unwrap();
    for (rules, set) in [("secnumcloud-3.2", "EU"), ("csf-2026-06", "EU"), ("gaia-x-l3", "EEA")] {
        let (rules, set) = (RuleSet::built_in(rules).unwrap().unwrap(), map.set(set).unwrap());
        for land in map.lands() {
            let by_rules = rules.territory.standing(&land.code.parse().unwrap());
            let agree = match set.standing(&land.code) {
                OnMap::Inside => by_rules == ByRules::Inside,
                OnMap::Disputed => by_rules == ByRules::Undecided,
                OnMap::Outside => by_rules != ByRules::Inside,
            };
            assert!(agree, "{}: {} is {by_rules:?}", rules.id, land.code);
        }
    }
}
