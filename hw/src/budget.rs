//! Every limit on what a machine says, with its unit and source.

/// Bytes of a command or response at most: the codec's and libtpms' MAX_COMMAND_SIZE and MAX_RESPONSE_SIZE.
pub const FRAME_BYTES: usize = 4096;

/// How often a command is sent again when the TPM answers RETRY, YIELDED or TESTING. A self test takes up to a second on
/// old chips; with the pauses of the device this is three seconds.
pub const RESENDS: u32 = 12;

/// Bytes of a TPMS_ATTEST of a quote: 4 + 2 + name 68 + extraData 68 + clock 17 + firmware 8 + selection 4 + 8 × 7 +
/// digest 66 are 293.
pub const ATTEST_BYTES: usize = 320;

/// Bytes of a TPMT_SIGNATURE: 4 + 2 + 512 for RSA-4096.
pub const SIGNATURE_BYTES: usize = 520;

/// Bytes of a TPMT_PUBLIC: 10 + policy 66 + parameters 24 + modulus 514 are 614.
pub const PUBLIC_AREA_BYTES: usize = 640;

/// Bytes of a boot event log; the largest seen is 73 KB, firmware reserves 64 to 256 KiB.
pub const LOG_BYTES: usize = 1024 * 1024;

/// Events of a boot event log; the largest seen has 203.
pub const LOG_EVENTS: u32 = 16_384;

/// Banks that a log's header may name; three are the most seen.
pub const LOG_BANKS: usize = 8;

/// Bytes of an IMA template's name: Linux' IMA_TEMPLATE_NAME_LEN_MAX.
pub const IMA_TEMPLATE_NAME_BYTES: usize = 16;

/// Bytes of a file name in the `ima` template: Linux' IMA_EVENT_NAME_LEN_MAX.
pub const IMA_LEGACY_NAME_BYTES: usize = 255;

/// Bytes of one entry's template data: a path of 4,096 and a signature of at most 64 KiB (an extended attribute's size).
pub const IMA_DATA_BYTES: usize = 72 * 1024;

/// Bytes of an SMBIOS table: 64 KiB with a 32-bit entry point (DSP0134 3.7.0, §5.2.1); servers have 5 to 30 KiB.
pub const SMBIOS_BYTES: usize = 256 * 1024;
