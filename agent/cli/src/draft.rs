//! A policy as it is written: the TOML that `attest` reads, with the values that its lists lead to as comments.

use garant_attest::image::{Extends, extended};
use garant_channel::engine::FastEngine;
use garant_hw::hash::Hash;
use serde::Serialize;
use std::{
    collections::BTreeMap,
    fmt,
    time::{SystemTime, UNIX_EPOCH},
};

/// Digests in hexadecimal, for each PCR of each bank.
pub(crate) type Banks = BTreeMap<&'static str, BTreeMap<u32, DraftPcr>>;

/// A policy with one image at most.
#[derive(Debug, Serialize)]
pub(crate) struct Draft {
    pub(crate) roots: Vec<String>,
    pub(crate) max_age_s: u64,
    pub(crate) configurations: Vec<String>,
    pub(crate) image: Option<DraftImage>,
    pub(crate) learned: DraftLearned,
}

/// What a boot of the image extends.
#[derive(Debug, Serialize)]
pub(crate) struct DraftImage {
    pub(crate) name: String,
    pub(crate) closed: bool,
    pub(crate) uki: Option<String>,
    pub(crate) cmdline: Option<String>,
    pub(crate) extends: Banks,
}

/// What somebody saw.
#[derive(Debug, Serialize)]
pub(crate) struct DraftLearned {
    pub(crate) by: String,
    pub(crate) when: String,
    pub(crate) locality: u8,
    pub(crate) extends: Banks,
}

/// What is extended into a PCR, in order. Where that leads from zero is for the reader.
#[derive(Debug, Serialize)]
pub(crate) struct DraftPcr {
    extends: Vec<String>,
    value: String,
}

/// The lists of each bank, with the values that they lead to.
pub(crate) fn banks(lists: &BTreeMap<Hash, Extends>, locality: u8) -> Banks {
    let pcr = |hash: Hash, pcr: u32, extends: &[garant_attest::engine::Digest]| DraftPcr {
        extends: extends.iter().map(ToString::to_string).collect(),
        value: extended(&FastEngine, hash, if pcr == 0 { locality } else { 0 }, extends).to_string(),
    };
    let bank = |(hash, lists): (&Hash, &Extends)| {
        (hash.name(), lists.iter().map(|(number, extends)| (*number, pcr(*hash, *number, extends))).collect())
    };
    lists.iter().map(bank).collect()
}

/// Today by this machine's clock, as in ISO 8601.
pub(crate) fn today() -> String {
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let (year, month, day) = civil(seconds / SECONDS_A_DAY);
    format!("{year}-{month:02}-{day:02}")
}

/// Year, month and day of a day counted from 1970-01-01 (Gregorian; years of 365.2425 days, counted from March).
fn civil(days: u64) -> (u64, u64, u64) {
    let shifted = days.saturating_add(DAYS_BEFORE_1970);
    let (era, day_of_era) = (shifted / DAYS_OF_ERA, shifted % DAYS_OF_ERA);
    let leap_days = (day_of_era / 1_460).saturating_add(day_of_era / 146_096).saturating_sub(day_of_era / 36_524);
    let year_of_era = day_of_era.saturating_sub(leap_days) / 365;
    let before = year_of_era.saturating_mul(365).saturating_add(year_of_era / 4).saturating_sub(year_of_era / 100);
    let day_of_year = day_of_era.saturating_sub(before);
    let shifted_month = day_of_year.saturating_mul(5).saturating_add(2) / 153;
    let month_starts = shifted_month.saturating_mul(153).saturating_add(2) / 5;
    let day = day_of_year.saturating_sub(month_starts).saturating_add(1);
    let month = if shifted_month < 10 { shifted_month.saturating_add(3) } else { shifted_month.saturating_sub(9) };
    let year = era.saturating_mul(400).saturating_add(year_of_era).saturating_add(u64::from(month <= 2));
    (year, month, day)
}

impl fmt::Display for Draft {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "# Each list says what a boot extends into a PCR, in order; the value behind it is where that leads."
        )?;
        writeln!(f, "roots = {}", text_list(&self.roots))?;
        writeln!(f, "max_age_s = {}", self.max_age_s)?;
        writeln!(f, "configurations = {}", text_list(&self.configurations))?;
        if let Some(image) = &self.image {
            write!(f, "\n[[image]]\nname = {}\nclosed = {}\n", text(&image.name), image.closed)?;
            let optional = [("uki", &image.uki), ("cmdline", &image.cmdline)];
            optional
                .iter()
                .filter_map(|(key, value)| Some((key, value.as_ref()?)))
                .try_for_each(|(key, value)| writeln!(f, "{key} = {}", text(value)))?;
            write_banks(f, "image", &image.extends)?;
        }
        write!(f, "\n# Seen on a boot of this firmware; a verdict that rests on it says so.\n[[learned]]\n")?;
        writeln!(
            f,
            "by = {}\nwhen = {}\nlocality = {}",
            text(&self.learned.by),
            text(&self.learned.when),
            self.learned.locality
        )?;
        write_banks(f, "learned", &self.learned.extends)
    }
}

fn write_banks(f: &mut fmt::Formatter<'_>, table: &str, banks: &Banks) -> fmt::Result {
    for (bank, pcrs) in banks {
        writeln!(f, "[{table}.extends.{bank}]")?;
        for (number, pcr) in pcrs {
            writeln!(f, "# PCR {number}: {}\n{number} = [", pcr.value)?;
            pcr.extends.iter().try_for_each(|digest| writeln!(f, "  \"{digest}\","))?;
            writeln!(f, "]")?;
        }
    }
    Ok(())
}

fn text_list(texts: &[String]) -> String {
    let texts: Vec<String> = texts.iter().map(|each| text(each)).collect();
    format!("[{}]", texts.join(", "))
}

/// A TOML basic string: JSON's, in which DEL needs an escape too (TOML 1.0, String).
fn text(value: &str) -> String {
    serde_json::Value::from(value).to_string().replace('\u{7f}', "\\u007f")
}

const SECONDS_A_DAY: u64 = 86_400;
/// From 0000-03-01 to 1970-01-01.
const DAYS_BEFORE_1970: u64 = 719_468;
/// 400 years.
const DAYS_OF_ERA: u64 = 146_097;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_dates_of_the_gregorian_calendar() {
        for (days, date) in [(0, (1970, 1, 1)), (59, (1970, 3, 1)), (11_016, (2000, 2, 29)), (20_782, (2026, 11, 25))] {
            assert_eq!(civil(days), date);
        }
    }

    #[test]
    fn a_text_of_any_characters_is_one_toml_string() {
        let nasty = "a\"b\\c\n[x]\u{7f}\u{1}é";
        let line = format!("a = {}", text(nasty));
        assert_eq!(
            toml::from_str::<BTreeMap<String, String>>(&line).ok().and_then(|mut map| map.remove("a")).as_deref(),
            Some(nasty)
        );
    }
}
