#![allow(clippy::unwrap_used, clippy::indexing_slicing)]
use super::*;
use alloc::{
    borrow::ToOwned,
    format,
    string::{String, ToString},
    vec,
};
use proptest::prelude::*;

const DIGEST: &str = "sha256:00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";

/// A spec in which every field is given, with one text replaced.
fn with(from: &str, to: &str) -> String {
    let whole = format!(
        r#"{{"machine":"q35","accelerator":"tcg","vcpus":2,"memory_mib":256,"kernel":{{"image":"{DIGEST}","initrd":"{DIGEST}","command_line":"console=ttyS0"}},"disks":[{{"image":"{DIGEST}","access":"read_only"}}],"nics":[{{"network":"lan","mac":"02:00:00:00:00:01","address":"10.0.0.5"}}],"limits":{{"cpu_percent":150}}}}"#
    );
    assert!(whole.contains(from), "{from}");
    whole.replacen(from, to, 1)
}

fn refused(json: &str) -> String {
    Spec::from_json(json.as_bytes()).unwrap_err().to_string()
}

#[test]
fn a_spec_comes_back_from_json_as_it_was_and_that_is_its_canonical_form() {
    let json = with("q35", "q35");
    let spec = Spec::from_json(json.as_bytes()).unwrap();
    assert_eq!(String::from_utf8(spec.canonical()).unwrap(), json);
    assert_eq!((spec.vcpus.get(), spec.memory_mib.get(), spec.disks.iter().len()), (2, 256, 1));
}

#[test]
fn order_space_and_defaults_do_not_change_the_canonical_form() {
    let canonical = format!(
        r#"{{"machine":"microvm","vcpus":1,"memory_mib":64,"kernel":{{"image":"{DIGEST}","command_line":""}}}}"#
    );
    for same in [
        canonical.clone(),
        format!(
            r#" {{ "memory_mib": 64, "kernel": {{"command_line": "", "image": "{DIGEST}", "initrd": null}}, "vcpus": 1 }}"#
        ),
        canonical.replace("}}", r#"},"disks":[],"accelerator":null}"#),
    ] {
        let spec = Spec::from_json(same.as_bytes()).unwrap();
        assert_eq!(String::from_utf8(spec.canonical()).unwrap(), canonical, "{same}");
    }
}

#[test]
fn a_value_that_cannot_be_is_refused_with_its_field_and_what_is_expected() {
    let access = r#""access":"read_only""#;
    for (from, to, says) in [
        (r#"percent":150"#, r#"percent":0"#, "limits: cpu_percent: expected a whole number from 1 to 6400, found 0"),
        (
            r#"percent":150"#,
            r#"percent":6401"#,
            "limits: cpu_percent: expected a whole number from 1 to 6400, found 6401",
        ),
        (r#""cpu_percent":150"#, r#""pids":1"#, "limits: unknown field `pids`"),
        (r#""vcpus":2"#, r#""vcpus":0"#, "vcpus: expected a whole number from 1 to 64, found 0"),
        (r#""vcpus":2"#, r#""vcpus":65"#, "vcpus: expected a whole number from 1 to 64, found 65"),
        (r#""vcpus":2"#, r#""vcpus":258"#, "vcpus: expected a whole number from 1 to 64, found 258"),
        (r#""vcpus":2"#, r#""vcpus":-1"#, "vcpus: invalid value: integer `-1`, expected a whole number from 1 to 64"),
        (r#""vcpus":2"#, r#""vcpus":1.5"#, "vcpus: invalid type: floating point `1.5`, expected a whole number"),
        (r#""vcpus":2"#, r#""vcpus":"2""#, "vcpus: invalid type: string \"2\", expected a whole number"),
        (r#""vcpus":2,"#, "", "missing field `vcpus`"),
        (r#""vcpus":2"#, r#""vcpus":2,"vcpus":3"#, "duplicate field `vcpus`"),
        (r#""vcpus":2"#, r#""vcpus":2,"cpus":3"#, "unknown field `cpus`, expected one of `machine`"),
        (":256", ":15", "memory_mib: expected a whole number from 16 to 1048576, found 15"),
        (":256", ":1048577", "memory_mib: expected a whole number from 16 to 1048576, found 1048577"),
        (":256", ":18446744073709551616", "memory_mib: invalid type: floating point"),
        ("q35", "pc", "machine: unknown variant `pc`, expected `microvm` or `q35`"),
        ("tcg", "hax", "accelerator: unknown variant `hax`, expected `kvm` or `tcg`"),
        ("read_only", "write", "disks: 0: access: unknown variant `write`, expected `read_only` or `overlay`"),
        (access, r#""access":"overlay","path":"/etc""#, "disks: 0: unknown field `path`, expected `image` or `access`"),
        ("lan", "LAN", "nics: 0: network: expected 1 to 15 of the characters a-z, 0-9 and -"),
        ("lan", "lan,ifname=tap0", "nics: 0: network: expected 1 to 15 of the characters a-z, 0-9 and -"),
        ("02:00", "00:1b", "nics: 0: mac: expected a unicast, locally administered address"),
        ("10.0.0.5", "10.0.0.5/24", "nics: 0: address: expected an IPv4 address of one host"),
        (r#""network":"lan","#, "", "nics: 0: missing field `network`"),
        (r#""network":"lan""#, r#""network":"lan","script":"x""#, "nics: 0: unknown field `script`"),
        (
            "sha256:",
            "sha512:",
            "kernel: image: expected sha256: and 64 lower-case hexadecimal digits, found \"sha512:00",
        ),
        ("ddeeff", "ddeefF", "kernel: image: expected sha256: and 64 lower-case hexadecimal digits"),
        ("ddeeff\"", "ddeeff0\"", "kernel: image: expected sha256: and 64 lower-case hexadecimal digits"),
        (DIGEST, "/boot/vmlinuz,file=/etc/shadow", "kernel: image: expected sha256: and 64"),
        ("\"initrd\":\"sha256:00", "\"initrd\":\"sha256:0\u{e9}", "kernel: initrd: expected sha256: and 64"),
        ("ttyS0", "ttyS0\\u0000", "kernel: command_line: expected printable ASCII, found byte 0x00 at 13"),
        ("ttyS0", "tty\\nS0", "kernel: command_line: expected printable ASCII, found byte 0x0a at 11"),
        ("ttyS0", "ttyS0\u{e9}", "kernel: command_line: expected printable ASCII, found byte 0xc3 at 13"),
        (
            r#""console=ttyS0""#,
            "7",
            "kernel: command_line: invalid type: integer `7`, expected a text: printable ASCII",
        ),
    ] {
        let said = refused(&with(from, to));
        assert!(said.starts_with("line 1, column ") && said.contains(&format!(": {says}")), "{to}: {said}");
    }
}

#[test]
fn ten_thousand_disks_are_refused_before_the_tenth_is_read() {
    let disk = format!(r#"{{"image":"{DIGEST}","access":"overlay"}}"#);
    let disks = |count: usize| {
        let list = vec![disk.as_str(); count].join(",");
        with(r#""disks":["#, &format!(r#""disks":[{list}],"unused":["#)).replace(r#","unused":["#, "").replacen(
            &format!(r#"]{{"image":"{DIGEST}","access":"read_only"}}]"#),
            "]",
            1,
        )
    };
    assert_eq!(Spec::from_json(disks(8).as_bytes()).unwrap().disks.iter().len(), budget::DISKS);
    assert!(refused(&disks(9)).contains("disks: expected at most 8 disks, found more"));
    assert!(refused(&disks(10_000)).starts_with("body: expected at most 65536 bytes, found "));
    let tenth_is_nonsense = disks(9).replacen("]}", ",nonsense]}", 1);
    assert!(refused(&tenth_is_nonsense).contains("disks: expected at most 8 disks, found more"));
    let parsed = Spec::from_json(disks(1).as_bytes()).unwrap().disks.iter().next().unwrap().clone();
    assert_eq!(Disks::try_from(vec![parsed.clone(); 9]), Err(Invalid::Disks));
    assert!(Disks::try_from(vec![parsed; 8]).is_ok());
}

#[test]
fn a_fifth_network_interface_is_refused() {
    let nics = |count: usize| with(r#""nics":[{"#, &format!(r#""nics":[{}{{"#, r#"{"network":"a"},"#.repeat(count)));
    assert_eq!(Spec::from_json(nics(3).as_bytes()).unwrap().nics.iter().len(), budget::NICS);
    assert!(refused(&nics(4)).contains("nics: expected at most 4 network interfaces, found more"));
}

#[test]
fn a_command_line_ends_before_the_kernel_would_cut_it() {
    let line = |bytes: usize| with("console=ttyS0", &"x".repeat(bytes));
    let spec = Spec::from_json(line(budget::COMMAND_LINE_BYTES).as_bytes()).unwrap();
    assert_eq!(spec.kernel.command_line.as_str().len(), budget::COMMAND_LINE_BYTES);
    let said = refused(&line(budget::COMMAND_LINE_BYTES + 1));
    assert!(said.contains("kernel: command_line: expected at most 1536 bytes, found 1537"), "{said}");
    let ten_mb = 10 * 1024 * 1024;
    assert!(refused(&line(ten_mb)).starts_with("body: expected at most 65536 bytes, found "));
    assert_eq!("x".repeat(ten_mb).parse::<CommandLine>(), Err(Invalid::CommandLineLength { found_bytes: ten_mb }));
}

#[test]
fn nothing_that_was_sent_is_repeated_without_end() {
    let long = "\u{e9}".repeat(20_000);
    for json in [
        with("q35", &long),
        with("\"vcpus\"", &format!("\"{long}\"")),
        with(DIGEST, &long),
        with(r#""vcpus":2"#, &format!(r#""vcpus":"{long}""#)),
    ] {
        let said = refused(&json);
        assert!(said.len() < budget::DETAIL_BYTES && said.starts_with("line 1, column "), "{said}");
    }
}

#[test]
fn a_vm_is_named_by_a_word_that_no_path_or_shell_can_mistake() {
    for name in ["a", "0", "web-1", "a--", &"x".repeat(63)] {
        assert_eq!(name.parse::<VmId>().unwrap().as_str(), name);
    }
    for name in
        ["", "-a", "../a", "a/b", "a.b", "A", "a_b", "a b", "a\0", "a,b", "a%2e", "\u{e9}", "a\n", &"x".repeat(64)]
    {
        let said = name.parse::<VmId>().unwrap_err().to_string();
        assert!(said.starts_with("expected 1 to 63 of the characters a-z, 0-9 and -"), "{said}");
        assert!(serde_json::from_str::<VmId>(&serde_json::to_string(name).unwrap()).is_err());
    }
    assert!("../".repeat(1 << 20).parse::<VmId>().unwrap_err().to_string().len() < 200);
}

#[test]
fn an_images_file_is_its_digits() {
    let digest: ImageDigest = DIGEST.parse().unwrap();
    assert_eq!(format!("sha256:{}", digest.file_name()), DIGEST);
    assert_eq!((digest.to_string(), digest.as_bytes()[1]), (DIGEST.to_owned(), 0x11));
    assert_eq!(ImageDigest::from_bytes(*digest.as_bytes()), digest);
}

#[test]
fn ensure_is_a_generation_and_a_spec_and_nothing_else() {
    let json = format!(r#"{{"generation":18446744073709551615,"spec":{}}}"#, with("q35", "q35"));
    let ensure = Ensure::from_json(json.as_bytes()).unwrap();
    assert_eq!((ensure.generation, serde_json::to_string(&ensure).unwrap()), (u64::MAX, json.clone()));
    for (from, to, says) in [
        (":18446744073709551615", ":-1", "generation: invalid value: integer `-1`, expected a whole number from 0"),
        (r#""vcpus":2"#, r#""vcpus":0"#, "spec: vcpus: expected a whole number from 1 to 64, found 0"),
        (r#"{"generation""#, r#"{"id":"x","generation""#, "unknown field `id`, expected `generation` or `spec`"),
        ("150}}}", "150}}} {}", "trailing characters"),
    ] {
        let said = Ensure::from_json(json.replacen(from, to, 1).as_bytes()).unwrap_err().to_string();
        assert!(said.contains(says), "{to}: {said}");
    }
    let deep = "[".repeat(60_000);
    assert!(Ensure::from_json(deep.as_bytes()).is_err());
}

proptest! {
    #[test]
    fn every_spec_comes_back_from_its_canonical_form(
        (vcpus, memory) in (1_u64..=64, 16_u64..=1_048_576),
        (image, initrd) in (any::<[u8; 32]>(), any::<Option<[u8; 32]>>()),
        line in "[ -~]{0,300}",
        nics in prop::collection::vec((any::<Option<[u8; 6]>>(), 1_u32..=0x7eff_ffff), 0..=4),
        disks in prop::collection::vec((any::<[u8; 32]>(), any::<bool>()), 0..=8),
        cpu_percent in prop::option::of(1_u64..=6_400),
    ) {
        let access = |writes| if writes { Access::Overlay } else { Access::ReadOnly };
        let disk = |(image, writes)| Disk { image: ImageDigest::from_bytes(image), access: access(writes) };
        let nic = |(mac, address): (Option<[u8; 6]>, u32)| Nic {
            network: "lan".parse().unwrap(),
            mac: mac.map(Mac::of_random),
            address: Address::new(address.into()),
        };
        let spec = Spec {
            machine: Machine::Q35,
            accelerator: None,
            vcpus: vcpus.try_into().unwrap(),
            memory_mib: memory.try_into().unwrap(),
            kernel: Kernel {
                image: ImageDigest::from_bytes(image),
                initrd: initrd.map(ImageDigest::from_bytes),
                command_line: line.parse().unwrap(),
            },
            disks: disks.into_iter().map(disk).collect::<Vec<_>>().try_into().unwrap(),
            nics: nics.into_iter().map(nic).collect::<Vec<_>>().try_into().unwrap(),
            limits: cpu_percent.map(|percent| Limits { cpu_percent: Some(percent.try_into().unwrap()) }),
        };
        prop_assert_eq!(Spec::from_json(&spec.canonical()), Ok(spec));
    }

    #[test]
    fn no_bytes_are_too_strange_to_be_refused(json in prop::collection::vec(any::<u8>(), 0..300)) {
        prop_assert!(Ensure::from_json(&json).is_err());
    }
}
