//! `garant statement show`: what a statement says, for people, and whether a key signed it.

use super::{shares, site};
use crate::{
    event_words::hex,
    explained::Explained,
    failure::Failure,
    input,
    output::{Answer, Output},
    public_key, time,
};
use garant_attest::{
    budget,
    certificate::Certificate,
    cose::ClaimedStatement,
    engine::PublicKey,
    owner::{
        holdings::Holdings,
        mandate::Mandate,
        voucher::{ClaimedVoucher, Link},
    },
    place::site::Site,
    statement::{Claims, decode_untrusted},
};
use garant_channel::engine::FastEngine;
use serde::{Serialize, Serializer, ser::SerializeMap};
use std::{fmt, path::PathBuf};

/// Print what a statement says: mandate, site, shares, voucher, or any other that garant knows.
///
/// What is printed is what its signer claims. With --by it is also checked that this key signed it; a voucher's entries
/// are checked by the keys that they name.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The statement; `-` for standard input.
    file: PathBuf,
    /// A public key; the answer is no (exit code 1) where another key signed. For a voucher, its maker's key.
    #[arg(long, value_name = "KEY")]
    by: Option<String>,
}

/// Prints it.
pub(super) fn run(args: &Args, output: &Output) -> Result<Answer, Failure> {
    let bytes = input::read(&args.file, budget::STATEMENT_BYTES)?;
    let claimed = ClaimedStatement::decode(&bytes);
    let said = match &claimed {
        Ok(claimed) => explain(claimed.content_type(), claimed.untrusted_payload())
            .map(|said| said.line("signed by key id", hex(&claimed.key_id()))),
        Err(_) => voucher(&bytes),
    };
    let said = said.ok_or_else(|| {
        Failure::new("is no statement that garant knows", args.file.display(), "`garant explain` reads other files")
    })?;
    let by = args.by.as_deref().map(public_key::read).transpose()?;
    let verdict = by.map(|by| signed_by(&bytes, claimed.ok().as_ref(), &by.key));
    let answer = match &verdict {
        Some(Err(_)) => Answer::No,
        None | Some(Ok(_)) => Answer::Yes,
    };
    output.show(&Shown { said, verdict })?;
    Ok(answer)
}

/// Whether that key signed it; in words either way.
fn signed_by(bytes: &[u8], claimed: Option<&ClaimedStatement<'_>>, key: &PublicKey) -> Result<String, String> {
    let Some(claimed) = claimed else {
        let voucher = ClaimedVoucher::decode(bytes).map_err(|error| error.to_string())?;
        let followed = voucher.follow(&FastEngine).map_err(|error| error.to_string())?;
        return match followed.fault() {
            _ if followed.maker().key != *key => Err("another key begins this voucher".to_owned()),
            Some(fault) => Err(fault.to_string()),
            None if followed.links().is_empty() => Err("no entry: nobody signed the header".to_owned()),
            None => Ok("the voucher begins with this key and holds to its end".to_owned()),
        };
    };
    let content_type = [Mandate::CONTENT_TYPE, Site::CONTENT_TYPE, Holdings::CONTENT_TYPE].into_iter();
    let content_type = content_type.chain(OTHERS).find(|known| *known == claimed.content_type());
    let content_type = content_type.ok_or_else(|| "a kind that is not checked here".to_owned())?;
    let checked = claimed.verify(&FastEngine, key, content_type);
    checked.map(|_| "this key signed it".to_owned()).map_err(|error| error.to_string())
}

/// What was claimed, and what was checked of it.
struct Shown {
    said: Explained,
    verdict: Option<Result<String, String>>,
}

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.said.fmt(f)?;
        match &self.verdict {
            None => Ok(()),
            Some(Ok(words)) => writeln!(f, "checked: yes, {words}"),
            Some(Err(words)) => writeln!(f, "checked: no, {words}"),
        }
    }
}

impl Serialize for Shown {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("kind", self.said.kind)?;
        map.serialize_entry("claims", &self.said.lines)?;
        if let Some(verdict) = &self.verdict {
            map.serialize_entry("signed", &verdict.is_ok())?;
            map.serialize_entry("reason", verdict.as_ref().unwrap_or_else(|words| words))?;
        }
        map.end()
    }
}

/// What the payload of a statement claims; `None` where it is not of its own kind. Other kinds are only named.
pub(crate) fn explain(content_type: &str, payload: &[u8]) -> Option<Explained> {
    Some(match content_type {
        Mandate::CONTENT_TYPE => mandate(&decode_untrusted(payload).ok()?),
        Site::CONTENT_TYPE => {
            let mut said = Explained::new("site statement");
            said.lines
                .extend(site::lines(&decode_untrusted(payload).ok()?).into_iter().map(|(a, b)| (a.to_owned(), b)));
            said
        }
        Holdings::CONTENT_TYPE => {
            let mut said = Explained::new("statement on shares");
            said.lines.extend(shares::lines(&decode_untrusted(payload).ok()?));
            said
        }
        other => Explained::new("signed statement").line("type", other),
    })
}

fn mandate(mandate: &Mandate<'_>) -> Explained {
    Explained::new("mandate of an owner")
        .line("node id", hex(&*mandate.node_id))
        .line("AK Name", hex(mandate.ak_name))
        .line("head of the voucher", hex(&*mandate.head))
        .line("issued", time::print(mandate.issued))
        .line("expires", time::print(mandate.expires))
}

/// What a voucher claims; its entries are checked by their own keys, since that needs nobody's trust.
pub(crate) fn voucher(bytes: &[u8]) -> Option<Explained> {
    let claimed = ClaimedVoucher::decode(bytes).ok()?;
    let followed = claimed.follow(&FastEngine).ok()?;
    let machine = followed.machine();
    let mut said = Explained::new("ownership voucher")
        .line("node id", hex(&machine.node_id))
        .optional("chassis", Some(machine.chassis).filter(|chassis| !chassis.is_empty()))
        .line("begins with key id", hex(&followed.maker().id));
    for link in followed.links() {
        said = handed(said, link);
    }
    let holds = followed.fault().map_or_else(|| "yes, by their own keys".to_owned(), |fault| format!("no: {fault}"));
    Some(said.line("head", hex(&followed.head())).line("entries hold", holds))
}

fn handed(said: Explained, link: &Link<'_>) -> Explained {
    let mut said = said
        .line("handed to key id", hex(&link.owner.id))
        .line("  at", time::print(link.terms.issued))
        .optional("  until", link.terms.expires.map(time::print));
    let certificates = link.terms.certificates.iter().flatten();
    for certificate in certificates.map_while(|der| Certificate::from_der(der).ok()) {
        said = said.line("  certificate", certificate.subject());
    }
    said
}

/// Kinds that are checked here and printed elsewhere.
const OTHERS: [&str; 2] = [garant_attest::enrolment::CONTENT_TYPE, garant_attest::ear::CONTENT_TYPE];
const EXAMPLES: &str = "\
Examples:
  garant statement show node.mandate
  garant statement show site.statement --by auditor.pub
  garant statement show node.voucher --by maker.pub --json";
