//! Bounds on shares beside an exact oracle of all vertices; the bench `owner.contradictions` runs a million.

use garant_tests::share_contest::compare;

#[test]
fn no_answer_contradicts_the_oracle_and_most_of_what_is_decidable_is_decided() {
    let found = compare(7, 20_000);
    println!("{found:?}");
    assert_eq!(found.contradictions, 0);
    assert!(found.decided > 0 && found.decided * 10 >= found.decidable * 8, "{found:?}");
}
