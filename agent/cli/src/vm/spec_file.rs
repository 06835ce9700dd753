//! A spec as a person writes it: TOML, or the API's own JSON.

use crate::{
    failure::Failure,
    input,
    output::{Answer, Output, Text},
};
use garant_api::{budget, spec::Spec};
use std::{fmt, path::Path};

/// Reads one of either form: no TOML begins with a brace.
pub(super) fn read(path: &Path) -> Result<Spec, Failure> {
    let bytes = input::read(path, budget::BODY_BYTES)?;
    if bytes.trim_ascii_start().starts_with(b"{") {
        return Spec::from_json(&bytes).map_err(|invalid| unlike_example(invalid, path));
    }
    let text = std::str::from_utf8(&bytes).map_err(|error| unlike_example(error, path))?;
    toml::from_str(text).map_err(|error| unlike_example(said(&error), path))
}

/// What the TOML reader says but for paths of keys, which the spec's own words say better.
fn said(error: &toml::de::Error) -> String {
    let text = error.to_string();
    let lines: Vec<&str> = text.lines().filter(|line| !line.starts_with("in `")).collect();
    lines.join("\n").trim_end().to_owned()
}

fn unlike_example(what: impl fmt::Display, path: &Path) -> Failure {
    Failure::new(what, path.display(), "`garant vm ensure --example` explains every line")
}

/// Prints the example.
pub(super) fn show_example(output: &Output) -> Result<Answer, Failure> {
    output.show(&Text { text: EXAMPLE })?;
    Ok(Answer::Yes)
}

const EXAMPLE: &str = include_str!("spec.example.toml");

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> String {
        toml::from_str::<Spec>(text).map_or_else(|error| said(&error), |_| unreachable!("{text}"))
    }

    #[test]
    fn the_example_is_a_spec_and_so_is_its_json() {
        let spec: Spec = toml::from_str(EXAMPLE).unwrap_or_else(|error| unreachable!("{error}"));
        assert_eq!(spec.disks.iter().len(), 2);
        assert_eq!(Spec::from_json(&spec.canonical()), Ok(spec));
    }

    #[test]
    fn what_is_wrong_in_a_file_is_said_with_its_line_its_field_and_what_is_expected() {
        for (from, to, line, says) in [
            ("vcpus = 2", "vcpus = 0", "line 10", "vcpus: expected a whole number from 1 to 64, found 0"),
            (
                "vcpus = 2",
                "vcpus = -2",
                "line 10",
                "vcpus: invalid value: integer `-2`, expected a whole number from 1",
            ),
            ("vcpus = 2", "vcpus = 2\ncpus = 2", "line 11", "unknown field `cpus`"),
            ("sha256:", "sha512:", "", "kernel: image: expected sha256: and 64 lower-case hexadecimal digits"),
            (
                "= \"overlay",
                "= \"write",
                "",
                "disks: 1: access: unknown variant `write`, expected `read_only` or `overlay`",
            ),
        ] {
            assert!(EXAMPLE.contains(from), "{from}");
            let said = refused(&EXAMPLE.replacen(from, to, 1));
            assert!(said.contains(line) && said.contains(says) && !said.contains("\nin `"), "{said}");
        }
    }
}
