//! Writes a UEFI boot entry into OVMF's variable store, so that a test boots the way a machine does: by `Boot0000`, with options.
//!
//! Formats: UEFI 2.10 §3.1.3 (load option), §10.3.5 (file path); EDK II `MdeModulePkg/Include/Guid/VariableFormat.h` (authenticated
//! variable store, as in Debian's empty `OVMF_VARS_4M.fd`). Only an empty store is accepted: nothing is replaced or merged.

use std::io;

/// The variable store with one boot entry: the file at `path` (`\EFI\…`) of whatever partition has it, started with `options`.
pub fn with_boot_entry(empty_store: &[u8], path: &str, options: Option<&str>) -> io::Result<Vec<u8>> {
    let start = first_variable(empty_store)?;
    let entry = load_option(path, options);
    let variables = [variable("Boot0000", &entry), variable("BootOrder", &0_u16.to_le_bytes())].concat();
    let end = start + variables.len();
    let mut store = empty_store.to_vec();
    match store.get_mut(start..end) {
        Some(free) if free.iter().all(|byte| *byte == ERASED) => free.copy_from_slice(&variables),
        _ => return Err(io::Error::other("the variable store is not empty or too small")),
    }
    Ok(store)
}

/// Offset of the first variable: behind the firmware volume's header and the variable store's.
fn first_variable(store: &[u8]) -> io::Result<usize> {
    store
        .windows(STORE_SIGNATURE.len())
        .position(|window| window == STORE_SIGNATURE)
        .map(|store_header| store_header + STORE_HEADER_BYTES)
        .ok_or_else(|| io::Error::other("no authenticated variable store in this file"))
}

/// `EFI_LOAD_OPTION`: attributes, length of the path list, description, path list, options.
fn load_option(path: &str, options: Option<&str>) -> Vec<u8> {
    let file = utf16(path);
    let file_node = [&[MEDIA_DEVICE_PATH, MEDIA_FILE_PATH][..], &length(4 + file.len()), &file].concat();
    let path_list = [&file_node[..], &END_OF_PATH].concat();
    let options = options.map(utf16).unwrap_or_default();
    [&LOAD_OPTION_ACTIVE.to_le_bytes()[..], &length(path_list.len()), &utf16("garant"), &path_list, &options].concat()
}

/// `AUTHENTICATED_VARIABLE_HEADER`, name and data, padded to the next variable.
fn variable(name: &str, data: &[u8]) -> Vec<u8> {
    let name = utf16(name);
    let mut bytes = [
        &VARIABLE_START.to_le_bytes()[..],
        &[VARIABLE_ADDED, 0],
        &NON_VOLATILE_BOOT_AND_RUNTIME.to_le_bytes(),
        &[0; 8 + 16 + 4], // monotonic count, time stamp, public key index: not an authenticated variable
        &u32::try_from(name.len()).expect("a short name").to_le_bytes(),
        &u32::try_from(data.len()).expect("a short value").to_le_bytes(),
        &GLOBAL_VARIABLE,
        &name,
        data,
    ]
    .concat();
    bytes.resize(bytes.len().next_multiple_of(4), ERASED);
    bytes
}

fn utf16(text: &str) -> Vec<u8> {
    text.encode_utf16().chain([0]).flat_map(u16::to_le_bytes).collect()
}

fn length(bytes: usize) -> [u8; 2] {
    u16::try_from(bytes).expect("less than 64 KiB").to_le_bytes()
}

/// What erased flash reads as.
const ERASED: u8 = 0xff;
/// `gEfiAuthenticatedVariableGuid` aaf32c78-947b-439a-a180-2e144ec37792.
const STORE_SIGNATURE: [u8; 16] =
    [0x78, 0x2c, 0xf3, 0xaa, 0x7b, 0x94, 0x9a, 0x43, 0xa1, 0x80, 0x2e, 0x14, 0x4e, 0xc3, 0x77, 0x92];
/// `VARIABLE_STORE_HEADER`: signature, size, format, state, reserved.
const STORE_HEADER_BYTES: usize = 28;
const VARIABLE_START: u16 = 0x55aa;
/// `VAR_ADDED`: header and data are written.
const VARIABLE_ADDED: u8 = 0x3f;
const NON_VOLATILE_BOOT_AND_RUNTIME: u32 = 7;
/// `EFI_GLOBAL_VARIABLE` 8be4df61-93ca-11d2-aa0d-00e098032b8c.
const GLOBAL_VARIABLE: [u8; 16] =
    [0x61, 0xdf, 0xe4, 0x8b, 0xca, 0x93, 0xd2, 0x11, 0xaa, 0x0d, 0x00, 0xe0, 0x98, 0x03, 0x2b, 0x8c];
const LOAD_OPTION_ACTIVE: u32 = 1;
const MEDIA_DEVICE_PATH: u8 = 4;
const MEDIA_FILE_PATH: u8 = 4;
const END_OF_PATH: [u8; 4] = [0x7f, 0xff, 4, 0];
