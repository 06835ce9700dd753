//! Event data counts only as far as its digest covers it (facts L1, L2, L11, L15).

use garant_attest::replay::{CoveredData, covered};
use garant_channel::engine::FastEngine;
use garant_hw::{
    eventdata::{DataError, EventData, Guid, Rule, Signature, SignatureLists, Tagged, Utf16, Variable},
    eventlog::{Event, EventLog, EventType},
    hash::Hash,
};
use garant_tests::{
    crafted_log::{CraftedLog, signature_list, variable},
    vectors,
};

/// What is covered of an event of this type with this data whose digest is over `measured`.
fn covered_of(event_type: EventType, measured: &[u8], data: &[u8]) -> Option<(Rule, Vec<u8>)> {
    let bytes = CraftedLog::of(&[Hash::Sha256]).measuring(1, event_type, measured, data).bytes();
    let log = EventLog::parse(&bytes).unwrap();
    let event = log.events().nth(1).unwrap().unwrap();
    let covered = covered(&FastEngine, &event, Hash::Sha256)?;
    Some((covered.rule(), covered.bytes().to_vec()))
}

fn secure_boot(content: &[u8]) -> Vec<u8> {
    variable(Guid::GLOBAL_VARIABLE.0, "SecureBoot", content)
}

/// Type, logged data, what is hashed, and what that covers by which rule.
type Case<'a> = (EventType, &'a [u8], &'a [u8], Option<(Rule, Vec<u8>)>);

#[test]
fn each_rule_covers_its_part_of_the_data_and_no_other() {
    let boot = variable(Guid::GLOBAL_VARIABLE.0, "BootOrder", &[1, 0, 2, 0]);
    let shim = variable([0x50; 16], "Shim", b"certificate");
    let shim_logged = [&shim[..], &[0]].concat();
    let whole = |data: &[u8]| Some((Rule::Whole, data.to_vec()));
    let cases: [Case<'_>; 14] = [
        (EventType::SEPARATOR, &[0; 4], &[0; 4], whole(&[0; 4])),
        (EventType::EFI_ACTION, b"Calling", b"Calling", whole(b"Calling")),
        (EventType::EFI_VARIABLE_DRIVER_CONFIG, &boot, &boot, whole(&boot)),
        (EventType::EFI_VARIABLE_DRIVER_CONFIG, &[1, 0, 2, 0], &boot, None),
        (EventType::EFI_VARIABLE_BOOT, &boot, &boot, whole(&boot)),
        (EventType::EFI_VARIABLE_BOOT, &[1, 0, 2, 0], &boot, Some((Rule::VariableContent, vec![1, 0, 2, 0]))),
        (EventType::EFI_VARIABLE_BOOT2, &[1, 0, 2, 0], &boot, None),
        (EventType::EFI_VARIABLE_AUTHORITY, &shim, &shim, whole(&shim)),
        (EventType::EFI_VARIABLE_AUTHORITY, &shim, &shim_logged, Some((Rule::VariableOfShim, shim.clone()))),
        (EventType::IPL, b"linux", b"grub_cmd: linux\0", Some((Rule::GrubText, b"linux".to_vec()))),
        (EventType::IPL, b"linux\0", b"grub_cmd linux\0", Some((Rule::GrubText, b"linux\0".to_vec()))),
        (EventType::IPL, b"MokList\0", b"MokList\0", whole(b"MokList\0")),
        (EventType::IPL, b"", b"grub_cmd: \0", None),
        (EventType::ACTION, b"other", b"thing", None),
    ];
    for (event_type, measured, data, expected) in cases {
        assert_eq!(covered_of(event_type, measured, data), expected, "{event_type} {data:?}");
    }
}

#[test]
fn nothing_is_covered_of_images_blobs_and_tables_even_where_the_digest_is_over_the_data() {
    for event_type in [
        EventType::NO_ACTION,
        EventType::EFI_BOOT_SERVICES_APPLICATION,
        EventType::EFI_BOOT_SERVICES_DRIVER,
        EventType::EFI_RUNTIME_SERVICES_DRIVER,
        EventType::EFI_PLATFORM_FIRMWARE_BLOB,
        EventType::EFI_PLATFORM_FIRMWARE_BLOB2,
        EventType::EFI_HANDOFF_TABLES,
        EventType::EFI_HANDOFF_TABLES2,
    ] {
        assert_eq!(covered_of(event_type, b"path", b"path"), None, "{event_type}");
    }
}

#[test]
fn any_flipped_byte_of_covered_data_uncovers_it() {
    let whole = secure_boot(&[1]);
    for at in 0..whole.len() {
        let mut flipped = whole.clone();
        flipped[at] ^= 1;
        assert_eq!(covered_of(EventType::EFI_VARIABLE_DRIVER_CONFIG, &whole, &flipped), None, "byte {at}");
    }
}

#[test]
fn lengths_overwritten_inside_a_boot_variable_never_yield_other_covered_bytes() {
    let content = b"\x01\0\0\0Linux";
    let honest = variable(Guid::GLOBAL_VARIABLE.0, "Boot0001", content);
    for at in 16..32 {
        for value in [0, 1, 2, 7, 9, 0x7f, 0xff] {
            let mut forged = honest.clone();
            forged[at] = value;
            let found = covered_of(EventType::EFI_VARIABLE_BOOT, content, &forged);
            assert!(found.is_none_or(|(_, bytes)| bytes == content), "length byte {at} = {value}");
        }
    }
    let mut renamed = honest.clone();
    renamed[32] = b'X';
    let (rule, bytes) = covered_of(EventType::EFI_VARIABLE_BOOT, content, &renamed).unwrap();
    let view = EventData::read(EventType::EFI_VARIABLE_BOOT, rule, &bytes);
    assert_eq!(view, EventData::VariableContent(content), "a covered view that names the variable");
}

#[test]
fn data_is_covered_only_in_a_bank_whose_digest_the_event_has() {
    let bytes = CraftedLog::of(&[Hash::Sha384]).event(7, EventType::SEPARATOR, &[0; 4]).bytes();
    let log = EventLog::parse(&bytes).unwrap();
    let event: Event<'_> = log.events().nth(1).unwrap().unwrap();
    let is_covered = |bank| covered(&FastEngine, &event, bank).map(|data: CoveredData<'_>| data.bytes().len());
    assert_eq!(Hash::ALL.map(is_covered), [None, None, Some(4), None]);
}

#[test]
fn grubs_text_is_covered_without_the_prefix_that_says_what_it_is() {
    let text = "linux /vmlinuz quiet grub_cmd: x";
    for prefix in ["grub_cmd: ", "kernel_cmdline: ", "module_cmdline: "] {
        let data = format!("{prefix}{text}\0");
        let (rule, bytes) = covered_of(EventType::IPL, text.as_bytes(), data.as_bytes()).unwrap();
        assert_eq!(EventData::read(EventType::IPL, rule, &bytes), EventData::GrubText(text.as_bytes()));
    }
    let lied = format!("kernel_cmdline: {text} init=/bin/sh\0");
    assert_eq!(covered_of(EventType::IPL, text.as_bytes(), lied.as_bytes()), None);
    let without_nul = format!("grub_cmd: {text}");
    let (_, bytes) = covered_of(EventType::IPL, text.as_bytes(), without_nul.as_bytes()).unwrap();
    assert_eq!(bytes, text.as_bytes());
}

#[test]
fn a_variable_is_read_only_where_its_lengths_fill_it() {
    let whole = secure_boot(&[1]);
    let variable = Variable::parse(&whole).unwrap();
    assert_eq!((variable.name().to_string(), variable.content()), ("SecureBoot".to_owned(), &[1][..]));
    for cut in 0..whole.len() {
        assert_eq!(Variable::parse(&whole[..cut]), Err(DataError::Length), "cut at {cut}");
    }
    assert_eq!(Variable::parse(&[&whole[..], &[0]].concat()), Err(DataError::Length));
    let mut huge = whole.clone();
    huge[16..24].fill(0xff);
    assert_eq!(Variable::parse(&huge), Err(DataError::Length));
}

#[test]
fn a_variable_of_another_vendor_is_not_secure_boots() {
    let is = |vendor: Guid, name: &str, asked: &str| {
        Variable::parse(&variable(vendor.0, name, &[1])).unwrap().is_named(asked)
    };
    assert!(is(Guid::GLOBAL_VARIABLE, "SecureBoot", "SecureBoot"));
    assert!(is(Guid::SECURITY_DATABASE, "db", "db"));
    assert!(!is(Guid::SECURITY_DATABASE, "SecureBoot", "SecureBoot"));
    assert!(!is(Guid::GLOBAL_VARIABLE, "db", "db"));
    assert!(!is(Guid::GLOBAL_VARIABLE, "SecureBoot\0", "SecureBoot"));
    assert!(!is(Guid::SECURITY_DATABASE, "dbx", "db"));
}

#[test]
fn an_absent_variable_is_neither_on_nor_off() {
    let bytes = secure_boot(&[]);
    assert_eq!(Variable::parse(&bytes).unwrap().content(), &[] as &[u8]);
    assert_eq!(SignatureLists::new(&[]).count(), 0);
}

#[test]
fn a_signature_list_gives_every_entry_and_nothing_between() {
    let entry = |byte: u8| [&[9; 16][..], &[byte; 32]].concat();
    let digests = signature_list(Guid::CERT_SHA256.0, 0, 48, &[entry(1), entry(2)].concat());
    let certificate = signature_list(Guid::CERT_X509.0, 0, 20, &[&[9; 16][..], b"cert"].concat());
    let content = [digests, certificate].concat();
    let lists: Vec<_> = SignatureLists::new(&content).map(Result::unwrap).collect();
    let data = |list: usize| lists[list].signatures().map(|entry| entry.data).collect::<Vec<_>>();
    assert_eq!((lists[0].kind, data(0)), (Guid::CERT_SHA256, vec![&[1; 32][..], &[2; 32]]));
    assert_eq!((lists[1].kind, data(1)), (Guid::CERT_X509, vec![&b"cert"[..]]));
    assert_eq!(Signature::parse(&entry(3)).unwrap().untrusted_owner, Guid([9; 16]));
}

#[test]
fn a_signature_list_with_unseen_bytes_is_refused() {
    let entries = [7; 96];
    let read = |content: &[u8]| SignatureLists::new(content).find_map(Result::err);
    let sha256 = Guid::CERT_SHA256.0;
    assert_eq!(read(&signature_list(sha256, 0, 48, &entries)), None);
    assert_eq!(read(&signature_list(sha256, 4, 48, &entries)), Some(DataError::SignatureHeader));
    assert_eq!(read(&signature_list([1; 16], 4, 48, &entries)), Some(DataError::SignatureHeader), "an unknown type");
    assert_eq!(read(&signature_list(sha256, 0, 48, &entries[1..])), Some(DataError::SignatureSize), "a remainder");
    assert_eq!(read(&signature_list(sha256, 0, 96, &entries)), Some(DataError::SignatureSize), "a longer digest");
    assert_eq!(read(&signature_list([1; 16], 0, 16, &entries)), Some(DataError::SignatureSize), "an owner alone");
    assert_eq!(read(&signature_list([1; 16], 0, 0, &entries)), Some(DataError::SignatureSize), "a size of zero");
    let whole = signature_list(sha256, 0, 48, &entries);
    for cut in 1..whole.len() {
        assert!(read(&whole[..cut]).is_some(), "cut at {cut}");
    }
    let mut short = whole;
    short[16..20].copy_from_slice(&27u32.to_le_bytes());
    assert_eq!(read(&short), Some(DataError::Length), "a list shorter than its own header");
}

#[test]
fn signature_lists_end_after_the_first_fault() {
    let good = signature_list([1; 16], 0, 20, &[7; 20]);
    let content = [&good[..], &signature_list([1; 16], 4, 20, &[7; 20]), &good].concat();
    let read: Vec<_> = SignatureLists::new(&content).map(|list| list.is_ok()).collect();
    assert_eq!(read, [true, false]);
}

#[test]
fn a_tagged_event_is_read_only_where_its_length_fills_it() {
    let whole = [&[1, 2, 3, 4][..], &[2, 0, 0, 0], b"ab"].concat();
    assert_eq!(Tagged::parse(&whole), Ok(Tagged { tag: 0x0403_0201, data: b"ab" }));
    assert_eq!(Tagged::parse(&whole[..9]), Err(DataError::Length));
    assert_eq!(Tagged::parse(&[&whole[..], b"c"].concat()), Err(DataError::Length));
}

#[test]
fn an_image_shows_the_file_names_of_its_device_path_and_stops_at_its_end() {
    let node = |kind: [u8; 2], data: &[u8]| [&kind[..], &(data.len() as u16 + 4).to_le_bytes(), data].concat();
    let name = |text: &str| text.encode_utf16().chain([0]).flat_map(u16::to_le_bytes).collect::<Vec<u8>>();
    let (file, end) = (node([4, 4], &name("\\EFI\\a.efi")), node([0x7f, 0xff], &[]));
    let names = |path: &[u8]| {
        let data = [&[0; 32], path].concat();
        match EventData::read(EventType::EFI_BOOT_SERVICES_APPLICATION, Rule::Whole, &data) {
            EventData::UntrustedImage(image) => image.file_names().map(|name| name.to_string()).collect::<Vec<_>>(),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(names(&[node([2, 1], &[0; 8]), file.clone(), end.clone(), file.clone()].concat()), ["\\EFI\\a.efi"]);
    assert_eq!(names(&[file[..2].to_vec(), vec![3, 0]].concat()), [] as [&str; 0], "a node shorter than its header");
    assert_eq!(names(&file[..file.len() - 1]), [] as [&str; 0], "a node that ends beyond the path");
}

#[test]
fn text_of_any_bytes_can_be_shown() {
    assert_eq!(Utf16::new(&[0x00, 0xd8, b'a', 0]).unwrap().to_string(), "\u{fffd}a");
    assert!(Utf16::new(&[0]).is_none());
    assert!(Utf16::until_nul(&[b'a', 0]).is_none());
    let text = Guid::SECURITY_DATABASE.to_string();
    assert_eq!(text, "d719b2cb-3d3a-4596-a3bc-dad00e67656f");
}

#[test]
fn every_secure_boot_variable_of_every_log_is_covered_and_fills_its_data() {
    for vector in vectors::under("eventlogs/").iter().filter(|vector| vector.file.ends_with(".bin")) {
        let Ok(log) = EventLog::parse(&vector.bytes) else { continue };
        let bank = if log.has_bank(Hash::Sha256) { Hash::Sha256 } else { Hash::Sha1 };
        for event in log.events().map_while(Result::ok) {
            if event.event_type == EventType::EFI_VARIABLE_DRIVER_CONFIG {
                let at = format!("{} event {}", vector.file, event.number);
                let data = covered(&FastEngine, &event, bank).expect(&at);
                let view = EventData::read(event.event_type, data.rule(), data.bytes());
                assert!(matches!(view, EventData::Variable(_)), "{at}");
            }
        }
    }
}
