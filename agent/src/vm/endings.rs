//! Why a VM ended, in the words of the ledger, from which the next server learns it too.

use garant_api::vm::State;

/// Somebody asked for it.
pub const STOPPED: &str = "it was stopped";
/// Its guest switched it off.
pub const GUEST_ENDED: &str = "the guest ended itself";

/// The state of a VM that ended for this reason.
pub fn state_after(why: &str) -> State {
    if [STOPPED, GUEST_ENDED].contains(&why) { State::Stopped } else { State::Failed }
}

/// Words that the ledger takes.
pub fn words(text: &str) -> String {
    let plain = text.chars().filter(|c| c.is_ascii_graphic() || *c == ' ');
    plain.take(garant_attest::budget::ENTRY_WHY_BYTES).collect::<String>().trim().to_owned()
}
