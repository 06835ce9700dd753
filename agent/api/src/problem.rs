//! Why a request was not done: RFC 9457, with a code for programs and a next step for people.

use crate::{budget, clip::clip, error::Invalid};
use alloc::{
    format,
    string::{String, ToString},
};
use core::fmt;
use serde::{Deserialize, Serialize};

/// Media type of a problem (RFC 9457, 3).
pub const MEDIA_TYPE: &str = "application/problem+json";

/// Why a request was not done. It changed nothing, unless the code is `vmm_failed`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// URI of the code, member `type` of RFC 9457.
    #[serde(rename = "type")]
    pub uri: String,
    /// The code in words.
    pub title: String,
    /// The answer's HTTP status.
    pub status: u16,
    /// What programs look at.
    pub code: Code,
    /// Who is at fault.
    pub fault: Fault,
    /// What is wrong, and where.
    pub detail: String,
    /// What to do about it.
    pub next: String,
}

impl Problem {
    /// A problem of this kind. Text from outside in `detail` is bounded here.
    pub fn new(code: Code, detail: impl fmt::Display, next: impl fmt::Display) -> Problem {
        let (name, status, title, fault) = code.row();
        Problem {
            uri: format!("urn:garant:problem:{name}"),
            title: title.to_string(),
            status,
            code,
            fault,
            detail: clip(&detail.to_string(), budget::DETAIL_BYTES),
            next: clip(&next.to_string(), budget::DETAIL_BYTES),
        }
    }
}

impl From<&Invalid> for Problem {
    fn from(invalid: &Invalid) -> Problem {
        Problem::new(Code::InvalidSpec, invalid, "`garant vm ensure --example` explains every line of a spec")
    }
}

/// Who has to do something about a problem.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Fault {
    /// Whoever asked.
    Caller,
    /// The node and its operator.
    Node,
    /// What runs in the VM.
    Guest,
    /// What runs the VM.
    Vmm,
}

/// What kind of problem. Names never change; new ones may come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Code {
    /// A request or a value in it that cannot be.
    InvalidSpec,
    /// No such path.
    UnknownPath,
    /// The path is not asked by this method.
    WrongMethod,
    /// The path has no answer of a type that the caller takes.
    NotAcceptable,
    /// No VM of this id.
    UnknownVm,
    /// No event has this number yet.
    UnknownEvent,
    /// The id is another's.
    IdTaken,
    /// This generation of the VM has another spec.
    OtherSpec,
    /// The VM has a newer generation.
    GenerationPast,
    /// What was asked cannot be done in the VM's state.
    WrongState,
    /// The node has no such image.
    UnknownImage,
    /// The image's bytes are not those of its digest.
    ImageDigest,
    /// The node has not that much memory left.
    NoMemory,
    /// The node has as many VMs as it may.
    TooMany,
    /// The owner has as many VMs as it may.
    QuotaCount,
    /// The owner's VMs together have as much memory as they may.
    QuotaMemory,
    /// The owner's VMs together have as many vCPUs as they may.
    QuotaVcpus,
    /// The client has written as much into the ledger of this boot as it may.
    QuotaEntries,
    /// The VMM ended or refused.
    VmmFailed,
    /// Too much waits; later it may work.
    Busy,
    /// This caller may not.
    NotAllowed,
    /// The node has no such network, or not with such addresses.
    UnknownNetwork,
    /// Another VM has this address, or nobody may.
    AddressTaken,
    /// The network has no address left.
    NoAddress,
    /// The TPM cannot be written to, and nothing runs that it does not show.
    NoTpm,
    /// The spec demands limits, and the node cannot hold anything to them.
    LimitsNotEnforced,
    /// The spec demands an accelerator that does not work on this node.
    AcceleratorNotWorking,
}

impl Code {
    /// All of them.
    pub const ALL: [Code; 27] = [
        Code::InvalidSpec,
        Code::UnknownPath,
        Code::WrongMethod,
        Code::NotAcceptable,
        Code::UnknownVm,
        Code::UnknownEvent,
        Code::IdTaken,
        Code::OtherSpec,
        Code::GenerationPast,
        Code::WrongState,
        Code::UnknownImage,
        Code::ImageDigest,
        Code::NoMemory,
        Code::TooMany,
        Code::QuotaCount,
        Code::QuotaMemory,
        Code::QuotaVcpus,
        Code::QuotaEntries,
        Code::VmmFailed,
        Code::Busy,
        Code::NotAllowed,
        Code::UnknownNetwork,
        Code::AddressTaken,
        Code::NoAddress,
        Code::NoTpm,
        Code::LimitsNotEnforced,
        Code::AcceleratorNotWorking,
    ];

    /// The name that JSON has for it.
    pub const fn name(self) -> &'static str {
        self.row().0
    }

    /// HTTP status of an answer with this code.
    pub const fn status(self) -> u16 {
        self.row().1
    }

    /// The code in words.
    pub const fn title(self) -> &'static str {
        self.row().2
    }

    /// Who is usually at fault.
    pub const fn fault(self) -> Fault {
        self.row().3
    }

    /// Name, status, title, fault. Statuses are RFC 9110's, but for 429 (RFC 6585, 4).
    const fn row(self) -> (&'static str, u16, &'static str, Fault) {
        use Fault::{Caller, Node, Vmm};
        match self {
            Code::InvalidSpec => ("invalid_spec", 400, "the request cannot be read", Caller),
            Code::UnknownPath => ("unknown_path", 404, "there is no such path", Caller),
            Code::WrongMethod => ("wrong_method", 405, "the path is not asked by this method", Caller),
            Code::NotAcceptable => ("not_acceptable", 406, "there is no answer of a type that is accepted", Caller),
            Code::UnknownVm => ("unknown_vm", 404, "there is no such VM", Caller),
            Code::UnknownEvent => ("unknown_event", 404, "no event has this number yet", Caller),
            Code::IdTaken => ("id_taken", 409, "the id is taken", Caller),
            Code::OtherSpec => ("other_spec", 409, "this generation of the VM has another spec", Caller),
            Code::GenerationPast => ("generation_past", 409, "the VM has a newer generation", Caller),
            Code::WrongState => ("wrong_state", 409, "the VM is in a state that does not allow this", Caller),
            Code::UnknownImage => ("unknown_image", 422, "the node has no such image", Caller),
            Code::ImageDigest => ("image_digest", 409, "the image on the node is not what its name says", Node),
            Code::NoMemory => ("no_memory", 503, "the node has not enough memory left", Node),
            Code::TooMany => ("too_many", 429, "the node has as many VMs as it may", Node),
            Code::QuotaCount => ("quota_count", 429, "the owner has as many VMs as it may", Caller),
            Code::QuotaMemory => ("quota_memory", 429, "the owner's VMs have as much memory as they may", Caller),
            Code::QuotaVcpus => ("quota_vcpus", 429, "the owner's VMs have as many vCPUs as they may", Caller),
            Code::QuotaEntries => ("quota_entries", 429, "the client's share of the ledger is used up", Caller),
            Code::VmmFailed => ("vmm_failed", 502, "the VMM failed", Vmm),
            Code::Busy => ("busy", 503, "too much is waiting", Node),
            Code::NotAllowed => ("not_allowed", 403, "this caller may not do that", Caller),
            Code::UnknownNetwork => ("unknown_network", 422, "the node has no such network", Caller),
            Code::AddressTaken => ("address_taken", 409, "the address cannot be had", Caller),
            Code::NoAddress => ("no_address", 503, "the network has no address left", Node),
            Code::NoTpm => ("no_tpm", 503, "the TPM cannot be written to", Node),
            Code::LimitsNotEnforced => ("limits_not_enforced", 422, "the node cannot hold a VM to limits", Node),
            Code::AcceleratorNotWorking => {
                ("accelerator_not_working", 422, "the accelerator does not work on the node", Node)
            }
        }
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::{collections::BTreeSet, vec::Vec};

    #[test]
    fn no_code_changes_its_name_or_status() {
        let found: Vec<_> = Code::ALL.iter().map(|code| (code.name(), code.status())).collect();
        let stable = [
            ("invalid_spec", 400),
            ("unknown_path", 404),
            ("wrong_method", 405),
            ("not_acceptable", 406),
            ("unknown_vm", 404),
            ("unknown_event", 404),
            ("id_taken", 409),
            ("other_spec", 409),
            ("generation_past", 409),
            ("wrong_state", 409),
            ("unknown_image", 422),
            ("image_digest", 409),
            ("no_memory", 503),
            ("too_many", 429),
            ("quota_count", 429),
            ("quota_memory", 429),
            ("quota_vcpus", 429),
            ("quota_entries", 429),
            ("vmm_failed", 502),
            ("busy", 503),
            ("not_allowed", 403),
            ("unknown_network", 422),
            ("address_taken", 409),
            ("no_address", 503),
            ("no_tpm", 503),
            ("limits_not_enforced", 422),
            ("accelerator_not_working", 422),
        ];
        assert_eq!(found, stable);
    }

    #[test]
    fn every_code_has_a_title_of_its_own_and_the_same_name_in_json() {
        let titles: BTreeSet<_> = Code::ALL.iter().map(|code| code.title()).collect();
        assert_eq!(titles.len(), Code::ALL.len());
        for code in Code::ALL {
            assert_eq!(serde_json::to_string(&code).ok(), Some(format!("\"{}\"", code.name())));
        }
    }

    #[test]
    fn a_problem_is_one_of_rfc_9457_and_comes_back_from_json() {
        let problem = Problem::new(Code::UnknownVm, "web-1", "list them: GET /v1/vms");
        let json = r#"{"type":"urn:garant:problem:unknown_vm","title":"there is no such VM","status":404,"code":"unknown_vm","fault":"caller","detail":"web-1","next":"list them: GET /v1/vms"}"#;
        assert_eq!(serde_json::to_string(&problem).ok().as_deref(), Some(json));
        assert_eq!(serde_json::from_str(json).ok(), Some(problem));
    }

    #[test]
    fn a_detail_from_outside_does_not_grow_beyond_its_limit() {
        assert!(Problem::new(Code::Busy, "x".repeat(1 << 20), "").detail.len() <= budget::DETAIL_BYTES);
    }
}
