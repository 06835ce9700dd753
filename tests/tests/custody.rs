//! Custody and sites from end to end: statements signed by the command line, weighed as a verifier weighs them.

use garant_attest::{
    cbor::{Bytes, Bytes32},
    cose::StatementError,
    engine::PublicKey,
    node_id::NodeId,
    owner::{
        custody::{Chassis, Custody, Subject, Trust, judge},
        mandate::Mandate,
        voucher::ClaimedVoucher,
    },
    place::site,
    roots::Roots,
    statement,
    verdict::Answer,
};
use garant_channel::engine::FastEngine;
use garant_tests::garant;
use garant_verifier::seal::read_key;
use std::{
    fs,
    path::PathBuf,
    process::{Command, Output},
    time::{SystemTime, UNIX_EPOCH},
};
use tempfile::TempDir;

const NODE: &str = "abababababababababababababababababababababababababababababababab";
const AK: &str = "000b0707";
const DAY_S: u64 = 86_400;

/// A folder with keys, in which people type commands.
struct Desk {
    folder: TempDir,
}

impl Desk {
    fn new(keys: &[&str]) -> Desk {
        let desk = Desk { folder: tempfile::tempdir().unwrap() };
        for key in keys {
            desk.types(&format!("keygen --out {key}.key --public {key}.pub"), 0);
        }
        desk
    }

    fn path(&self, file: &str) -> PathBuf {
        self.folder.path().join(file)
    }

    fn read(&self, file: &str) -> Vec<u8> {
        fs::read(self.path(file)).unwrap()
    }

    /// Types a command of words without spaces, and says what was printed.
    fn types(&self, line: &str, code: i32) -> String {
        self.runs(&line.split_whitespace().collect::<Vec<_>>(), code)
    }

    fn runs(&self, arguments: &[&str], code: i32) -> String {
        let done: Output = garant::command(arguments).current_dir(self.folder.path()).output().unwrap();
        let printed = [done.stdout, done.stderr].concat();
        let printed = String::from_utf8_lossy(&printed).into_owned();
        assert_eq!(done.status.code(), Some(code), "garant {}: {printed}", arguments.join(" "));
        printed
    }

    fn public(&self, name: &str) -> PublicKey {
        PublicKey::Ed25519(read_key(&self.path(&format!("{name}.key"))).unwrap().public())
    }

    fn hands(&self, from: &str, to: &str, before: &str, after: &str) {
        self.types(&format!("statement transfer sign {before} --to {to}.pub --key {from}.key --out {after}"), 0);
    }

    /// Maker to integrator to owner, and the owner's mandate.
    fn sold() -> Desk {
        let desk = Desk::new(&["maker", "integrator", "owner", "stranger"]);
        let begin = format!("--node {NODE} --chassis S4711 --to integrator.pub --key maker.key --out one");
        desk.types(&format!("statement transfer sign {begin}"), 0);
        desk.hands("integrator", "owner", "one", "two");
        desk.mandates("owner", "two", "mandate");
        desk
    }

    fn mandates(&self, key: &str, voucher: &str, file: &str) {
        let line = format!("--node {NODE} --ak-name {AK} --key {key}.key --out {file}");
        self.types(&format!("statement mandate sign {voucher} {line}"), 0);
    }

    /// What the command line would refuse to sign.
    fn forges(&self, key: &str, file: &str, change: impl Fn(&mut Mandate<'_>)) {
        let voucher = self.read("two");
        let head = ClaimedVoucher::decode(&voucher).unwrap().follow(&FastEngine).unwrap().head();
        let (issued, node_id) = (now() - 10, Bytes32::new(node()));
        let ak_name = Bytes::new(&[0, 11, 7, 7]);
        let mut mandate = Mandate { expires: issued + DAY_S, issued, node_id, ak_name, head: Bytes32::new(head) };
        change(&mut mandate);
        let secret = read_key(&self.path(&format!("{key}.key"))).unwrap();
        let sign = |message: &[u8]| Ok::<_, StatementError>(secret.sign(message).to_vec());
        let payload = garant_attest::cbor::encode(&mandate).unwrap();
        let content_type = <Mandate<'_> as statement::Claims<'_>>::CONTENT_TYPE;
        let signed = garant_attest::cose::sign(&FastEngine, &self.public(key), content_type, &payload, sign);
        fs::write(self.path(file), signed.unwrap()).unwrap();
    }

    fn judges(&self, vouchers: &[&str], mandates: &[&str], revoked: &[&str], now: u64) -> Custody {
        let bytes = |files: &[&str]| files.iter().map(|file| self.read(file)).collect::<Vec<_>>();
        let (vouchers, mandates) = (bytes(vouchers), bytes(mandates));
        let revoked: Vec<_> = revoked.iter().map(|name| self.public(name).id(&FastEngine).unwrap()).collect();
        let subject = Subject { node_ids: &[node()], ak_name: &[0, 11, 7, 7], chassis: Chassis::Untrusted("S4711") };
        let (makers, seal_roots) = ([self.public("maker")], Roots::none());
        let trust = Trust { makers: &makers, revoked: &revoked, seal_roots: &seal_roots };
        let [vouchers, mandates] =
            [&vouchers, &mandates].map(|files| files.iter().map(Vec::as_slice).collect::<Vec<_>>());
        judge(&FastEngine, &vouchers, &mandates, &subject, &trust, now)
    }

    /// The words for which nobody is shown to hold the machine.
    fn words(&self, vouchers: &[&str], mandates: &[&str]) -> String {
        match self.judges(vouchers, mandates, &[], now()) {
            Custody::NotHeld(fault) => fault.to_string(),
            Custody::Held(held) => panic!("held by {:?}", held.owner),
        }
    }
}

fn node() -> [u8; 32] {
    *NODE.parse::<NodeId>().unwrap().as_bytes()
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

#[test]
fn a_machine_that_was_handed_from_maker_to_owner_is_held_by_the_owners_mandate() {
    let desk = Desk::sold();
    let Custody::Held(held) = desk.judges(&["two"], &["mandate"], &[], now()) else { panic!("not held") };
    assert_eq!(held.owner.key, desk.public("owner"));
    assert_eq!(held.links.len(), 2);
    assert!(held.expires > now() + 6 * DAY_S && held.expires <= now() + 7 * DAY_S);
    for command in ["statement transfer show two --by maker.pub", "statement show two", "explain two"] {
        let shown = desk.types(command, 0);
        for part in [NODE, "S4711", "entries hold        yes"] {
            assert!(shown.contains(part), "{command}: {shown}");
        }
        assert_eq!(shown.matches("handed to key id").count(), 2, "{shown}");
    }
    let shown = desk.types("statement mandate show mandate --by owner.pub --json", 0);
    let shown: serde_json::Value = serde_json::from_str(&shown).unwrap();
    assert_eq!((shown["kind"].as_str(), shown["signed"].as_bool()), (Some("mandate of an owner"), Some(true)));
    assert!(desk.types("statement show mandate --by maker.pub", 1).contains("names another signer"));
    assert!(desk.types("statement show two --by owner.pub", 1).contains("another key begins this voucher"));
    assert!(desk.types("explain mandate", 0).contains("head of the voucher"));
}

#[test]
fn what_is_wrong_with_a_chain_is_said_in_its_own_words() {
    let desk = Desk::sold();
    desk.hands("integrator", "stranger", "one", "sold_again");
    let heads = desk.words(&["two", "sold_again"], &["mandate"]);
    assert!(heads.contains("ALARM: this machine was given to two owners"), "{heads}");
    desk.hands("owner", "owner", "two", "three");
    let (one, two, three) = (desk.read("one"), desk.read("two"), desk.read("three"));
    let (second, third) = (&two[one.len()..], &three[two.len()..]);
    // The array of entries has its count right after the header.
    let with = |entries: &[&[u8]], count: u8| {
        let head = one.windows(2).position(|pair| pair == [0xf6, 0x81]).unwrap();
        [&one[..=head], &[0x80 + count], &one[head + 2..], &entries.concat()].concat()
    };
    fs::write(desk.path("cut"), with(&[third], 2)).unwrap();
    let cut = desk.words(&["cut"], &["mandate"]);
    assert!(cut.contains("the chain of custody is cut before entry 2"), "{cut}");
    // An entry of the same owner from another chain.
    desk.hands("integrator", "integrator", "one", "detour");
    desk.hands("integrator", "owner", "detour", "detour_sold");
    let elsewhere = &desk.read("detour_sold")[desk.read("detour").len()..].to_vec();
    fs::write(desk.path("wrong"), with(&[elsewhere], 2)).unwrap();
    let wrong = desk.words(&["wrong"], &["mandate"]);
    assert!(wrong.contains("entry 2 of the voucher does not continue the entry before it"), "{wrong}");
    assert_eq!(with(&[second], 2), two);
    assert!(desk.types("statement show wrong --by maker.pub", 1).contains("does not continue"));
    for revoked in ["maker", "integrator", "owner"] {
        let custody = desk.judges(&["two"], &["mandate"], &[revoked], now());
        assert_eq!(custody.answer(), Answer::No, "{revoked}");
        let Custody::NotHeld(fault) = custody else { panic!("held") };
        assert!(fault.to_string().contains("is revoked by the policy"), "{fault}");
    }
    let foreign = format!("--node {} --to owner.pub --key maker.key --out foreign", NODE.replace("ab", "cd"));
    desk.types(&format!("statement transfer sign {foreign}"), 0);
    assert!(desk.words(&["foreign"], &["mandate"]).contains("the voucher is for another machine"));
    let other_maker = format!("--node {NODE} --to owner.pub --key stranger.key --out other_maker");
    desk.types(&format!("statement transfer sign {other_maker}"), 0);
    assert!(desk.words(&["other_maker"], &["mandate"]).contains("which the policy does not name as a maker"));
}

#[test]
fn a_lease_and_a_mandate_end_when_they_say() {
    let desk = Desk::sold();
    desk.types("statement transfer sign two --to stranger.pub --until 2100-01-01 --key owner.key --out lease", 0);
    desk.mandates("stranger", "lease", "lessees");
    assert!(matches!(desk.judges(&["lease"], &["lessees"], &[], now()), Custody::Held(_)));
    let words = |at| match desk.judges(&["lease"], &["lessees"], &[], at) {
        Custody::NotHeld(fault) => fault.to_string(),
        Custody::Held(_) => "held".to_owned(),
    };
    assert!(words(now() + 8 * DAY_S).contains("the mandate does not count: the statement ended at"));
    assert!(words(4_102_444_800).contains("what entry 3 of the voucher gave ended at 4102444800"));
    let past = "statement transfer sign two --to stranger.pub --until 2020-01-01 --key owner.key --out past";
    assert!(desk.types(past, 3).contains("would end before it begins"));
}

#[test]
fn what_is_wrong_with_a_mandate_is_said_in_its_own_words() {
    let desk = Desk::sold();
    let words = |key: &str, change: &dyn Fn(&mut Mandate<'_>)| {
        desk.forges(key, "forged", change);
        desk.words(&["two"], &["forged"])
    };
    let long = words("owner", &|mandate| mandate.expires = mandate.issued + 7 * DAY_S + 1);
    assert!(long.contains("lives 604801 s, at most 604800 s are accepted"), "{long}");
    let future = words("owner", &|mandate| mandate.issued = now() + 1000);
    assert!(future.contains("counts only from"), "{future}");
    let other_node = words("owner", &|mandate| mandate.node_id = Bytes32::new([1; 32]));
    assert!(other_node.contains("the mandate is for another machine: node 0101"), "{other_node}");
    let other_ak = words("owner", &|mandate| mandate.ak_name = Bytes::new(&[0, 11, 7, 8]));
    assert!(other_ak.contains("the mandate is for another attestation key"), "{other_ak}");
    let other_head = words("owner", &|mandate| mandate.head = Bytes32::new([2; 32]));
    assert!(other_head.contains("entries are missing here, or the machine was handed on since"), "{other_head}");
    let former = words("integrator", &|_| ());
    assert!(former.contains("which has handed the machine on"), "{former}");
    let stranger = words("stranger", &|_| ());
    assert!(stranger.contains("which is not in the chain of custody"), "{stranger}");
    assert!(desk.words(&["two"], &[]).contains("the owner has given no mandate for this node"));
    assert!(desk.words(&[], &["mandate"]).contains("no ownership voucher is at hand"));
}

#[test]
fn the_command_line_signs_nothing_that_would_not_count() {
    let desk = Desk::sold();
    let mandate = format!("statement mandate sign two --node {NODE} --ak-name {AK} --out new");
    let refused = |line: &str| desk.types(line, 3);
    assert!(refused(&format!("{mandate} --key integrator.key")).contains("the machine's present owner is"));
    assert!(refused(&format!("{mandate} --key owner.key --days 8")).contains("8 is not in 1..=7"));
    assert!(refused(&mandate).contains("nobody signs"));
    let other = NODE.replace("ab", "cd");
    let other = format!("statement mandate sign two --node {other} --ak-name {AK} --key owner.key --out new");
    assert!(refused(&other).contains("the voucher is for another node"));
    let no_ak = format!("statement mandate sign two --node {NODE} --key owner.key --out new");
    assert!(refused(&no_ak).contains("the attestation key is not named"));
    let former = "statement transfer sign two --to stranger.pub --key integrator.key --out new";
    assert!(refused(former).contains("only the present owner can hand the machine on"));
    let taken = "statement transfer sign two --to stranger.pub --key owner.key --out one";
    assert!(refused(taken).contains("File exists"));
    assert!(!desk.path("new").exists());
}

#[test]
fn an_auditors_site_counts_for_the_landmark_that_it_names_until_it_ends() {
    let desk = Desk::new(&["auditor", "landmark", "other"]);
    let example = desk.types("statement site sign --example", 0);
    let anchored = example.replace(&format!("\"{}\"", "0".repeat(64)), "\"landmark.pub\"");
    fs::write(desk.path("site.toml"), anchored.replace("2027-02-28", "2100-01-01")).unwrap();
    desk.types("statement site sign site.toml --key auditor.key --out site", 0);
    let shown = desk.types("statement site show site --by auditor.pub", 0);
    for part in ["DE", "50.110900", "8.682100", "200 m", "2100-01-01T00:00:00Z", "checked: yes"] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    let statement = desk.read("site");
    let landmark = [desk.public("landmark").id(&FastEngine).unwrap()];
    let judged = |auditor: &str, anchors: &[[u8; 32]], at| {
        let subject = site::Subject { node_ids: &[node()], anchors, covered_chassis: None };
        let (sites, faults) = site::judge(&FastEngine, &[&statement], &[desk.public(auditor)], &subject, at);
        assert_eq!(sites.len() + faults.len(), 1);
        faults.first().map_or_else(|| sites[0].site().country.clone(), ToString::to_string)
    };
    assert_eq!(judged("auditor", &landmark, now()), "DE");
    assert!(judged("other", &landmark, now()).contains("names another signer"));
    assert!(judged("auditor", &[], now()).contains("is not shown to be in this building"));
    assert!(judged("auditor", &landmark, 4_102_444_800).contains("ended at 4102444800"));
    for (from, to, words) in [
        ("\"DE\"", "\"Germany\"", "country cannot be meant"),
        ("50.110900", "150.110900", "latitude cannot be meant"),
        ("8.682100", "nan", "longitude is no number of degrees"),
        ("200 ", "0 ", "radius cannot be meant"),
        ("\"FRA 1\"", "\"\"", "name cannot be meant"),
        ("valid_until = 2027-02-28", "valid_until = 2020-02-28", "ends before it begins"),
        ("valid_until = 2027-02-28", "valid_until = 7", "is no point of time"),
        ("operator", "owner", "unknown field `owner`"),
        ("anchor =", "#anchor =", "subject (neither node nor anchor) cannot be meant"),
    ] {
        assert!(example.contains(from), "{from}");
        fs::write(desk.path("bad.toml"), example.replacen(from, to, 1)).unwrap();
        let refused = desk.types("statement site sign bad.toml --key auditor.key --out bad", 3);
        assert!(refused.contains(words), "{to}: {refused}");
    }
}

/// A token with a P-256 key, and the command that signs with it; `None` where SoftHSM is not installed.
fn token(desk: &Desk) -> Option<String> {
    let module = ["/usr/lib/softhsm/libsofthsm2.so", "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so"];
    let found = module.iter().find(|path| PathBuf::from(path).exists());
    let Some(module) = found else {
        eprintln!("SKIPPED: SoftHSM is not installed, `make deps` installs it");
        return None;
    };
    let tokens = desk.path("tokens");
    fs::create_dir(&tokens).unwrap();
    let conf = desk.path("softhsm.conf");
    fs::write(&conf, format!("directories.tokendir = {}\n", tokens.display())).unwrap();
    let run = |line: &str| {
        let mut shell = Command::new("sh");
        shell.args(["-c", line]).env("SOFTHSM2_CONF", &conf).current_dir(desk.folder.path());
        let done = shell.output().unwrap();
        assert!(done.status.success(), "{line}: {}", String::from_utf8_lossy(&done.stderr));
    };
    let pkcs11 = format!("pkcs11-tool --module {module}");
    run("softhsm2-util --init-token --free --label test --pin 1234 --so-pin 1234");
    run(&format!("{pkcs11} --login --pin 1234 --keypairgen --key-type EC:prime256v1 --id 01 --label owner"));
    run(&format!("{pkcs11} --read-object --type pubkey --id 01 --output-file token.der"));
    let sign = format!("{pkcs11} --login --pin 1234 --sign --mechanism ECDSA --id 01");
    Some(format!("openssl dgst -sha256 -binary | SOFTHSM2_CONF={} {sign}", conf.display()))
}

#[test]
fn a_key_in_a_token_signs_through_pkcs11_and_what_it_answers_is_checked() {
    let desk = Desk::new(&["maker", "owner"]);
    let Some(signer) = token(&desk) else { return };
    desk.types(&format!("statement transfer sign --node {NODE} --to token.der --key maker.key --out one"), 0);
    let mandate = |signer: &str, out: &str, code| {
        let line =
            format!("statement mandate sign one --node {NODE} --ak-name {AK} --signer-key token.der --out {out}");
        desk.runs(&[&line.split_whitespace().collect::<Vec<_>>()[..], &["--signer", signer]].concat(), code)
    };
    mandate(&signer, "mandate", 0);
    let Custody::Held(held) = desk.judges(&["one"], &["mandate"], &[], now()) else { panic!("not held") };
    assert!(matches!(held.owner.key, PublicKey::P256(_)));
    desk.types("statement show mandate --by token.der", 0);
    // The token hands the machine on, too.
    let line = "statement transfer sign one --to owner.pub --signer-key token.der --out two";
    desk.runs(&[&line.split_whitespace().collect::<Vec<_>>()[..], &["--signer", &signer]].concat(), 0);
    desk.mandates("owner", "two", "owners");
    assert!(matches!(desk.judges(&["two"], &["owners"], &[], now()), Custody::Held(_)));
    let der = format!("{signer} --signature-format openssl");
    for (bad, words) in [
        ("false", "the signer failed"),
        ("exit 7", "exit status: 7"),
        ("true", "the signer wrote nothing"),
        ("cat", "the statement's signature does not verify"),
        ("head -c 64 /dev/zero", "the statement's signature does not verify"),
        (&der, "answers ECDSA as r and s"),
        ("cat /dev/zero", "the signer failed"),
    ] {
        let refused = mandate(bad, "bad", 3);
        assert!(refused.contains(words), "{bad}: {refused}");
    }
    assert!(!desk.path("bad").exists());
}

#[test]
fn an_auditors_shares_are_what_the_file_said_and_carry_the_auditors_name_alone() {
    let desk = Desk::new(&["auditor", "stranger"]);
    let example = desk.types("statement shares sign --example", 0);
    fs::write(desk.path("shares.toml"), example.replace("2026-12-20", "2126-12-20")).unwrap();
    desk.types("statement shares sign shares.toml --key auditor.key --out operator.shares", 0);
    for command in ["statement shares show operator.shares --by auditor.pub", "explain operator.shares"] {
        let shown = desk.types(command, 0);
        for part in [
            "Example Partners Inc. (lei:EXAMPLEFUNDS00000001), registeredEntity, seat US",
            "lei:EXAMPLEFUNDS00000001 in euid:FRRCS.EXAMPLE: shareholding at least 10 % at most 20 %",
            "veto in euid:FRRCS.EXAMPLE",
            "euid:FRRCS.EXAMPLE: euid:DEHRB.HOLDING",
        ] {
            assert!(shown.contains(part), "{part}: {shown}");
        }
    }
    desk.types("statement shares show operator.shares --by stranger.pub", 1);
    desk.types("statement shares sign shares.toml --key auditor.key --out operator.shares", 3);
    for (from, to, says) in [
        ("\"60\"", "\"60,0\"", "is no share"),
        ("maximum = \"20\"", "maximum = \"9\"", "minimum is above its maximum"),
        ("as_of = 2026-11-20", "as_of = 2126-11-20", "as-of date"),
        ("seat = \"FR\"", "seat = \"France\"", "two capital letters"),
        ("kind = \"person\"", "kind = \"human\"", "unknown variant"),
    ] {
        fs::write(desk.path("wrong.toml"), example.replace("2026-12-20", "2126-12-20").replacen(from, to, 1)).unwrap();
        let printed = desk.types("statement shares sign wrong.toml --key auditor.key --out wrong.shares", 3);
        assert!(printed.contains(says), "{says}: {printed}");
    }
}
