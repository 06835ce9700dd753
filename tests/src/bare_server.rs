//! A server of garantd in this process, without a keeper's limits.

use crate::{asker::digest, swtpm::Swtpm};
use garant_attest::{ledger::EntryZero, wire::key_statement};
use garant_channel::key::SigningKey;
use garant_hw::tpm::Tpm;
use garantd::{
    budget::VMM_MESSAGE_BYTES,
    entry_zero::{self, LedgerPcr},
    inherited::{Inherited, Request, send_descriptors, send_first, vouched},
    server::Server,
    tpm_device::{TpmAddress, TpmDevice},
    vm::link::Answer,
};
use std::{
    io::{Read, Write},
    os::{
        fd::AsFd,
        unix::net::{UnixDatagram, UnixStream},
    },
};

/// A server in this process whose keeper vouches for as many session keys as it asks for.
pub fn server_with_endless_vouches(tpm: &Swtpm, configuration: &str) -> Server {
    let open = || TpmDevice::new(tpm.address().parse::<TpmAddress>().unwrap().open().unwrap()).unwrap();
    let boot_key = SigningKey::generate().unwrap();
    let entry = EntryZero::new([7; 32], boot_key.public(), digest(configuration.as_bytes()), None);
    let entry_zero = entry_zero::extend(&mut Tpm::new(open()), LedgerPcr::USUAL, &entry).unwrap();
    let (mut keeper, link) = UnixStream::pair().unwrap();
    send_first(&mut keeper, &boot_key.public(), 15, &entry_zero, configuration.as_bytes()).unwrap();
    let journal = tempfile::tempfile().unwrap();
    let (vmms, its_vmms) = UnixDatagram::pair().unwrap();
    send_descriptors(&keeper, its_vmms.as_fd(), journal.as_fd()).unwrap();
    // What it says of networks and VMMs is done, and nothing is.
    std::thread::spawn(move || {
        while vmms.recv(&mut [0; VMM_MESSAGE_BYTES]).is_ok_and(|length| length > 0) {
            if vmms.send(&Answer::Done.encode()).is_err() {
                return;
            }
        }
    });
    std::thread::spawn(move || {
        let mut request = [0; Request::BYTES];
        while keeper.read_exact(&mut request).is_ok() {
            if let Some(Request::Vouch(key)) = Request::decode(request) {
                keeper.write_all(&vouched(Some(boot_key.sign(&key_statement(&key))))).unwrap();
            }
        }
    });
    let tpm = tpm.address().parse::<TpmAddress>().unwrap().open().unwrap();
    Server::open(Inherited::receive(link, tpm).unwrap()).unwrap()
}
