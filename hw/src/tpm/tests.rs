#![allow(clippy::unwrap_used, clippy::indexing_slicing)]
use super::*;
use crate::hash::Hash;
use std::{vec, vec::Vec};

/// A TPM that answers from a list and remembers how often it was asked.
struct Fake {
    answers: Vec<Vec<u8>>,
    asked: usize,
    pauses: Vec<u32>,
}

impl Fake {
    fn tpm(answers: Vec<Vec<u8>>) -> Tpm<Fake> {
        Tpm::new(Fake { answers, asked: 0, pauses: vec![] })
    }
}

impl Transport for Fake {
    fn exchange(&mut self, _: &[u8], response: &mut [u8]) -> Result<usize, TransportError> {
        let answer = &self.answers[self.asked.min(self.answers.len().saturating_sub(1))];
        self.asked = self.asked.saturating_add(1);
        response[..answer.len()].copy_from_slice(answer);
        Ok(answer.len())
    }

    fn pause(&mut self, attempt: u32) {
        self.pauses.push(attempt);
    }
}

fn answer(tag: u16, code: u32, body: &[u8]) -> Vec<u8> {
    let size = u32::try_from(body.len()).unwrap().saturating_add(10);
    [&tag.to_be_bytes()[..], &size.to_be_bytes(), &code.to_be_bytes(), body].concat()
}

#[test]
fn retry_yielded_and_testing_are_sent_again() {
    for code in [0x922, 0x908, 0x90a] {
        let mut tpm = Fake::tpm(vec![answer(0x8001, code, &[]), answer(0x8001, 0, &[])]);
        assert_eq!(tpm.self_test(), Ok(()));
        let fake = tpm.into_transport();
        assert_eq!((fake.asked, fake.pauses), (2, vec![1]));
    }
}

#[test]
fn a_tpm_that_always_asks_again_is_busy_after_a_bounded_number_of_tries() {
    let mut tpm = Fake::tpm(vec![answer(0x8001, 0x922, &[])]);
    assert!(matches!(tpm.self_test(), Err(TpmError::Busy { .. })));
    assert_eq!(tpm.into_transport().asked, 13);
}

#[test]
fn a_refusal_names_command_and_return_code() {
    let mut tpm = Fake::tpm(vec![answer(0x8001, 0x101, &[])]);
    let text = std::format!("{}", tpm.self_test().unwrap_err());
    assert!(text.contains("SelfTest") && text.contains("TPM_RC_FAILURE") && text.contains("0x101"), "{text}");
}

#[test]
fn a_response_whose_size_field_is_not_its_length_is_malformed_and_no_refusal() {
    for size in [0, 9, 11, u8::MAX] {
        let mut refusal = answer(0x8001, 0x101, &[]);
        refusal[5] = size;
        assert!(matches!(Fake::tpm(vec![refusal]).self_test(), Err(TpmError::Malformed { .. })));
    }
}

#[test]
fn a_response_with_sessions_to_a_command_without_is_malformed() {
    let mut tpm = Fake::tpm(vec![answer(0x8002, 0, &[0, 0, 0, 0])]);
    assert!(matches!(tpm.self_test(), Err(TpmError::Malformed { .. })));
}

#[test]
fn a_response_without_sessions_to_a_command_with_one_is_malformed() {
    let mut tpm = Fake::tpm(vec![answer(0x8001, 0, &[])]);
    let extended = tpm.pcr_extend(16, &[(Hash::Sha256, &[0; 32])]);
    assert!(matches!(extended, Err(TpmError::Malformed { .. })));
}

#[test]
fn a_refusal_with_a_body_is_malformed() {
    let mut tpm = Fake::tpm(vec![answer(0x8001, 0x101, &[0])]);
    assert!(matches!(tpm.self_test(), Err(TpmError::Malformed { .. })));
}

#[test]
fn a_good_response_with_trailing_bytes_is_malformed() {
    let mut tpm = Fake::tpm(vec![answer(0x8001, 0, &[0])]);
    assert!(matches!(tpm.self_test(), Err(TpmError::Malformed { .. })));
}

#[test]
fn pcr_values_that_were_not_asked_for_are_malformed() {
    // Asked for PCR 0, answered with PCR 1.
    let value = [&[0, 32][..], &[0x11; 32]].concat();
    let body = [&[0, 0, 0, 9, 0, 0, 0, 1, 0, 0x0b, 3, 2, 0, 0, 0, 0, 0, 1][..], &value].concat();
    let mut tpm = Fake::tpm(vec![answer(0x8001, 0, &body)]);
    let read = tpm.pcr_read(Hash::Sha256, PcrMask::from_bits(1));
    assert!(matches!(read, Err(TpmError::Malformed { .. })));
}

#[test]
fn fewer_pcr_values_than_the_answer_selects_are_malformed() {
    let value = [&[0, 32][..], &[0x11; 32]].concat();
    let body = [&[0, 0, 0, 9, 0, 0, 0, 1, 0, 0x0b, 3, 3, 0, 0, 0, 0, 0, 1][..], &value].concat();
    let mut tpm = Fake::tpm(vec![answer(0x8001, 0, &body)]);
    let read = tpm.pcr_read(Hash::Sha256, PcrMask::from_bits(3));
    assert!(matches!(read, Err(TpmError::Malformed { .. })));
}

#[test]
fn a_pcr_value_of_another_length_than_the_banks_is_malformed() {
    let value = [&[0, 20][..], &[0x11; 20]].concat();
    let body = [&[0, 0, 0, 9, 0, 0, 0, 1, 0, 0x0b, 3, 1, 0, 0, 0, 0, 0, 1][..], &value].concat();
    let mut tpm = Fake::tpm(vec![answer(0x8001, 0, &body)]);
    let read = tpm.pcr_read(Hash::Sha256, PcrMask::from_bits(1));
    assert!(matches!(read, Err(TpmError::Malformed { .. })));
}

#[test]
fn fewer_nv_bytes_than_asked_for_are_malformed() {
    // An index of ten bytes that its own (empty) password reads; then four of them.
    let public = [0, 14, 1, 0xc0, 0, 2, 0, 0x0b, 0, 4, 0, 0, 0, 0, 0, 10];
    let name = [&[0, 34, 0, 0x0b][..], &[0x22; 32]].concat();
    let data = [0, 0, 0, 6, 0, 4, 1, 2, 3, 4, 0, 0, 1, 0, 0];
    let answers = vec![answer(0x8001, 0, &[&public[..], &name].concat()), answer(0x8002, 0, &data)];
    let mut tpm = Fake::tpm(answers);
    let index = tpm.nv_read_public(0x01c0_0002).unwrap().unwrap();
    assert!(matches!(tpm.nv_read(&index, 512, &mut [0; 16]), Err(TpmError::Malformed { .. })));
}

#[test]
fn a_digest_of_another_length_than_the_banks_is_not_sent() {
    let mut tpm = Fake::tpm(vec![answer(0x8002, 0, &[])]);
    let extended = tpm.pcr_extend(16, &[(Hash::Sha384, &[0; 32])]);
    assert!(matches!(extended, Err(TpmError::TooLong { .. })));
    assert_eq!(tpm.into_transport().asked, 0);
}

#[test]
fn only_a_refusal_of_the_selection_is_asked_again_with_the_allocated_banks() {
    let key = ObjectHandle(TpmHandle::new(0x8000_0000));
    for (code, asked) in [(0x3c3, 2), (0x3c4, 2), (0x3d5, 2), (0x1c4, 1), (0x101, 1)] {
        let mut tpm = Fake::tpm(vec![answer(0x8001, code, &[])]);
        assert!(tpm.quote_every_bank(&key, &[0; 32], &[Hash::Sha256]).is_err());
        assert_eq!(tpm.into_transport().asked, asked, "{code:#x}");
    }
}
