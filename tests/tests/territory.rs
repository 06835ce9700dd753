//! The built-in map, point by point: what each place is to the EU and to the EEA.

use Standing::{Disputed, Inside, Outside};
use garant_attest::place::territory::{Position, Standing, Territory};

#[test]
fn every_place_has_the_standing_that_the_law_gives_it() {
    let map = Territory::builtin().unwrap();
    let (eu, eea) = (map.set("EU").unwrap(), map.set("EEA").unwrap());
    let wrong: Vec<String> = PLACES
        .iter()
        .filter_map(|&(name, lat, lon, code, in_eu, in_eea)| {
            let codes = map.position_codes(position(lat, lon));
            let standings = codes.iter().map(|code| (eu.standing(code), eea.standing(code))).collect::<Vec<_>>();
            (codes != [code] || standings != [(in_eu, in_eea)]).then(|| format!("{name}: {codes:?} {standings:?}"))
        })
        .collect();
    assert_eq!(wrong, Vec::<String>::new());
}

fn position(lat: f64, lon: f64) -> Position {
    Position::new((lat * 1e6) as i32, (lon * 1e6) as i32).unwrap()
}

type Place = (&'static str, f64, f64, &'static str, Standing, Standing);

/// Name, latitude, longitude, code, standing in the EU, standing in the EEA.
const PLACES: &[Place] = &[
    ("Frankfurt", 50.11, 8.68, "DE", Inside, Inside),
    ("Strasbourg", 48.58, 7.75, "FR", Inside, Inside),
    ("Corte, Corsica", 42.30, 9.15, "FR", Inside, Inside),
    ("Rome, Termini", 41.901, 12.501, "IT", Inside, Inside),
    ("Athos, Karyes", 40.257, 24.245, "GR", Inside, Inside),
    ("Åland, Mariehamn", 60.13, 19.93, "AX", Inside, Inside),
    ("Ceuta", 35.888, -5.316, "EA", Inside, Inside),
    ("Melilla", 35.292, -2.938, "EA", Inside, Inside),
    ("Las Palmas", 28.10, -15.45, "IC", Inside, Inside),
    ("Ponta Delgada", 37.76, -25.65, "PT-20", Inside, Inside),
    ("Funchal", 32.67, -16.93, "PT-30", Inside, Inside),
    ("Saint-Denis de la Réunion", -20.91, 55.46, "RE", Inside, Inside),
    ("Les Abymes, Guadeloupe", 16.26, -61.50, "GP", Inside, Inside),
    ("Fort-de-France", 14.63, -61.03, "MQ", Inside, Inside),
    ("Cayenne", 4.90, -52.33, "GF", Inside, Inside),
    ("Mayotte", -12.80, 45.15, "YT", Inside, Inside),
    ("Saint-Martin, Marigot", 18.075, -63.07, "MF", Inside, Inside),
    ("Nicosia, south", 35.14, 33.34, "CY", Inside, Inside),
    ("Limassol", 34.70, 33.03, "CY", Inside, Inside),
    ("Kyrenia", 35.31, 33.32, "CY-N", Disputed, Disputed),
    ("Famagusta", 35.12, 33.92, "CY-N", Disputed, Disputed),
    ("Nicosia airport, buffer zone", 35.152, 33.277, "CY-UN", Disputed, Disputed),
    ("Akrotiri", 34.59, 32.98, "GB-SB", Outside, Outside),
    ("Dhekelia", 34.99, 33.74, "GB-SB", Outside, Outside),
    ("Clipperton", 10.30, -109.22, "CP", Disputed, Disputed),
    ("Bonaire", 12.16, -68.27, "BQ", Outside, Outside),
    ("Saba", 17.63, -63.24, "BQ", Outside, Outside),
    ("St Eustatius", 17.49, -62.97, "BQ", Outside, Outside),
    ("Aruba", 12.51, -69.98, "AW", Outside, Outside),
    ("Curaçao", 12.17, -68.97, "CW", Outside, Outside),
    ("Sint Maarten", 18.04, -63.06, "SX", Outside, Outside),
    ("Saint-Barthélemy", 17.90, -62.83, "BL", Outside, Outside),
    ("Miquelon", 47.05, -56.33, "PM", Outside, Outside),
    ("Nouméa", -22.25, 166.46, "NC", Outside, Outside),
    ("Tahiti", -17.65, -149.45, "PF", Outside, Outside),
    ("Wallis", -13.28, -176.17, "WF", Outside, Outside),
    ("Kerguelen", -49.35, 69.2, "TF", Outside, Outside),
    ("Greenland, Summit", 72.58, -38.46, "GL", Outside, Outside),
    ("Faroe, Vestmanna", 62.17, -7.15, "FO", Outside, Outside),
    ("Longyearbyen", 78.20, 15.60, "SJ", Outside, Outside),
    ("Bear Island", 74.45, 19.0, "SJ", Outside, Outside),
    ("Jan Mayen", 71.0, -8.4, "NO-22", Outside, Disputed),
    ("Kaliningrad", 54.71, 20.51, "RU", Outside, Outside),
    ("Monaco", 43.738, 7.424, "MC", Outside, Outside),
    ("Vatican", 41.903, 12.453, "VA", Outside, Outside),
    ("San Marino", 43.94, 12.45, "SM", Outside, Outside),
    ("Andorra la Vella", 42.51, 1.52, "AD", Outside, Outside),
    ("Llívia, Spain in France", 42.464, 1.98, "ES", Inside, Inside),
    ("Vaduz", 47.14, 9.52, "LI", Outside, Inside),
    ("Gibraltar", 36.125, -5.347, "GI", Outside, Outside),
    ("Isle of Man", 54.2, -4.55, "IM", Outside, Outside),
    ("Jersey", 49.2, -2.12, "JE", Outside, Outside),
    ("Guernsey", 49.46, -2.58, "GG", Outside, Outside),
    ("Oslo", 59.91, 10.75, "NO", Outside, Inside),
    ("Reykjavík", 64.13, -21.85, "IS", Outside, Inside),
    ("Zürich", 47.37, 8.54, "CH", Outside, Outside),
    ("London", 51.51, -0.12, "GB", Outside, Outside),
    ("Belfast", 54.58, -5.95, "GB", Outside, Outside),
    ("Istanbul, Europe", 41.05, 28.90, "TR", Outside, Outside),
    ("Pristina", 42.66, 21.16, "XK", Outside, Outside),
    ("Simferopol", 44.95, 34.10, "UA", Outside, Outside),
    ("Tirana", 41.33, 19.82, "AL", Outside, Outside),
    ("South Pole", -89.9, 100.0, "AQ", Outside, Outside),
    ("Chukotka, beyond the antimeridian", 66.5, -175.0, "RU", Outside, Outside),
    ("Chukotka, before it", 67.5, 178.0, "RU", Outside, Outside),
];
