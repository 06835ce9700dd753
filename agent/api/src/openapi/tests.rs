#![allow(clippy::unwrap_used, clippy::indexing_slicing)]
use super::*;
use crate::{
    budget,
    client::ClientName,
    event::{Event, Events, Gap},
    problem::{Code, Fault, Problem},
    spec::{Accelerator, Access, Disk, Ensure, Kernel, Limits, Machine, Nic, Spec},
    vm::{Act, Interface, Level, List, State, Times, Verb, Vm},
};
use alloc::{
    borrow::ToOwned,
    collections::BTreeSet,
    format,
    string::{String, ToString},
    vec::Vec,
};
use serde::de::DeserializeOwned;
use serde_json::{Value, from_str, from_value, json, to_string, to_value};

fn document() -> Value {
    from_str(DOCUMENT).unwrap()
}

fn schema(name: &str) -> Value {
    let found = document()["components"]["schemas"][name].clone();
    assert!(found.is_object(), "{name} is not described");
    found
}

/// The words of an enumeration.
fn words(name: &str) -> Vec<String> {
    from_value(schema(name)["enum"].clone()).unwrap()
}

fn keys(value: &Value) -> BTreeSet<String> {
    value.as_object().unwrap().keys().cloned().collect()
}

/// Names of all fields of a request, from the message that refuses another.
fn fields<T: DeserializeOwned + core::fmt::Debug>() -> BTreeSet<String> {
    let message = from_str::<T>(r#"{"nonsense":1}"#).unwrap_err().to_string();
    assert!(message.starts_with("unknown field"), "{message}");
    message.split('`').skip(3).step_by(2).map(ToOwned::to_owned).collect()
}

#[test]
fn every_word_is_described_and_no_other() {
    let word = |value: Value| value.as_str().unwrap().to_owned();
    let codes: Vec<String> = Code::ALL.iter().map(|code| code.name().to_owned()).collect();
    assert_eq!(words("Code"), codes);
    let states: Vec<String> = State::ALL.iter().map(|state| state.name().to_owned()).collect();
    assert_eq!(words("State"), states);
    let of = |values: &[Value]| values.iter().cloned().map(word).collect::<Vec<String>>();
    let json = |value| to_value(value).unwrap();
    assert_eq!(words("Level"), of(&Level::ALL.map(|level| to_value(level).unwrap())));
    assert_eq!(words("Fault"), of(&[Fault::Caller, Fault::Node, Fault::Guest, Fault::Vmm].map(json)));
    assert_eq!(words("Machine"), of(&[Machine::Microvm, Machine::Q35].map(|value| to_value(value).unwrap())));
    assert_eq!(words("Accelerator"), of(&[Accelerator::Kvm, Accelerator::Tcg].map(|value| to_value(value).unwrap())));
    assert_eq!(words("Access"), of(&[Access::ReadOnly, Access::Overlay].map(|value| to_value(value).unwrap())));
}

#[test]
fn every_code_has_its_status_fault_and_title_and_an_answer_that_names_it() {
    let described = schema("Code")["x-codes"].clone();
    let text = document()["paths"].to_string() + &document()["components"]["responses"].to_string();
    for code in Code::ALL {
        let expected = json!({ "status": code.status(), "fault": code.fault(), "title": code.title() });
        assert_eq!(described[code.name()], expected, "{code}");
        assert!(text.contains(&format!("`{code}`")), "{code} is in no answer");
    }
    assert_eq!(keys(&described).len(), Code::ALL.len());
}

/// Every answer of the document, with its status.
fn answers() -> Vec<(String, String, Value)> {
    let document = document();
    let mut answers = Vec::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap().iter().filter(|(key, _)| *key != "parameters") {
            for (status, answer) in operation["responses"].as_object().unwrap() {
                let shared = answer["$ref"].as_str().and_then(|shared| shared.rsplit('/').next());
                let answer = shared.map_or(answer, |shared| &document["components"]["responses"][shared]);
                answers.push((format!("{method} {path}"), status.clone(), answer.clone()));
            }
        }
    }
    answers
}

#[test]
fn an_answer_that_names_a_code_has_its_status() {
    for (what, status, answer) in answers() {
        let description = answer["description"].as_str().unwrap();
        for code in Code::ALL.iter().filter(|code| description.contains(&format!("`{code}`"))) {
            assert_eq!(status, code.status().to_string(), "{what}: {code}");
        }
    }
}

#[test]
fn every_verb_has_its_path_and_every_path_is_described() {
    let found = keys(&document()["paths"]);
    let verbs = Verb::ALL.iter().filter(|verb| **verb != Verb::Delete);
    let mut expected: BTreeSet<String> = verbs.map(|verb| format!("{}/{{id}}/{verb}", crate::vm::PATH)).collect();
    let others = [
        "/v1/openapi.json",
        "/v1/node",
        "/v1/vms",
        "/v1/vms/{id}",
        "/v1/vms/{id}/console",
        "/v1/events",
        "/v1/events/{after}",
    ];
    expected.extend(others.map(str::to_owned));
    assert_eq!(found, expected);
    assert_eq!(
        keys(&document()["paths"]["/v1/vms/{id}"]),
        ["delete", "get", "parameters", "put"].map(str::to_owned).into()
    );
}

#[test]
fn every_field_of_a_request_is_described_and_no_other_is_taken() {
    for (name, fields) in [
        ("Ensure", fields::<Ensure>()),
        ("Act", fields::<Act>()),
        ("Stop", fields::<Act>()),
        ("Spec", fields::<Spec>()),
        ("Kernel", fields::<Kernel>()),
        ("Disk", fields::<Disk>()),
        ("Limits", fields::<Limits>()),
        ("Nic", fields::<Nic>()),
    ] {
        let schema = schema(name);
        assert_eq!(keys(&schema["properties"]), fields, "{name}");
        assert_eq!(schema["additionalProperties"], json!(false), "{name}");
        for required in schema["required"].as_array().unwrap() {
            assert!(fields.contains(required.as_str().unwrap()), "{name}: {required}");
        }
    }
}

#[test]
fn what_is_required_is_and_what_is_not_is_not() {
    let request = document()["paths"]["/v1/vms/{id}"]["put"]["requestBody"]["content"]["application/json"].clone();
    let spec = request["example"]["spec"].clone();
    let taken = |spec: &Value| Spec::from_json(spec.to_string().as_bytes()).is_ok();
    assert!(taken(&spec));
    for name in keys(&schema("Spec")["properties"]) {
        let mut without = spec.clone();
        without.as_object_mut().unwrap().remove(&name);
        let is_required = schema("Spec")["required"].as_array().unwrap().contains(&json!(name));
        assert_eq!(taken(&without), !is_required, "{name}");
    }
}

#[test]
fn every_limit_is_the_one_that_is_checked() {
    let spec = schema("Spec");
    let properties = &spec["properties"];
    for (found, limit) in [
        (&properties["vcpus"]["maximum"], budget::VCPUS),
        (&properties["memory_mib"]["minimum"], budget::MEMORY_MIB_MIN),
        (&properties["memory_mib"]["maximum"], budget::MEMORY_MIB_MAX),
        (&schema("Limits")["properties"]["cpu_percent"]["maximum"], budget::CPU_PERCENT),
        (&properties["nics"]["maxItems"], u64::try_from(budget::NICS).unwrap()),
        (&schema("NetworkName")["maxLength"], u64::try_from(budget::NETWORK_NAME_BYTES).unwrap()),
        (&properties["disks"]["maxItems"], u64::try_from(budget::DISKS).unwrap()),
        (&schema("Stop")["properties"]["grace_s"]["maximum"], budget::GRACE_S),
        (&schema("VmId")["maxLength"], u64::try_from(budget::VM_ID_BYTES).unwrap()),
        (&schema("ClientName")["maxLength"], u64::try_from(budget::CLIENT_NAME_BYTES).unwrap()),
        (
            &schema("Kernel")["properties"]["command_line"]["maxLength"],
            u64::try_from(budget::COMMAND_LINE_BYTES).unwrap(),
        ),
        (&schema("Problem")["properties"]["detail"]["maxLength"], u64::try_from(budget::DETAIL_BYTES).unwrap()),
        (&schema("Number")["maximum"], u64::MAX),
    ] {
        assert_eq!(found, &json!(limit));
    }
    assert!(DOCUMENT.contains("64 KiB") && budget::BODY_BYTES == 64 * 1024 && budget::CONSOLE_BYTES == 64 * 1024);
}

/// Whether what a type writes has only fields that its schema describes, all that it requires, and is read again.
fn is_described<T: DeserializeOwned + serde::Serialize>(name: &str, value: &Value) {
    let read: T = from_value(value.clone()).unwrap();
    assert_eq!(&to_value(&read).unwrap(), value, "{name}: an example is what a node writes");
    let schema = schema(name);
    assert!(keys(value).is_subset(&keys(&schema["properties"])), "{name}: {value}");
    let required: BTreeSet<String> = from_value(schema["required"].clone()).unwrap();
    assert!(required.is_subset(&keys(value)), "{name}: {value}");
}

#[test]
fn every_example_is_one_and_every_field_of_an_answer_is_described() {
    let document = document();
    let example = |path: &str, method: &str| {
        let operation = &document["paths"][path][method];
        operation["requestBody"]["content"]["application/json"]["example"].to_string()
    };
    assert!(Ensure::from_json(example("/v1/vms/{id}", "put").as_bytes()).is_ok());
    assert!(Act::from_json(Verb::Delete, example("/v1/vms/{id}", "delete").as_bytes()).is_ok());
    for verb in Verb::ALL.into_iter().filter(|verb| *verb != Verb::Delete) {
        assert!(Act::from_json(verb, example(&format!("/v1/vms/{{id}}/{verb}"), "post").as_bytes()).is_ok(), "{verb}");
    }
    let answer = |path: &str| {
        document["paths"][path]["get"]["responses"]["200"]["content"]["application/json"]["example"].clone()
    };
    is_described::<List>("List", &answer("/v1/vms"));
    let vm = answer("/v1/vms")["vms"][0].clone();
    is_described::<Vm>("Vm", &vm);
    is_described::<Spec>("Spec", &vm["spec"]);
    is_described::<Times>("Times", &vm["times"]);
    is_described::<Events>("Events", &answer("/v1/events/{after}"));
    is_described::<Event>("Event", &answer("/v1/events/{after}")["events"][0]);
    is_described::<Gap>("Gap", &json!({ "first_kept": 1, "sequence": 2 }));
    is_described::<Problem>("Problem", &schema("Problem")["example"]);
    let code: Code = from_value(schema("Problem")["example"]["code"].clone()).unwrap();
    assert_eq!(
        to_value(Problem::new(code, "no VM web-1", "`garant vm list` shows those that there are")).unwrap(),
        schema("Problem")["example"]
    );
}

/// Every field of an answer, which its example may leave out.
#[test]
fn no_field_of_an_answer_is_left_out_of_the_document() {
    let mut vm: Vm = from_value(
        document()["paths"]["/v1/vms"]["get"]["responses"]["200"]["content"]["application/json"]["example"]["vms"][0]
            .clone(),
    )
    .unwrap();
    vm.reason = Some("why".into());
    vm.degraded = Some("it does not answer".into());
    let nic = json!({ "network": "lan", "mac": "02:00:00:00:00:01", "address": "10.0.0.5", "prefix_bits": 24, "gateway": "10.0.0.1" });
    assert_eq!(keys(&nic), keys(&schema("Interface")["properties"]));
    is_described::<Interface>("Interface", &nic);
    vm.nics = [from_value(nic).unwrap()].into();
    vm.times.guest_ready = Some(1);
    vm.times.ended = Some(2);
    vm.owner = Some("shop".parse::<ClientName>().unwrap());
    assert_eq!(keys(&to_value(&vm).unwrap()), keys(&schema("Vm")["properties"]));
    assert_eq!(keys(&to_value(vm.times).unwrap()), keys(&schema("Times")["properties"]));
}

#[test]
fn every_reference_leads_to_something() {
    let text = to_string(&document()).unwrap();
    let named = text.split("\"#/").skip(1).filter_map(|rest| rest.split('"').next());
    let mut count = 0;
    for pointer in named {
        assert!(document().pointer(&format!("/{pointer}")).is_some(), "{pointer}");
        count += 1;
    }
    assert!(count > 50, "{count}");
}
