//! Every limit on what comes from outside, with its unit and source.

use std::time::Duration;

/// How long one TPM command may take: the kernel's own limit for making a key (TPM2_DURATION_LONG_LONG,
/// drivers/char/tpm/tpm.h).
pub const TPM_COMMAND: Duration = Duration::from_secs(300);

/// The longest pause before a TPM command is sent again. With twelve resends, doubling from 5 ms, three seconds in all.
pub const TPM_RESEND_PAUSE: Duration = Duration::from_millis(500);
