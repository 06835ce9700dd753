//! Which texts are rule sets, and what the built-in ones say.

use super::*;

#[test]
fn every_built_in_set_is_sound() {
    for (id, text) in BUILT_IN {
        assert_eq!(RuleSet::parse(text).unwrap().id, id);
    }
}

#[test]
fn a_rule_set_with_an_unknown_key_a_double_rule_or_levels_that_do_not_fit_is_refused() {
    let (_, text) = BUILT_IN[2];
    let refused = |from: &str, to: &str| RuleSet::parse(&text.replacen(from, to, 1)).unwrap_err();
    refused("minimum = 3", "minimum = 5");
    refused("[1, 1, 3, 4]", "[1, 1, 3]");
    refused("[1, 1, 3, 4]", "[1, 4, 3, 4]");
    refused("SOV-2.1", "SOV-1.1");
    refused("version = \"2\"", "version = \"2\"\nextra = 1");
    refused("\"AT\", ", "\"NO\", ");
    refused("checked = \"primary\"", "checked = \"yes\"");
    let (_, text) = BUILT_IN[0];
    assert!(RuleSet::parse(&text.replace("percent = \"24\"", "percent = \"101\"")).is_err());
    assert!(RuleSet::parse(&"#".repeat(65 * 1024)).is_err());
}
