//! The built-in map, point by point: what each place is to the EU and to the EEA.

use Standing::{Disputed, Inside, Outside};
use garant_attest::place::territory::{EDGE_E6, Position, Standing, Territory, edges};

#[test]
fn every_place_is_the_land_it_is_and_stands_as_the_law_says() {
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

#[test]
fn every_island_that_natural_earth_lacks_is_land_of_its_state() {
    let map = Territory::builtin().unwrap();
    let wrong: Vec<String> = ISLANDS
        .iter()
        .map(|&(name, lat, lon, code)| (name, code, map.position_codes(position(lat, lon))))
        .filter(|(_, code, codes)| codes != &[*code])
        .map(|(name, _, codes)| format!("{name}: {codes:?}"))
        .collect();
    assert_eq!(wrong, Vec::<String>::new());
}

/// These are smaller than the 5 km for which a border counts: a region in them is unknown, and whoever counts a border as
/// nothing finds both lands there.
#[test]
fn a_small_exclave_is_both_its_states_and_its_neighbours() {
    let map = Territory::builtin().unwrap();
    assert_eq!(map.position_codes(position(47.697, 8.690)), ["CH", "DE"], "Büsingen");
    assert_eq!(map.position_codes(position(45.968, 8.971)), ["CH", "IT"], "Campione d'Italia");
}

#[test]
fn every_set_has_the_lands_of_its_members_and_no_other() {
    let map = Territory::builtin().unwrap();
    let names = |set: &str| map.set(set).unwrap().inside.join(" ");
    let eu = "AT AX BE BG CY CZ DE DK EA EE ES FI FR GF GP GR HR HU IC IE IT LT LU LV MF MQ MT NL PL PT PT-20 PT-30 RE \
              RO SE SI SK YT";
    assert_eq!(names("EU"), eu);
    assert_eq!(map.set("EU").unwrap().disputed, ["CP", "CY-N", "CY-UN", "ES-PL"]);
    let mut eea: Vec<&str> = eu.split(' ').chain(["IS", "LI", "NO"]).collect();
    eea.sort_unstable();
    assert_eq!(map.set("EEA").unwrap().inside, eea);
    assert_eq!(map.set("EEA").unwrap().disputed, ["CP", "CY-N", "CY-UN", "ES-PL", "NO-22"]);
    assert_eq!(names("FR"), "FR GF GP MF MQ RE YT");
    assert_eq!((names("ES"), names("PT"), names("FI")), ("EA ES IC".into(), "PT PT-20 PT-30".into(), "AX FI".into()));
    assert_eq!((names("NL"), names("DK"), names("CY")), ("NL".into(), "DK".into(), "CY".into()));
    assert_eq!(map.sets().len(), 27 + 3 + 2);
}

#[test]
fn no_set_holds_a_land_that_another_place_in_the_table_refuses() {
    let map = Territory::builtin().unwrap();
    for (name, _, _, code, in_eu, in_eea) in PLACES {
        assert_eq!(map.set("EU").unwrap().standing(code), *in_eu, "{name}");
        assert_eq!(map.set("EEA").unwrap().standing(code), *in_eea, "{name}");
    }
}

#[test]
fn every_edge_is_short_and_the_file_small() {
    let map = Territory::builtin().unwrap();
    let rings = map.lands().iter().flat_map(|land| &land.polygons).flat_map(|polygon| &polygon.rings);
    for (from, to) in rings.flat_map(|ring| edges(ring)) {
        assert!(from.lat_e6.abs_diff(to.lat_e6).max(from.lon_e6.abs_diff(to.lon_e6)) <= EDGE_E6, "{from:?} {to:?}");
    }
    let bytes = std::fs::metadata(concat!(env!("CARGO_MANIFEST_DIR"), "/../attest/data/territory.bin")).unwrap().len();
    assert!(bytes < 400_000, "{bytes}");
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
    ("Livigno", 46.538, 10.135, "IT", Inside, Inside),
    ("Helgoland", 54.181, 7.889, "DE", Inside, Inside),
    ("Jungholz", 47.573, 10.447, "AT", Inside, Inside),
    ("Lampedusa", 35.51, 12.60, "IT", Inside, Inside),
    ("Valletta", 35.898, 14.51, "MT", Inside, Inside),
    ("Varosha", 35.10, 33.95, "CY-N", Disputed, Disputed),
    ("Bouvet", -54.42, 3.36, "BV", Outside, Outside),
    ("Sark", 49.43, -2.36, "GG", Outside, Outside),
    ("Subotica", 46.10, 19.66, "RS", Outside, Outside),
    ("Chișinău", 47.01, 28.86, "MD", Outside, Outside),
    ("Brest", 52.10, 23.75, "BY", Outside, Outside),
    ("Tangier", 35.75, -5.82, "MA", Outside, Outside),
];

/// Name, latitude, longitude, code.
const ISLANDS: &[(&str, f64, f64, &str)] = &[
    ("Kastellorizo, 2 km off Turkey", 36.147, 29.592, "GR"),
    ("Gavdos", 34.84, 24.09, "GR"),
    ("Palagruža", 42.3925, 16.2555, "HR"),
    ("Gorgona", 43.43, 9.90, "IT"),
    ("Ponza", 40.90, 12.96, "IT"),
    ("Anholt", 56.71, 11.56, "DK"),
    ("Christiansø", 55.320, 15.187, "DK"),
    ("Berlenga", 39.415, -9.508, "PT"),
    ("Selvagem Grande", 30.143, -15.865, "PT-30"),
    ("Formigas", 37.2713, -24.7805, "PT-20"),
    ("Alegranza", 29.40, -13.51, "IC"),
    ("Alborán", 35.939, -3.036, "ES"),
    ("Perejil", 35.914, -5.418, "ES-PL"),
    ("Vélez de la Gomera", 35.1726, -4.3005, "EA"),
    ("Chausey", 48.873, -1.83, "FR"),
    ("Inishtrahull", 55.431, -7.234, "IE"),
    ("Kökar", 59.92, 20.91, "AX"),
    ("Utklippan", 55.953, 15.703, "SE"),
    ("St Kilda", 57.812, -8.58, "GB"),
    ("North Rona", 59.122, -5.822, "GB"),
    ("Galite", 37.527, 8.93, "TN"),
    ("İmralı", 40.55, 28.53, "TR"),
    ("Gogland, between Finland and Estonia", 60.05, 26.98, "RU"),
    ("Snake Island", 45.2557, 30.204, "UA"),
    ("Tromelin", -15.891, 54.52, "TF"),
];
