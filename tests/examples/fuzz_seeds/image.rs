//! Seeds of the target `image`.

/// A unified kernel image that has nothing inside, as small as may be.
pub(crate) fn unified() -> Vec<u8> {
    let kernel = image(&[(".text", b"Linux initrd LOADED_IMAGE::LoadOptions")]);
    image(&[
        (".sdmagic", b"#### LoaderInfo: systemd-stub 252.39 ####"),
        (".osrel", b"ID=debian"),
        (".cmdline", b"quiet"),
        (".initrd", b"cpio"),
        (".linux", &kernel),
    ])
}

/// A PE32+ file with these sections.
fn image(sections: &[(&str, &[u8])]) -> Vec<u8> {
    let u32_at = |file: &mut Vec<u8>, at: usize, value: usize| {
        file[at..at + 4].copy_from_slice(&u32::try_from(value).unwrap().to_le_bytes());
    };
    let headers_bytes = (328 + sections.len() * 40).next_multiple_of(512);
    let mut file = vec![0; headers_bytes];
    file[..2].copy_from_slice(b"MZ");
    file[60] = 64;
    file[64..72].copy_from_slice(&[b'P', b'E', 0, 0, 0x64, 0x86, u8::try_from(sections.len()).unwrap(), 0]);
    file[84] = 240;
    u32_at(&mut file, 88, 0x20b);
    u32_at(&mut file, 88 + 60, headers_bytes);
    u32_at(&mut file, 88 + 108, 16);
    for (at, (name, content)) in (328..).step_by(40).zip(sections) {
        file[at..at + name.len()].copy_from_slice(name.as_bytes());
        let raw_at = file.len();
        u32_at(&mut file, at + 8, content.len());
        u32_at(&mut file, at + 16, content.len().next_multiple_of(512));
        u32_at(&mut file, at + 20, raw_at);
        file.extend(*content);
        file.resize(file.len().next_multiple_of(512), 0);
    }
    file
}
