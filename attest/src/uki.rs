//! Unified kernel images: systemd's EFI stub with kernel, initrd and command line as sections.
//!
//! Knows which sections the stub measures, in which order, and what the kernel's own EFI stub then measures. Both are
//! code of the image, so a stub of another version is refused: its order would be a guess.

use crate::pe::{PeError, PeImage, Section};
use alloc::{
    borrow::ToOwned,
    string::{String, ToString},
    vec::Vec,
};
use core::fmt;

/// A unified kernel image whose stub is known; it says nothing of who made it.
#[derive(Debug, Clone)]
pub struct Uki<'a> {
    image: PeImage<'a>,
    kernel: PeImage<'a>,
    sections: Vec<(&'static str, &'a [u8])>,
}

impl<'a> Uki<'a> {
    /// Reads a whole file.
    pub fn parse(bytes: &'a [u8]) -> Result<Uki<'a>, UkiError> {
        let image = PeImage::parse(bytes)?;
        check_stub(&image)?;
        let mut sections = Vec::with_capacity(SECTIONS.len());
        for name in SECTIONS {
            if let Some(section) = only(&image, name)? {
                sections.push((name, section.loaded()?));
            }
        }
        let kernel = content(&sections, KERNEL).ok_or(UkiError::Missing { name: KERNEL })?;
        Ok(Uki { kernel: PeImage::parse(kernel)?, image, sections })
    }

    /// The file as firmware loads it.
    pub fn image(&self) -> &PeImage<'a> {
        &self.image
    }

    /// The kernel as the stub loads it.
    pub fn kernel(&self) -> &PeImage<'a> {
        &self.kernel
    }

    /// The built-in command line, as text without its trailing NULs and line ends.
    pub fn command_line(&self) -> Option<String> {
        let bytes = content(&self.sections, COMMAND_LINE)?;
        Some(String::from_utf8_lossy(bytes).trim_end_matches(['\0', '\n']).to_owned())
    }

    /// The built-in initrd.
    pub fn initrd(&self) -> Option<&'a [u8]> {
        content(&self.sections, INITRD)
    }

    /// What the stub measures into PCR 11: for each section, in its order, first the name with its NUL, then the content.
    pub fn measured_sections(&self) -> impl Iterator<Item = (&'static str, &'a [u8])> + '_ {
        self.sections.iter().copied().filter(|(name, _)| *name != SIGNATURES)
    }

    /// What the kernel's EFI stub measures into PCR 9: the load options where it knows how, then the initrd.
    pub fn measured_by_kernel(&self) -> Result<Vec<KernelMeasurement<'a>>, UkiError> {
        if let Some((name, _)) = self.sections.iter().find(|(name, _)| [SIGNATURES, SIGNATURE_KEY].contains(name)) {
            return Err(UkiError::CombinedInitrd { name });
        }
        let mut measured = Vec::new();
        if contains(self.kernel.bytes(), MEASURES_LOAD_OPTIONS) {
            measured.push(KernelMeasurement::LoadOptions(self.load_options()));
        }
        if let Some(initrd) = self.initrd().filter(|_| contains(self.kernel.bytes(), MEASURES_INITRD)) {
            measured.push(KernelMeasurement::Initrd(initrd));
        }
        Ok(measured)
    }

    /// The command line as the stub hands it over: UTF-16 with a NUL at its end.
    fn load_options(&self) -> Vec<u8> {
        let text = content(&self.sections, COMMAND_LINE).unwrap_or_default();
        text.iter().map(|byte| u16::from(*byte)).chain([0]).flat_map(u16::to_le_bytes).collect()
    }
}

/// What the stub measures before a section's content: its name with a NUL.
pub fn measured_name(name: &str) -> Vec<u8> {
    name.bytes().chain([0]).collect()
}

/// One measurement of the kernel's EFI stub.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KernelMeasurement<'a> {
    /// The command line in UTF-16.
    LoadOptions(Vec<u8>),
    /// The initrd.
    Initrd(&'a [u8]),
}

impl KernelMeasurement<'_> {
    /// What is hashed.
    pub fn bytes(&self) -> &[u8] {
        match self {
            KernelMeasurement::LoadOptions(bytes) => bytes,
            KernelMeasurement::Initrd(bytes) => bytes,
        }
    }
}

/// A file that is not a unified kernel image of a known stub; whoever gave it is at fault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UkiError {
    /// The image, or the kernel in it, is not a sound PE/COFF file.
    Pe(PeError),
    /// A section is missing.
    Missing {
        /// Its name.
        name: &'static str,
    },
    /// Two sections that the stub takes for the same one.
    Ambiguous {
        /// The name that it looks for.
        name: &'static str,
    },
    /// A stub whose measurements are not known here.
    UnknownStub {
        /// What it says of itself, at most 64 characters.
        found: String,
    },
    /// A section from which the stub makes one more initrd at boot.
    CombinedInitrd {
        /// Its name.
        name: &'static str,
    },
}

impl From<PeError> for UkiError {
    fn from(error: PeError) -> UkiError {
        UkiError::Pe(error)
    }
}

impl fmt::Display for UkiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            UkiError::Pe(error) => write!(f, "{error}"),
            UkiError::Missing { name } => write!(f, "no section {name}: not a unified kernel image"),
            UkiError::Ambiguous { name } => write!(f, "more than one section that the stub takes for {name}"),
            UkiError::UnknownStub { found } => {
                write!(f, "the stub says {found:?}; what it measures is known for systemd-stub {STUB_VERSION} only")
            }
            UkiError::CombinedInitrd { name } => {
                write!(f, "section {name} becomes part of the initrd at boot: PCR 9 is not predictable")
            }
        }
    }
}

impl core::error::Error for UkiError {}

fn check_stub(image: &PeImage<'_>) -> Result<(), UkiError> {
    let magic = only(image, STUB_MAGIC)?.ok_or(UkiError::Missing { name: STUB_MAGIC })?.loaded()?;
    let text: String = String::from_utf8_lossy(magic).chars().take(64).collect();
    let said = text.trim_matches(['\0', '#', ' ']).to_string();
    let version = said.strip_prefix("LoaderInfo: systemd-stub ").unwrap_or_default();
    if version.split(['.', '-', ' ']).next() == Some(STUB_VERSION) {
        Ok(())
    } else {
        Err(UkiError::UnknownStub { found: said })
    }
}

/// The section of that name. The stub compares prefixes and takes the last one, so a second match is refused.
fn only<'i, 'a>(image: &'i PeImage<'a>, name: &'static str) -> Result<Option<&'i Section<'a>>, UkiError> {
    let mut found = image.sections().iter().filter(|section| section.name().starts_with(name.as_bytes()));
    match (found.next(), found.next()) {
        (Some(section), None) if section.name() == name.as_bytes() => Ok(Some(section)),
        (None, _) => Ok(None),
        _ => Err(UkiError::Ambiguous { name }),
    }
}

fn content<'a>(sections: &[(&'static str, &'a [u8])], name: &str) -> Option<&'a [u8]> {
    sections.iter().find(|(found, _)| *found == name).map(|(_, content)| *content)
}

fn contains(bytes: &[u8], text: &[u8]) -> bool {
    bytes.windows(text.len()).any(|window| window == text)
}

/// The stub's sections in its order (systemd 252, src/fundamental/tpm-pcr.c, `unified_sections`).
pub const SECTIONS: [&str; 8] = [KERNEL, ".osrel", COMMAND_LINE, INITRD, ".splash", ".dtb", SIGNATURES, SIGNATURE_KEY];
const KERNEL: &str = ".linux";
const COMMAND_LINE: &str = ".cmdline";
const INITRD: &str = ".initrd";
/// Holds signatures over predicted values of PCR 11, so the stub does not measure it.
const SIGNATURES: &str = ".pcrsig";
const SIGNATURE_KEY: &str = ".pcrpkey";
/// What the stub says of itself: `#### LoaderInfo: systemd-stub 252.39-1~deb12u2 ####`.
const STUB_MAGIC: &str = ".sdmagic";
const STUB_VERSION: &str = "252";
/// Text of Linux' event for load options (drivers/firmware/efi/libstub/efi-stub-helper.c, since 6.1.7x and 6.3).
const MEASURES_LOAD_OPTIONS: &[u8] = b"LOADED_IMAGE::LoadOptions";
/// Text of Linux' event for an initrd from the stub (same file, since 5.17).
const MEASURES_INITRD: &[u8] = b"Linux initrd";

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use super::*;
    use crate::pe::tests::pe;

    const STUB_252: &[u8] = b"#### LoaderInfo: systemd-stub 252.39-1~deb12u2 ####\0";

    fn kernel(texts: &[u8]) -> Vec<u8> {
        pe(&[(".text", texts)])
    }

    fn measured(file: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
        let uki = Uki::parse(file).unwrap();
        uki.measured_sections().map(|(name, content)| (name, content.to_vec())).collect()
    }

    #[test]
    fn sections_are_measured_in_the_order_of_the_stub_and_not_of_the_file() {
        let kernel = kernel(b"");
        let file = pe(&[
            (STUB_MAGIC, STUB_252),
            (INITRD, b"cpio"),
            (COMMAND_LINE, b"quiet"),
            (SIGNATURES, b"{}"),
            (".uname", b"6.1"),
            (KERNEL, &kernel),
        ]);
        let expected = [(KERNEL, kernel), (COMMAND_LINE, b"quiet".to_vec()), (INITRD, b"cpio".to_vec())];
        assert_eq!(measured(&file), expected);
    }

    #[test]
    fn a_stub_of_another_version_is_refused() {
        for said in
            [&b"#### LoaderInfo: systemd-stub 257.1 ####"[..], b"#### LoaderInfo: systemd-stub 2521 ####", b"shim"]
        {
            let file = pe(&[(STUB_MAGIC, said), (KERNEL, &kernel(b""))]);
            assert!(matches!(Uki::parse(&file), Err(UkiError::UnknownStub { .. })));
        }
        let file = pe(&[(KERNEL, &kernel(b""))]);
        assert_eq!(Uki::parse(&file).unwrap_err(), UkiError::Missing { name: STUB_MAGIC });
    }

    #[test]
    fn a_second_section_that_the_stub_would_take_is_refused() {
        for second in [KERNEL, ".linuxx"] {
            let file = pe(&[(STUB_MAGIC, STUB_252), (KERNEL, &kernel(b"")), (second, &kernel(b"evil"))]);
            assert_eq!(Uki::parse(&file).unwrap_err(), UkiError::Ambiguous { name: KERNEL });
        }
        let file = pe(&[(STUB_MAGIC, STUB_252), (KERNEL, &kernel(b"")), (".dtbauto", b"tree")]);
        assert_eq!(Uki::parse(&file).unwrap_err(), UkiError::Ambiguous { name: ".dtb" });
    }

    #[test]
    fn the_kernel_measures_what_its_own_texts_say() {
        let file = |texts: &[u8]| {
            pe(&[(STUB_MAGIC, STUB_252), (KERNEL, &kernel(texts)), (COMMAND_LINE, b"ro"), (INITRD, b"cpio")])
        };
        let measured = |texts: &[u8]| Uki::parse(&file(texts)).unwrap().measured_by_kernel().unwrap().len();
        assert_eq!(measured(b""), 0);
        assert_eq!(measured(MEASURES_INITRD), 1);
        let file = file(&[MEASURES_INITRD, MEASURES_LOAD_OPTIONS].concat());
        let uki = Uki::parse(&file).unwrap();
        let [options, initrd] = &uki.measured_by_kernel().unwrap()[..] else { panic!("two measurements") };
        assert_eq!(options.bytes(), b"r\0o\0\0\0");
        assert_eq!(initrd.bytes(), b"cpio");
    }

    #[test]
    fn an_initrd_that_the_stub_makes_at_boot_is_not_predicted() {
        let file = pe(&[(STUB_MAGIC, STUB_252), (KERNEL, &kernel(MEASURES_INITRD)), (SIGNATURE_KEY, b"key")]);
        let refused = Uki::parse(&file).unwrap().measured_by_kernel();
        assert_eq!(refused.unwrap_err(), UkiError::CombinedInitrd { name: SIGNATURE_KEY });
    }
}
