#![allow(clippy::unwrap_used)]
use super::*;
use alloc::{format, string::ToString};

#[test]
fn an_act_is_a_generation_and_for_stop_a_grace() {
    for verb in Verb::ALL {
        let act = Act::from_json(verb, br#"{"generation":3}"#).unwrap();
        assert_eq!((act.generation, act.grace_s), (3, None));
        let graceful = Act::from_json(verb, br#"{"generation":3,"grace_s":600}"#);
        match verb {
            Verb::Stop => assert_eq!(graceful.unwrap().grace_s.map(GraceS::get), Some(600)),
            _ => assert_eq!(graceful, Err(Invalid::Grace { verb: verb.name() })),
        }
    }
}

#[test]
fn an_act_that_cannot_be_is_refused_with_its_field_and_what_is_expected() {
    for (json, says) in [
        (r#"{"generation":1,"grace_s":601}"#, "grace_s: expected a whole number from 0 to 600, found 601"),
        (r#"{"generation":1,"grace_s":-1}"#, "grace_s: invalid value: integer `-1`, expected a whole number from 0"),
        (r#"{"generation":"1"}"#, "generation: invalid type: string \"1\", expected a whole number from 0"),
        (r#"{"generation":1,"force":true}"#, "unknown field `force`, expected `generation` or `grace_s`"),
        ("{}", "missing field `generation`"),
        ("", "EOF while parsing a value"),
    ] {
        let said = Act::from_json(Verb::Stop, json.as_bytes()).unwrap_err().to_string();
        assert!(said.contains(says), "{json}: {said}");
    }
    let long = format!(r#"{{"generation":1}}{}"#, " ".repeat(budget::BODY_BYTES));
    assert!(matches!(Act::from_json(Verb::Start, long.as_bytes()), Err(Invalid::TooLong { .. })));
}

#[test]
fn a_verb_is_found_by_its_name_only() {
    for verb in Verb::ALL {
        assert_eq!(verb.to_string().parse(), Ok(verb));
    }
    for word in ["", "Start", "start/", "console"] {
        assert_eq!(word.parse::<Verb>(), Err(NotAVerb));
    }
}

#[test]
fn a_state_has_the_same_name_for_people_and_in_json() {
    let all = [State::Defined, State::Starting, State::Running, State::Paused];
    for state in all.into_iter().chain([State::Stopping, State::Stopped, State::Failed, State::Deleted]) {
        assert_eq!(serde_json::to_string(&state).unwrap(), format!("\"{state}\""));
    }
}

#[test]
fn a_list_comes_back_from_json_as_it_was() {
    let digest = "sha256:00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";
    let json = format!(
        r#"{{"sequence":7,"vms":[{{"id":"web-1","generation":2,"spec":{{"machine":"microvm","vcpus":1,"memory_mib":64,"kernel":{{"image":"{digest}","command_line":"quiet"}}}},"state":"running","times":{{"accepted":1800000000000,"vmm_ready":1800000000030,"running":1800000000031}},"level":"cold"}}]}}"#
    );
    let list: List = serde_json::from_str(&json).unwrap();
    assert_eq!(serde_json::to_string(&list).unwrap(), json);
}
