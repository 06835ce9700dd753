//! What an entry and a header must say for the chain to hold.

use super::*;

#[test]
fn a_chain_with_an_entry_missing_is_cut() {
    let start = begin(&machine(), &maker());
    let (one, two) = (first(), good());
    let three = hand_over(&two, &owner(), &ed25519(4), &at(NOW - 300));
    let (a, b, c) = (last_entry(&one, &start), last_entry(&two, &one), last_entry(&three, &two));
    let cut_at = |entries: &[&[u8]]| match World::with_vouchers(&[spliced(&start, entries)]).fault() {
        CustodyError::Voucher(VoucherError::Cut { number, .. }) => number,
        other => panic!("{other:?}"),
    };
    assert_eq!(cut_at(&[b]), 0, "the beginning");
    assert_eq!(cut_at(&[a, c]), 1, "the middle");
    assert_eq!(cut_at(&[b, a]), 0, "another order");
    assert_eq!(cut_at(&[a, a]), 1, "twice");
    let head = follow(&two).head();
    let end_missing = World { vouchers: vec![one], ..world() };
    // The mandate is by somebody whom the short chain does not know.
    assert_eq!(end_missing.fault(), CustodyError::Stranger { key_id: owner().id() });
    let to_self = hand_over(&two, &owner(), &owner(), &at(NOW - 300));
    let end_missing = World { mandates: vec![signed(&mandate_of(&to_self), &owner())], ..world() };
    assert_eq!(end_missing.fault(), CustodyError::MandateOtherHead { found: follow(&to_self).head() });
    assert_ne!(head, follow(&to_self).head());
}

#[test]
fn each_thing_that_an_entry_says_is_checked() {
    let start = begin(&machine(), &maker());
    let honest = Forged::after(&first());
    let fault = |entry: &[u8]| {
        let voucher = spliced(&start, &[last_entry(&first(), &start), entry]);
        match World::with_vouchers(&[voucher]).fault() {
            CustodyError::Voucher(fault) => fault,
            other => panic!("{other:?}"),
        }
    };
    let to = key_of(&owner());
    let by = integrator();
    let fine = spliced(&start, &[last_entry(&first(), &start), &honest.by(&by, &to)]);
    assert_eq!(follow(&fine).fault(), None);
    let forged = Forged { before: [1; 32], ..Forged::after(&first()) };
    assert_eq!(fault(&forged.by(&by, &to)), VoucherError::WrongLink { number: 1 });
    let forged = Forged { machine: [1; 32], ..Forged::after(&first()) };
    assert_eq!(fault(&forged.by(&by, &to)), VoucherError::OtherMachine { number: 1 });
    let forged = Forged { algorithm: -43, ..Forged::after(&first()) };
    assert_eq!(fault(&forged.by(&by, &to)), VoucherError::Hash { number: 1, algorithm: -43 });
    let forged = Forged { terms: at(NOW - 501), ..Forged::after(&first()) };
    assert_eq!(fault(&forged.by(&by, &to)), VoucherError::Backwards { number: 1 });
    let forged = Forged { extra_key: -75083, ..Forged::after(&first()) };
    assert!(matches!(fault(&forged.by(&by, &to)), VoucherError::Entry { number: 1, error: StatementError::Shape(_) }));
    let none = Terms { certificates: Some(Certificates::new()), ..at(NOW - 300) };
    let forged = Forged { terms: none, ..Forged::after(&first()) };
    assert!(matches!(fault(&forged.by(&by, &to)), VoucherError::Entry { number: 1, error: StatementError::Shape(_) }));
    assert!(matches!(fault(&honest.by(&ed25519(8), &to)), VoucherError::Cut { number: 1, .. }));
    let rsa = (1i64, 1u64, Bytes::new(b"RSA"));
    let error = KeyError::Malformed;
    assert_eq!(fault(&honest.by(&by, &rsa)), VoucherError::Key { number: 1, error });
    let chain = (10i64, 2u64, [Bytes::new(b"certificate")]);
    let error = KeyError::Encoding { encoding: 2 };
    assert_eq!(fault(&honest.by(&by, &chain)), VoucherError::Key { number: 1, error });
    let mut signature = honest.by(&by, &to);
    *signature.last_mut().unwrap() ^= 1;
    let error = StatementError::Signature;
    assert_eq!(fault(&signature), VoucherError::Entry { number: 1, error });
    let other_type = by.sign("application/vnd.garant.mandate+cbor", b"");
    let content_type = |error: &StatementError| matches!(error, StatementError::ContentType { .. });
    assert!(matches!(fault(&other_type), VoucherError::Entry { number: 1, error } if content_type(&error)));
}

#[test]
fn a_machine_is_handed_on_by_its_owner_alone_and_in_order_of_time() {
    let over = |from: &Key, terms: &Terms<'_>| {
        let sign = |message: &[u8]| Ok::<_, Fault>((from.signs)(message));
        voucher::hand_over::<Fault>(&RustEngine, &good(), &ed25519(7).public, terms, sign)
    };
    assert!(over(&owner(), &at(NOW - 300)).is_ok());
    assert!(over(&integrator(), &at(NOW - 300)).is_err());
    assert!(over(&owner(), &at(NOW - 401)).is_err());
    let bad = Machine { chassis: " SN", ..machine() };
    assert!(voucher::begin(&bad, &maker().public).is_err());
    let mut full = first();
    for _ in 1..budget::VOUCHER_ENTRIES {
        full = hand_over(&full, &integrator(), &integrator(), &at(NOW - 300));
    }
    let mut is_asked = false;
    let sign = |message: &[u8]| {
        is_asked = true;
        Ok((integrator().signs)(message))
    };
    assert!(voucher::hand_over::<Fault>(&RustEngine, &full, &owner().public, &at(NOW), sign).is_err());
    assert!(!is_asked, "a key does not sign what nobody would read");
    let entry = Forged::after(&full).by(&integrator(), &key_of(&owner()));
    let at_count = begin(&machine(), &maker()).len();
    assert_eq!(full[at_count - 1..=at_count], [0x98, 32]);
    let mut fuller = [&full[..], &entry].concat();
    fuller[at_count] += 1;
    assert_eq!(ClaimedVoucher::decode(&fuller).unwrap_err(), VoucherError::TooMany { found: 33 });
}

#[test]
fn every_fault_of_a_header_is_refused() {
    let header = |version: u64, guid: &[u8], info: &str, chain: Option<(i64, &Bytes)>| {
        let key = key_of(&maker());
        let header: (_, _, [u8; 0], _, _, _) = (version, Bytes::new(guid), [], info, key, chain);
        let bytes = crate::cbor::encode(&header).unwrap();
        let start = [&[0x85, 0x18, 0x65][..], &crate::cbor::encode(Bytes::new(&bytes)).unwrap()].concat();
        let voucher = [&start[..], &[0x82, 0x05, 0x58, 0x20], &[0; 32], &[0xf6, 0x80]].concat();
        ClaimedVoucher::decode(&voucher).map(|_| ()).map_err(|fault| fault.to_string())
    };
    let info = machine_info(&machine());
    let fault = Err(VoucherError::Machine.to_string());
    assert_eq!(header(101, &NODE[..16], &info, None), Ok(()));
    assert_eq!(header(100, &NODE[..16], &info, None), fault);
    assert_eq!(header(101, &[1; 16], &info, None), fault);
    assert_eq!(header(101, &NODE[..15], &info, None), fault);
    assert_eq!(header(101, &NODE[..16], &info, Some((-16, Bytes::new(&[0; 32])))), fault);
    let (upper, no_ascii) = (info.replace("ab", "AB"), info.replace("SN", "S\u{d1}"));
    for bad in [upper, no_ascii, info.replace("garant/1 ", ""), info.replace("/1", "/2"), info.clone() + " "] {
        assert_eq!(header(101, &NODE[..16], &bad, None), fault, "{bad}");
    }
    assert_eq!(header(101, &NODE[..16], &info.replace("SN 4711", ""), None), fault);
    assert_eq!(header(101, &NODE[..16], &info.replace(" SN 4711", ""), None), Ok(()));
}

#[test]
fn a_voucher_longer_than_any_statement_is_not_read() {
    let long = vec![0; budget::CARRIED_STATEMENT_BYTES + 1];
    let too_long = crate::cbor::CborError::TooLong { found_bytes: long.len(), limit_bytes: long.len() - 1 };
    assert_eq!(ClaimedVoucher::decode(&long).unwrap_err(), VoucherError::Shape(too_long));
}

#[test]
fn a_length_in_a_longer_form_than_it_needs_is_refused() {
    let start = begin(&machine(), &maker());
    assert_eq!(start[3], 0x58, "the header's length takes one byte");
    let longer = [&start[..3], &[0x59, 0], &start[4..]].concat();
    let one = first();
    assert_eq!(one[start.len() - 1], 0x81);
    let counted = [&one[..start.len() - 1], &[0x98, 1], &one[start.len()..]].concat();
    assert!(ClaimedVoucher::decode(&start).is_ok() && ClaimedVoucher::decode(&one).is_ok());
    for bad in [longer, counted] {
        assert_eq!(ClaimedVoucher::decode(&bad).unwrap_err(), VoucherError::Shape(MALFORMED));
    }
}

const MALFORMED: crate::cbor::CborError = crate::cbor::CborError::Malformed { offset: 0 };

#[test]
fn each_part_of_a_header_is_there_once_and_of_its_type() {
    let voucher = begin(&machine(), &maker());
    let header = &voucher[3..voucher.len() - HMAC_AND_REST];
    let header = crate::cbor::decode::<&Bytes>(header, 1024).unwrap();
    // FDO: HashPrevEntry of the first entry is over OVHeader and HMac.
    let hmac = &voucher[voucher.len() - HMAC_AND_REST..voucher.len() - 2];
    assert_eq!(follow(&voucher).head(), crate::engine::sha256(&RustEngine, &[&header[..], hmac]));
    let read = |header: &[u8]| {
        let header = crate::cbor::encode(Bytes::new(header)).unwrap();
        let voucher = [&voucher[..3], &header, &voucher[voucher.len() - HMAC_AND_REST..]].concat();
        let maker = ClaimedVoucher::decode(&voucher)?.maker(&RustEngine);
        maker.map(|_| ()).map_err(VoucherError::MakerKey)
    };
    assert_eq!(read(header), Ok(()));
    for (way, header) in crate::statement::tests::distorted(header) {
        assert!(read(&header).is_err(), "{way}");
    }
}

/// HMAC, the null of device certificates, and the empty list of entries.
const HMAC_AND_REST: usize = 36 + 1 + 1;

#[test]
fn each_part_of_an_entry_is_there_once_and_of_its_type() {
    let honest = Forged { terms: Terms { expires: Some(NOW + 9), ..at(NOW - 300) }, ..Forged::after(&first()) };
    let entry = honest.by(&integrator(), &key_of(&owner()));
    let payload = ClaimedStatement::decode(&entry).unwrap();
    let payload = payload.verify(&RustEngine, &integrator().public, ENTRY_TYPE).unwrap();
    let start = begin(&machine(), &maker());
    let fault = |payload: &[u8]| {
        let entry = integrator().sign(ENTRY_TYPE, payload);
        let voucher = spliced(&start, &[last_entry(&first(), &start), &entry]);
        follow(&voucher).fault().cloned()
    };
    assert_eq!(fault(payload), None);
    for (way, payload) in crate::statement::tests::distorted(payload) {
        assert!(fault(&payload).is_some(), "{way}");
    }
    let terms = crate::cbor::encode(&honest.terms).unwrap();
    let with_terms = |terms: &[u8]| {
        let extra = crate::cbor::encode(&voucher::Extra { terms: Bytes::new(terms) }).unwrap();
        let digest = |bytes| (-16i64, Bytes32::new(bytes));
        let digests = (digest(honest.before), digest(honest.machine));
        crate::cbor::encode(&(digests.0, digests.1, Bytes::new(&extra), key_of(&owner()))).unwrap()
    };
    assert_eq!(fault(&with_terms(&terms)), None);
    for (way, terms) in crate::statement::tests::distorted(&terms) {
        let may_be_missing = way == "/4 left out";
        assert_eq!(fault(&with_terms(&terms)).is_none(), may_be_missing, "{way}");
    }
}
